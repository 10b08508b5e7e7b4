"""An ONNX graph run on labels, to see which numbers arrive where.

Exporters put transposes, reshapes, slices and concatenations between the nodes of a
recurrent network, each in its own way.  Instead of knowing their ways, give every
number that a node could read a label of its own, and run the operators that only move
numbers: the labels that arrive say, exactly, what is read and in which order.
"""

import math

import numpy as np

# The two names of ONNX's own operators.
OWN_DOMAINS = {"", "ai.onnx"}

# Operators that move numbers and leave them as they are.
MOVES = {"Cast", "Concat", "Constant", "Dropout", "Flatten", "Gather", "Identity"}
MOVES |= {"Reshape", "Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}

# The types, as ONNX numbers them, that a number stays itself in: float32, float16,
# float64, bfloat16.
FLOATS = {1, 10, 11, 16}

# Where labels begin, so that hardly any constant looks like one.
FIRST_LABEL = 1 << 40

# Sizes where the graph leaves them open, or where its own make too many labels.
OPEN_SIZES = (3, 2, 5, 7)
MAX_ROWS = 1 << 13

# Elements that may go into one operator, for a chain of them could double for ever.
MAX_LABELS = 1 << 24
MAX_CONSTANTS = 1 << 28


class LabelledGraph:
    """The values of a graph by name: its constants, and labels for all other numbers.

    Args:
        library: the onnx module.
        model: an onnx.ModelProto with its data.

    Attributes:
        sources: the labels of what is not followed any further, such as inputs.
    """

    def __init__(self, library, model):
        self.library = library
        self.opsets = {opset.domain: opset.version for opset in model.opset_import}
        graph = model.graph
        self.makers = {name: node for node in graph.node for name in node.output}
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.types = {v.name: v.type for v in [*graph.value_info, *graph.input]}
        self.values: dict[str, np.ndarray] = {}
        self.labelled: set[str] = set()
        self.sources: list[np.ndarray] = []
        self.next_label = FIRST_LABEL

    def new_labels(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers that grow from the first to the last and never come again."""
        first = self.next_label
        self.next_label += math.prod(shape)
        return np.arange(first, self.next_label, dtype=float).reshape(shape)

    def give(self, name: str, labels: np.ndarray) -> None:
        """Let a value be these labels."""
        self.values[name] = labels
        self.labelled.add(name)

    def arriving(self, name: str, features: int) -> np.ndarray:
        """The labels that arrive under a name, each once; new ones if others do."""
        labels = self.pull(name, features)
        distinct = np.unique(labels)
        is_pure = distinct.min(initial=FIRST_LABEL) >= FIRST_LABEL
        if not is_pure or distinct.size != labels.size:
            self.cut(name, features)
        return self.values[name]

    def pull(self, name: str, features: int = 1) -> np.ndarray:
        """A value; what cannot be followed has so many features on its last axis."""
        if name not in self.values:
            node = self.makers.get(name)
            if name in self.constants:
                self.values[name] = self._constant(name)
            elif node is None or not self._move(node, features):
                self.cut(name, features)
        return self.values[name]

    def cut(self, name: str, features: int) -> np.ndarray:
        """Let a value be new labels, whatever the operators before it do."""
        self.sources.append(self.new_labels(self._shape(name, features)))
        self.give(name, self.sources[-1])
        return self.sources[-1]

    def _constant(self, name: str) -> np.ndarray:
        return self.library.numpy_helper.to_array(self.constants[name])

    def _shape(self, name: str, features: int) -> tuple[int, ...]:
        """The shape that the graph gives to a value, or (3, 2, features)."""
        sizes = [0, 0, 0]
        if name in self.types and self.types[name].tensor_type.HasField("shape"):
            sizes = [d.dim_value for d in self.types[name].tensor_type.shape.dim]
        if not 2 <= len(sizes) <= len(OPEN_SIZES):
            sizes = [0, 0, 0]
        axes = range(len(sizes) - 1)
        shape = [sizes[a] if sizes[a] > 0 else OPEN_SIZES[a] for a in axes]
        if math.prod(shape) > MAX_ROWS:
            shape = OPEN_SIZES[: len(shape)]
        return (*shape, features)

    def _move(self, node, features: int) -> bool:
        """Run an operator that moves numbers; False if it is none or fails."""
        if node.op_type not in MOVES or node.domain not in OWN_DOMAINS:
            return False
        inputs = {name: self.pull(name, features) for name in node.input if name}
        is_labelled = node.op_type != "Shape" and self.labelled.intersection(inputs)
        sizes = [array.size for array in inputs.values()]
        size = math.prod(sizes) if node.op_type == "Gather" else sum(sizes)
        if size > (MAX_LABELS if is_labelled else MAX_CONSTANTS):
            return False
        library = self.library
        if node.op_type == "Cast" and is_labelled:
            if self.attributes(node).get("to") not in FLOATS:
                return False
            self.give(node.output[0], inputs[node.input[0]])
            return True
        step = library.helper.make_graph(
            [node],
            "step",
            [library.ValueInfoProto(name=name) for name in inputs],
            [library.ValueInfoProto(name=name) for name in node.output],
        )
        try:
            run = library.reference.ReferenceEvaluator(step, opsets=self.opsets).run
            outputs = run(None, inputs)
        except Exception:  # the operator's own, on sizes that do not go with it
            return False
        self.values.update(zip(node.output, outputs, strict=True))
        if is_labelled:
            self.labelled.update(node.output)
        return True

    def attributes(self, node) -> dict:
        """The attributes of a node by name; tensors as arrays."""
        onnx = self.library
        values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        for name, value in values.items():
            if isinstance(value, onnx.TensorProto):
                values[name] = onnx.numpy_helper.to_array(value)
        return values

    def is_fixed(self, name: str) -> bool:
        """Whether the graph alone determines the value, and it is not zero."""
        waiting, seen, found = [name], set(), False
        while waiting:
            name = waiting.pop()
            node = self.makers.get(name)
            if name in seen or (node is not None and node.op_type == "Shape"):
                continue
            seen.add(name)
            if name in self.constants:
                held = [self._constant(name)]
            elif node is not None:
                held = [np.asarray(v) for v in self.attributes(node).values()]
                waiting += [n for n in node.input if n]
            else:
                return False  # an input of the graph
            found = found or any(a.dtype.kind == "f" and np.any(a) for a in held)
        return found
