"""The RNN nodes of an ONNX graph, joined to the networks that they make up.

T time, B batch, I input, H hidden, D directions.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .onnx_labels import LabelledGraph

# Which directions a node has: whether each is the reverse one.
DIRECTIONS = {b"forward": [False], b"reverse": [True], b"bidirectional": [False, True]}
ACTIVATIONS = {b"tanh": "tanh", b"relu": "relu"}


class Unsupported(ValueError):
    """The graph asks for what crnn.RNN does not compute."""


@dataclass
class Direction:
    """The weights of one direction, and the labels of what it gives."""

    node: Any  # the onnx.NodeProto
    weights: dict[str, np.ndarray]  # weight_ih (H, I), weight_hh (H, H), bias_ih, ..
    nonlinearity: str
    output: np.ndarray  # (T, B, H)


@dataclass
class Layer:
    """What reads the same input: one node, or one for each direction."""

    x: np.ndarray  # labels (T, B, I), growing with time
    directions: dict[bool, Direction] = field(default_factory=dict)  # by "is reverse"

    @property
    def output(self) -> np.ndarray:
        """Labels (T, B, D*H)."""
        parts = [self.directions[key].output for key in sorted(self.directions)]
        return np.concatenate(parts, axis=-1)

    @property
    def nodes(self) -> list:
        """Its one node, or two."""
        nodes = [part.node for part in self.directions.values()]
        return nodes[:1] if nodes[0] is nodes[-1] else nodes

    @property
    def kind(self) -> tuple:
        """What all layers of a crnn.RNN have in common."""
        parts = self.directions.values()
        hidden = {d.output.shape[-1] for d in parts}
        return sorted(self.directions), hidden, {d.nonlinearity for d in parts}


def read_layers(graph: LabelledGraph, nodes: list) -> list[Layer]:
    """The layers that RNN nodes, in the order of their computation, make up.

    Raises:
        Unsupported: a node cannot be taken over; it says which and why.
    """
    layers: list[Layer] = []
    for node in nodes:
        try:
            _add_node(graph, node, layers)
        except Unsupported as error:
            raise Unsupported(f"RNN node {name_of(node)!r} {error}") from None
    return layers


def name_of(node) -> str:
    """The name of a node, or of its output if it has none."""
    return node.name or next(filter(None, node.output), "")


def _add_node(graph: LabelledGraph, node, layers: list[Layer]) -> None:
    """Put the directions of one node into the layer that reads the same input."""
    attributes = graph.attributes(node)
    directions = DIRECTIONS.get(attributes.get("direction", b"forward"))
    if directions is None:
        raise Unsupported("has an unknown direction")
    if "clip" in attributes:
        raise Unsupported("clips its sums, which crnn.RNN does not")
    activations = attributes.get("activations") or [b"Tanh"] * len(directions)
    for activation in activations:
        if activation.lower() not in ACTIVATIONS:
            raise Unsupported(f"uses {activation.decode()}, neither Tanh nor Relu")
    weights = _weights(graph, node, len(directions))
    if len(activations) != len(directions):
        raise Unsupported("does not have one activation for each direction")

    batch_first = attributes.get("layout", 0) == 1
    x, turned = _read_input(graph, node, weights[0]["weight_ih"].shape[1], batch_first)
    reverse = [is_reverse != turned for is_reverse in directions]
    layer = next(
        (a for a in layers if _same(a.x, x) and not set(reverse) & a.directions.keys()),
        None,
    )
    if layer is None:
        layer = Layer(x)
        layers.append(layer)
    outputs = []
    for d, is_reverse in enumerate(reverse):
        output = graph.new_labels((*x.shape[:2], len(weights[d]["weight_hh"])))
        nonlinearity = ACTIVATIONS[activations[d].lower()]
        part = Direction(node, weights[d], nonlinearity, output)
        layer.directions[is_reverse] = part
        outputs.append(output[::-1] if turned else output)
    if node.output[0]:
        y = np.stack(outputs, axis=1)  # (T, D, B, H)
        graph.give(node.output[0], y.transpose(2, 0, 1, 3) if batch_first else y)


def _read_input(
    graph: LabelledGraph, node, features: int, batch_first: bool
) -> tuple[np.ndarray, bool]:
    """The labels (T, B, I) that a node reads, growing with time, and whether the graph
    turns them round for the node."""
    name = node.input[0]
    x = _time_first(graph.arriving(name, features), features, batch_first)
    steps = set(np.sign(np.diff(x[:, 0, 0])))
    if len(steps) > 1:  # out of order, and so not to be followed any further
        x = _time_first(graph.cut(name, features), features, batch_first)
    turned = steps == {-1}
    if turned and len(node.input) > 4 and node.input[4]:
        raise Unsupported("reads padded sequences from their end")
    return x[::-1] if turned else x, turned


def _time_first(x: np.ndarray, features: int, batch_first: bool) -> np.ndarray:
    if x.ndim != 3 or x.shape[2] != features or not x.size:
        raise Unsupported(f"reads an input of shape {x.shape}")
    return x.swapaxes(0, 1) if batch_first else x


def _weights(graph: LabelledGraph, node, D: int) -> list[dict[str, np.ndarray]]:
    """The parameters of each direction, checked against each other."""
    arrays = []
    for name in [*node.input[1:4], "", "", ""][:3]:
        array = graph.pull(name) if name else None
        if name in graph.labelled:
            raise Unsupported("has weights that the graph does not hold")
        arrays.append(array)
    w, r, b = arrays
    if w is None or r is None or w.ndim != 3 or r.ndim != 3:
        raise Unsupported("has no weights of shape (D, H, I) and (D, H, H)")
    H = r.shape[2]
    if w.shape[:2] != (D, H) or r.shape != (D, H, H) or not w.size:
        raise Unsupported(f"has weights of shapes {w.shape} and {r.shape}")
    if b is not None and b.shape != (D, 2 * H):
        raise Unsupported(f"has biases of shape {b.shape}, not {(D, 2 * H)}")
    found = [{"weight_ih": w[d], "weight_hh": r[d]} for d in range(D)]
    if b is not None:
        for d in range(D):
            found[d] |= {"bias_ih": b[d, :H], "bias_hh": b[d, H:]}
    return found


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.array_equal(a, b)


def join(layers: list[Layer]) -> list[list[Layer]]:
    """Every stack of layers, from bottom to top, that one crnn.RNN can be."""
    below = {}
    for i, above in enumerate(layers):
        for layer in layers[:i]:
            if layer.kind == above.kind and _same(layer.output, above.x):
                below[id(above)] = layer
    inner = {id(layer) for layer in below.values()}
    stacks = []
    for layer in layers:
        if id(layer) not in inner:
            stack = [layer]
            while id(stack[0]) in below:
                stack.insert(0, below[id(stack[0])])
            stacks.append(stack)
    return stacks


def is_batch_first(graph: LabelledGraph, layer: Layer) -> bool:
    """Whether the layer reads a (B, T, I) with its first axes exchanged."""
    solid = [source for source in graph.sources if source.ndim == 3]
    if any(_same(source, layer.x) for source in solid):
        return False
    return any(_same(source.swapaxes(0, 1), layer.x) for source in solid)


def state_of(stack: list[Layer]) -> dict[str, np.ndarray]:
    """The stack's weights under torch's names, with zeros for biases that only some
    nodes have."""
    state = {}
    parts = [d.weights for layer in stack for d in layer.directions.values()]
    biased = any("bias_ih" in weights for weights in parts)
    for k, layer in enumerate(stack):
        for is_reverse, direction in layer.directions.items():
            weights = direction.weights
            if biased:
                zeros = np.zeros_like(weights["weight_hh"][0])
                weights = {"bias_ih": zeros, "bias_hh": zeros} | weights
            suffix = f"_l{k}_reverse" if is_reverse else f"_l{k}"
            state |= {f"{name}{suffix}": a for name, a in weights.items()}
    return state
