"""crnn.from_onnx on single nodes: what they may ask for, and what is refused."""

import numpy as np
import onnx_models as om
import pytest
from onnx_models import (
    FLOAT,
    HEAD,
    INT32,
    B,
    H,
    I,
    T,
    check,
    helper,
    node,
    onnx,
    refused,
    rnn,
    squeezed,
    stack,
    weights,
)
from shapes import draw

import crnn


def test_activations():
    made = om.model(
        [rnn("X", "", activations=["relu"]), squeezed("", "Z")], weights("")
    )
    assert crnn.from_onnx(made).nonlinearity == "relu"
    for activations, text in (
        (["Sigmoid"], "Sigmoid"),
        (["Affine"], "Affine"),
        (["Tanh", "Tanh"], "one activation for each"),
    ):
        refused(om.model([rnn("X", "", activations=activations)], weights("")), text)
    options = {"direction": "bidirectional", "activations": ["Tanh", "Relu"]}
    refused(
        om.model([rnn("X", "", **options)], weights("", D=2)), "directions .* differ"
    )
    between = [squeezed("0", "X1")]
    made = stack(between)
    made.graph.node[0].attribute.append(helper.make_attribute("activations", ["Relu"]))
    refused(made, "2 networks")
    assert crnn.from_onnx(made, node="rnn0").nonlinearity == "relu"


REFUSED = {
    "clip": (rnn("X", "", clip=3.0), weights(""), "clips"),
    "reverse": (rnn("X", "", direction="reverse"), weights(""), "reverse only"),
    "no such direction": (rnn("X", "", direction="up"), weights(""), "direction"),
    "W is an input": (rnn("X", "", lengths=""), {}, "does not hold"),
    "W of D = 2": (rnn("X", ""), weights("", D=2), "weights of shapes"),
    "W flat": (rnn("X", ""), weights("") | {"W": np.zeros((H, I), "f4")}, "no weights"),
    "W of integers": (
        rnn("X", ""),
        weights("") | {"W": np.zeros((1, H, I), "i4")},
        "int32",
    ),
    "R not square": (
        rnn("X", ""),
        weights("") | {"R": np.zeros((1, H, H + 1), "f4")},
        "weights of shapes",
    ),
    "B too short": (
        rnn("X", ""),
        weights("") | {"B": np.zeros((1, H), "f4")},
        "biases of shape",
    ),
    "H = 0": (rnn("X", ""), weights("", hidden=0), "weights of shapes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_nodes_that_are_refused(name):
    made, constants, text = REFUSED[name]
    message = refused(om.model([made], constants), text)
    assert message.startswith("the model: ")


def test_graphs_without_an_rnn():
    assert "dynamo=False" in refused(om.model([], {}, outputs=()), "no RNN node")
    lstm = helper.make_node("LSTM", ["X", "W", "R"], ["Y"], hidden_size=H)
    refused(om.model([lstm], weights("")), "only LSTM")


@pytest.mark.parametrize("argument", ["h_0", "lengths"])
def test_inputs_of_nodes_are_the_caller_s(argument):
    """Silent if they are inputs of the graph, or zero; else a warning names them."""
    given = {"h_0": ([1, "B", H], FLOAT), "lengths": (["B"], INT32)}[argument]
    nodes = [rnn("X", "", **{argument: "given"})]
    crnn.from_onnx(om.model(nodes, weights(""), {"X": ["T", "B", I], "given": given}))
    if argument == "h_0":
        zeros = {"given": np.zeros((1, B, H), "f4")}
        crnn.from_onnx(om.model(nodes, weights("") | zeros))
        nodes.insert(0, node("Expand", "learned shape", "given"))
        fixed = {"learned": np.ones((1, 1, H), "f4"), "shape": np.array([1, B, H])}
    else:
        fixed = {"given": np.full(B, 2, "i4")}
    word = {"h_0": "hx", "lengths": "lengths"}[argument]
    with pytest.warns(UserWarning, match=f"'given': pass its value as {word}"):
        crnn.from_onnx(om.model(nodes, weights("") | fixed))


def test_some_nodes_without_biases():
    nodes = [rnn("X", "0", bias=False), squeezed("0", "X1"), rnn("X1", "1")]
    nodes.append(squeezed("1", "Y"))
    constants = weights("0", bias=False) | weights("1", H, seed=1) | HEAD
    made = om.model(nodes, constants)
    net = crnn.from_onnx(made)
    assert net.bias and not net.bias_ih_l0.any() and net.bias_ih_l1.any()
    check(made, net)


def test_nodes_of_one_name():
    nodes = [rnn("X", "0", name="a"), squeezed("0", "X1"), rnn("X1", "1", name="a")]
    nodes.append(squeezed("1", "Y"))
    made = om.model(nodes, weights("0") | weights("1", H, seed=1) | HEAD)
    net = crnn.from_onnx(made, node="a")
    assert net.num_layers == 2
    assert np.array_equal(net.weight_ih_l1, weights("1", H, seed=1)["W1"][0])


def test_operators_of_others():
    other = rnn("X", "")
    other.domain = "com.example"
    refused(om.model([other], weights("")), "no RNN node")


def test_attributes_of_a_wrong_type():
    for name, value in ("activations", [1]), ("direction", 3):
        made = rnn("X", "")
        made.attribute.append(helper.make_attribute(name, value))
        refused(om.model([made], weights("")), "the model")


def test_nodes_without_names_and_a_lone_state():
    made = om.model([rnn("X", "", name="")], weights(""))
    assert crnn.from_onnx(made, node="Y").hidden_size == H
    lone = helper.make_node("RNN", ["X", "W", "R", "B"], ["", "Y_h"], hidden_size=H)
    made = om.model([lone], weights(""), outputs=["Y_h"])
    x = draw(T, B, I)
    _, h_n = crnn.from_onnx(made)(x)
    np.testing.assert_allclose(h_n, om.run(made, X=x)[0], rtol=0, atol=1e-6)


def test_a_model_that_is_no_model(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"hello")
    refused(path, "no valid ONNX model")
    empty = onnx.ModelProto()
    refused(empty, "no RNN node")
    made = om.model([rnn("X", "")], weights(""))
    made.graph.initializer[0].dims[0] = 2**40
    refused(made, "reshape")
