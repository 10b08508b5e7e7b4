"""ONNX models for the tests, written node by node."""

import numpy as np
import pytest
from shapes import draw

import crnn

onnx = pytest.importorskip("onnx", reason="needs the onnx library")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
FLOAT, INT32, DOUBLE = 1, 6, 11
I, H, T, B = 3, 4, 6, 3  # noqa: E741


def weights(suffix, inputs=I, D=1, hidden=H, bias=True, seed=0, dtype="float32"):
    """W, R and B of one node, by their names."""
    rng = np.random.default_rng(seed)
    shapes = {"W": (D, hidden, inputs), "R": (D, hidden, hidden), "B": (D, 2 * hidden)}
    return {
        f"{kind}{suffix}": rng.uniform(-0.5, 0.5, shape).astype(dtype)
        for kind, shape in shapes.items()
        if bias or kind != "B"
    }


def rnn(x, suffix, y=None, h_0="", lengths="", bias=True, **attributes):
    """A node of the weights with this suffix."""
    inputs = [x, f"W{suffix}", f"R{suffix}", f"B{suffix}" if bias else "", lengths, h_0]
    outputs = [y or f"Y{suffix}", f"Y_h{suffix}"]
    name = attributes.pop("name", f"rnn{suffix}")
    return helper.make_node(
        "RNN", inputs, outputs, name=name, hidden_size=H, **attributes
    )


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


def model(nodes, constants, inputs=None, outputs=("Y",), opset=18, ir_version=8):
    """A checked model; inputs are by name their shapes, or shapes and types."""
    inputs = {"X": ["T", "B", I]} if inputs is None else inputs
    given = []
    for name, shape in inputs.items():
        shape, kind = shape if isinstance(shape, tuple) else (shape, FLOAT)
        given.append(helper.make_tensor_value_info(name, kind, shape))
    graph = helper.make_graph(
        nodes,
        "graph",
        given,
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    made = helper.make_model(
        graph,
        ir_version=ir_version,
        opset_imports=[helper.make_opsetid("", opset)],
    )
    for output in made.graph.output:  # of any shape, which a checker does not like
        output.type.tensor_type.elem_type = FLOAT
    return made


def run(made, **feeds):
    """What onnxruntime gives for all outputs of a model."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


TURN = {
    "last": np.array([-1]),
    "first": np.array([-(2**63)]),
    "time": np.array([0]),
    "back": np.array([-1]),
}


def turned(x, y):
    """A node that reverses time; its constants are TURN."""
    return node("Slice", f"{x} last first time back", y)


HEAD = {"squeeze": np.array([1]), "joined": np.array([0, 0, -1])}


def squeezed(suffix, y):
    return node("Squeeze", f"Y{suffix} squeeze", y)


def joined(suffix, y):
    return [
        node("Transpose", f"Y{suffix}", f"swapped{suffix}", perm=[0, 2, 1, 3]),
        node("Reshape", f"swapped{suffix} joined", y),
    ]


def stack(between, inputs=H, **more):
    """Two nodes with others between, from Y0 to X1."""
    nodes = [rnn("X", "0"), *between, rnn("X1", "1"), squeezed("1", "Y")]
    constants = {**weights("0"), **weights("1", inputs, seed=1), **HEAD, **more}
    return model(nodes, constants)


def check(made, net, **feeds):
    """The network gives what onnxruntime gives as the first output of the model."""
    x = draw(B, T, I) if net.batch_first else draw(T, B, I)
    right = run(made, X=x, **feeds)[0]
    output, _ = net.eval()(x)
    np.testing.assert_allclose(output, right, rtol=0, atol=1e-6)


def refused(made, text, **options):
    with pytest.raises(crnn.FormatError, match=text) as caught:
        crnn.from_onnx(made, **options)
    return str(caught.value)
