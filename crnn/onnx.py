"""crnn.from_onnx and crnn.to_onnx: the RNN operator of ONNX.

ONNX gives the weights of one layer as W (D, H, I), R (D, H, H) and B (D, 2*H), b_ih
before b_hh.  T time, B batch, I input, H hidden, L layers, D directions.
"""

import os
import warnings

import numpy as np

from .files import FormatError, read_file, write_file
from .onnx_labels import OWN_DOMAINS, LabelledGraph
from .onnx_layers import (
    Layer,
    Unsupported,
    is_batch_first,
    join,
    name_of,
    read_layers,
    state_of,
)
from .rnn import RNN

# As old as the RNN operator of today's form, so that old runtimes read it.
OPSET = 14
IR_VERSION = 8

# What a graph whose parts contradict each other leads to, on the way.
_ERRORS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


def _library():
    try:
        import onnx.reference
    except ImportError as error:
        raise ImportError(
            "ONNX needs the onnx library: pip install crnn[onnx]"
        ) from error
    return onnx


def _read_model(path: str):
    """An onnx.ModelProto with its data, also that in files beside it."""
    library = _library()
    from google.protobuf.message import DecodeError

    data = read_file(path)
    try:
        model = library.load_model_from_string(data)
        library.load_external_data_for_model(model, os.path.dirname(path) or ".")
    except (DecodeError, ValueError, library.checker.ValidationError) as error:
        raise FormatError(path, f"no valid ONNX model: {error}") from error
    if not model.HasField("graph") or not model.opset_import:
        raise FormatError(path, "no valid ONNX model: it is cut short")
    return model


def read_initializers(path: str) -> dict[str, np.ndarray]:
    """The numeric weights of an ONNX file by name, half precision as float32."""
    arrays = {}
    for tensor in _read_model(path).graph.initializer:
        name = tensor.name
        if not isinstance(name, str) or "\0" in name or name in arrays:
            raise FormatError(path, f"the name {name!r} is no text, or there twice")
        try:
            array = _library().numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            reason = f"the weights {name!r} are damaged: {error}"
            raise FormatError(path, reason) from error
        if array.dtype != object:
            arrays[name] = _as_float(array)
    return arrays


def _as_float(array: np.ndarray) -> np.ndarray:
    """A copy; float32 for the floats that NumPy lacks, or crnn does not compute in."""
    is_half = array.dtype == np.float16 or array.dtype.kind not in "biufc"
    return array.astype(np.float32 if is_half else array.dtype)


def from_onnx(model, *, node: str | None = None) -> RNN:
    """The recurrent network in an ONNX model, in evaluation mode.

    Takes over RNN nodes with Tanh or Relu, of any direction and layout: one for each
    layer, or one for each layer and direction, stacked by whatever moves numbers
    between them.  What reads them (a classifier, say) is left to the caller, who finds
    its weights in ``crnn.load(path)``.  So are the values that nodes get as initial_h
    and sequence_lens: pass them as hx and lengths.

    batch_first is as in the graph: True where the network reads (B, T, I).

    Args:
        model: the path of a file, or an onnx.ModelProto.
        node: the name of any RNN node of the wanted network, where there are several.

    Warns:
        UserWarning: a node gets initial_h or sequence_lens that the graph fixes.

    Raises:
        FormatError: (a ValueError) the file is damaged, holds no or several networks,
            or one that crnn.RNN cannot compute, such as layers in reverse only.
        OSError: the file cannot be read.
        ImportError: the onnx library is not installed.

    Example:
        >>> rnn = crnn.from_onnx("onsets.onnx")  # doctest: +SKIP
        >>> head = crnn.load("onsets.onnx")  # doctest: +SKIP
    """
    path = "the model"
    if not hasattr(model, "graph"):
        path = os.fsdecode(model)
        model = _read_model(path)
    graph = LabelledGraph(_library(), model)
    nodes = [
        n for n in model.graph.node if n.op_type == "RNN" and n.domain in OWN_DOMAINS
    ]
    try:
        stack = _choose(join(read_layers(graph, nodes)), node, model)
        batch_first = is_batch_first(graph, stack[0])
        state = {name: _as_float(array) for name, array in state_of(stack).items()}
        fixed = _fixed_inputs(graph, [n for layer in stack for n in layer.nodes])
        (nonlinearity,) = stack[0].kind[2]
        rnn = RNN.from_state_dict(
            state, nonlinearity=nonlinearity, batch_first=batch_first
        )
    except _ERRORS as error:
        raise FormatError(path, str(error)) from error
    for name, argument in fixed.items():
        message = f"{path}: the graph fixes {name!r}: pass its value as {argument}"
        warnings.warn(message, stacklevel=2)
    return rnn.eval()


def _choose(stacks: list[list[Layer]], node: str | None, model) -> list[Layer]:
    """The only network, or that of a node; Unsupported with advice."""
    if not stacks:
        others = {n.op_type for n in model.graph.node} & {"LSTM", "GRU", "Loop", "Scan"}
        found = f", only {' and '.join(sorted(others))}" if others else ""
        raise Unsupported(
            f"the graph has no RNN node{found} (torch.onnx.export writes one with "
            "dynamo=False; otherwise save the state_dict)"
        )
    names = [[name_of(n) for layer in s for n in layer.nodes] for s in stacks]
    chosen = [i for i, own in enumerate(names) if node is None or node in own]
    if len(chosen) != 1:
        choices = "; ".join(" + ".join(map(repr, own)) for own in names[:9])
        raise Unsupported(
            f"the graph holds {len(stacks)} networks, of these nodes: {choices}; name "
            "a node that only one of them has as node="
        )
    stack = stacks[chosen[0]]
    if stack[0].kind[0] == [True]:
        raise Unsupported(
            f"the nodes {' + '.join(map(repr, names[chosen[0]]))} run in reverse only, "
            "and crnn.RNN has no such layers: set their direction to forward, and "
            "reverse input and output along time"
        )
    if any(len(part) != 1 for part in stack[0].kind[1:]):
        raise Unsupported("the two directions of a layer differ in more than weights")
    return stack


def _fixed_inputs(graph: LabelledGraph, nodes: list) -> dict[str, str]:
    """Inputs of the nodes that the graph fixes, and the argument each should be."""
    fixed = {}
    for node in nodes:
        lengths, h_0 = [*node.input[4:6], "", ""][:2]
        maker = graph.makers.get(lengths)
        if lengths in graph.constants or (maker and maker.op_type == "Constant"):
            fixed[lengths] = "lengths"
        if h_0 and graph.is_fixed(h_0):
            fixed[h_0] = "hx"
    return fixed


def to_onnx(
    rnn: RNN, path: str | os.PathLike, *, hx: bool = False, lengths: bool = False
) -> None:
    """Write a network as an ONNX model of RNN nodes, one for each layer.

    Its inputs are "input", (T, B, I) or with batch_first (B, T, I), and what is asked
    for; its outputs are "output" and "h_n", as of a call in evaluation mode.  Opset 14.

    Args:
        rnn: the network.
        path: the file; one of that name is replaced when the new one is complete.
        hx: whether the model takes the initial states "hx", (L*D, B, H).
        lengths: whether the model takes "lengths", (B,) of int32.

    Raises:
        TypeError: rnn is no crnn.RNN.
        OSError: the file cannot be written.
        ImportError: the onnx library is not installed.
    """
    if not isinstance(rnn, RNN):
        raise TypeError(f"rnn must be a crnn.RNN, not {type(rnn).__name__}")
    helper = _library().helper
    D = 2 if rnn.bidirectional else 1
    outer = ["B", "T"] if rnn.batch_first else ["T", "B"]
    states = [rnn.num_layers * D, "B", rnn.hidden_size]
    element = helper.np_dtype_to_tensor_dtype(next(rnn.parameters()).dtype)

    def value(name, shape, element=element):
        return helper.make_tensor_value_info(name, element, shape)

    inputs = [value("input", [*outer, rnn.input_size])]
    inputs += [value("hx", states)] if hx else []
    int32 = helper.np_dtype_to_tensor_dtype(np.dtype(np.int32))
    inputs += [value("lengths", ["B"], int32)] if lengths else []
    outputs = [value("output", [*outer, D * rnn.hidden_size]), value("h_n", states)]
    nodes, constants = _parts(rnn, D, hx, lengths)
    graph = helper.make_graph(nodes, "RNN", inputs, outputs, constants)
    model = helper.make_model(
        graph,
        producer_name="crnn",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    write_file(os.fsdecode(path), model.SerializeToString())


def _parts(rnn: RNN, D: int, hx: bool, lengths: bool) -> tuple[list, list]:
    """The nodes of a network's graph, and its constants."""
    library = _library()
    nodes, constants = [], []

    def constant(name, array):
        constants.append(library.numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(kind, inputs, output, *more, **attributes):
        names = [output, *more]
        nodes.append(
            library.helper.make_node(kind, inputs, names, output, **attributes)
        )
        return output

    L = range(rnn.num_layers)
    x = "input"
    if rnn.batch_first:
        x = node("Transpose", [x], "input_by_time", perm=[1, 0, 2])
    if hx:
        counts = constant("directions", [D] * len(L))
        node("Split", ["hx", counts], *(f"h_0_l{k}" for k in L), axis=0)
    for k in L:
        own = dict(zip(("W", "R", "B"), _stacked(rnn, k, D), strict=False))
        weights = [constant(f"{kind}_l{k}", a) for kind, a in own.items()]
        weights += [""] * (3 - len(weights))
        given = ["lengths" if lengths else "", f"h_0_l{k}" if hx else ""]
        y = node(
            "RNN",
            [x, *weights, *given],
            f"y_l{k}",
            f"h_n_l{k}",
            hidden_size=rnn.hidden_size,
            direction="bidirectional" if D == 2 else "forward",
            activations=[{"RNN_TANH": "Tanh", "RNN_RELU": "Relu"}[rnn.mode]] * D,
        )
        last = k == L[-1] and not rnn.batch_first
        x = "output" if last else f"output_l{k}"
        by_row = node("Transpose", [y], f"by_row_l{k}", perm=[0, 2, 1, 3])
        node("Reshape", [by_row, "joined"], x)
    constant("joined", [0, 0, -1])
    if rnn.batch_first:
        node("Transpose", [x], "output", perm=[1, 0, 2])
    node("Concat", [f"h_n_l{k}" for k in L], "h_n", axis=0)
    return nodes, constants


def _stacked(rnn: RNN, layer: int, D: int) -> list[np.ndarray]:
    """W (D, H, I), R (D, H, H) and, with bias, B (D, 2*H) of one layer."""
    parts = rnn.all_weights[layer * D : layer * D + D]
    stacked = [np.stack([weights[i] for weights in parts]) for i in range(2)]
    if rnn.bias:
        stacked.append(np.stack([np.concatenate(weights[2:]) for weights in parts]))
    return stacked
