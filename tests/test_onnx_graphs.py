"""crnn.from_onnx on graphs of every wiring: taken over rightly, or refused clearly."""

import numpy as np
import onnx_models as om
import pytest
from onnx_models import (
    HEAD,
    INT32,
    H,
    I,
    T,
    check,
    joined,
    node,
    refused,
    rnn,
    squeezed,
    stack,
    turned,
    weights,
)
from shapes import draw

import crnn

STACKS = {
    "squeeze": [squeezed("0", "X1")],
    "transpose and reshape": joined("0", "X1"),
    "identity and dropout": [
        squeezed("0", "a"),
        node("Identity", "a", "b"),
        node("Dropout", "b", "X1"),
    ],
    "cast there and back": [
        squeezed("0", "a"),
        node("Cast", "a", "b", to=11),
        node("Cast", "b", "X1", to=1),
    ],
    "split and concat": [
        squeezed("0", "a"),
        node("Split", "a", "b c", axis=2, num_outputs=2),
        node("Concat", "b c", "X1", axis=2),
    ],
    "reshape to a shape that is computed": [
        node("Shape", "X", "shape"),
        node("Slice", "shape zero two", "outer"),
        node("Concat", "outer features", "target", axis=0),
        node("Reshape", "Y0 target", "X1"),
    ],
    "turned twice": [squeezed("0", "a"), turned("a", "b"), turned("b", "X1")],
}
MORE = om.TURN | {
    "zero": np.array([0]),
    "two": np.array([2]),
    "features": np.array([H]),
}


@pytest.mark.parametrize("name", STACKS)
def test_nodes_that_stack(name):
    made = stack(STACKS[name], **MORE)
    net = crnn.from_onnx(made)
    assert net.num_layers == 2 and net.hidden_size == H
    check(made, net)


APART = {
    "tanh": [squeezed("0", "a"), node("Tanh", "a", "X1")],
    "doubled": [squeezed("0", "a"), node("Add", "a a", "X1")],
    "residual": [squeezed("0", "a"), node("Add", "a X_wide", "X1")],
    "features turned": [
        squeezed("0", "a"),
        node("Slice", "a last first two back", "X1"),
    ],
    "batch turned": [squeezed("0", "a"), node("Slice", "a last first one back", "X1")],
    "time rolled": [
        squeezed("0", "a"),
        node("Slice", "a one big time", "b"),
        node("Slice", "a time one time", "c"),
        node("Concat", "b c", "X1", axis=0),
    ],
    "cut": [squeezed("0", "a"), node("Slice", "a one big time", "X1")],
    "cast to integers": [
        squeezed("0", "a"),
        node("Cast", "a", "b", to=6),
        node("Cast", "b", "X1", to=1),
    ],
    "axes exchanged": [
        squeezed("0", "a"),
        node("Transpose", "a", "X1", perm=[1, 0, 2]),
    ],
}


@pytest.mark.parametrize("name", APART)
def test_nodes_that_do_not_stack(name):
    """Each is a network of its own; to join them would compute something else."""
    more = {"one": np.array([1]), "big": np.array([2**62])}
    more |= {"X_wide": np.ones((1, 1, H), "f4")}
    made = stack(APART[name], **MORE, **more)
    message = refused(made, "2 networks")
    assert "'rnn0'; 'rnn1'" in message and "node=" in message
    for which in "0", "1":
        net = crnn.from_onnx(made, node=f"rnn{which}")
        assert net.num_layers == 1
        right = weights(which, I if which == "0" else H, seed=int(which))
        assert np.array_equal(net.weight_ih_l0, right[f"W{which}"][0])
    refused(made, "2 networks", node="rnn2")


def one_direction_each(order):
    """Two layers of two nodes, a forward one and one that reads the turned input."""
    nodes, constants, x = [], {**om.TURN, **HEAD}, "X"
    for layer in 0, 1:
        f, r = f"f{layer}", f"r{layer}"
        forward = [rnn(x, f), squeezed(f, f"out_{f}")]
        reverse = [turned(x, f"turned{layer}"), rnn(f"turned{layer}", r)]
        reverse += [squeezed(r, f"back{layer}"), turned(f"back{layer}", f"out_{r}")]
        nodes += [n for part in order for n in (forward, reverse)[part]]
        x = f"joined{layer}"
        nodes.append(node("Concat", f"out_{f} out_{r}", x, axis=2))
        for i, suffix in enumerate((f, r)):
            inputs = I if layer == 0 else 2 * H
            constants |= weights(suffix, inputs, seed=2 * layer + i)
    nodes.append(node("Identity", x, "Y"))
    return om.model(nodes, constants)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_node_for_each_direction(order):
    made = one_direction_each(order)
    net = crnn.from_onnx(made)
    assert net.num_layers == 2 and net.bidirectional
    check(made, net)


def test_unbatched_and_batch_first():
    """(T, I) with an axis put in; (B, T, I) with axes exchanged, or as layout."""
    axis = {"axis": np.array([1])}
    nodes = [node("Unsqueeze", "X axis", "x"), rnn("x", ""), squeezed("", "out")]
    made = om.model(nodes, weights("") | HEAD | axis, {"X": ["T", "n"]}, ["out"])
    net = crnn.from_onnx(made)
    assert not net.batch_first
    x = draw(T, I)
    right = om.run(made, X=x)[0]
    np.testing.assert_allclose(net(x)[0], right[:, 0], rtol=0, atol=1e-6)

    for shape in ["B", "T", I], ["B", "T", "n"], [1, 5, I], [5, 1, I], [5, 5, I]:
        nodes = [
            node("Transpose", "X", "x", perm=[1, 0, 2]),
            rnn("x", ""),
            squeezed("", "y"),
            node("Transpose", "y", "out", perm=[1, 0, 2]),
        ]
        made = om.model(nodes, weights("") | HEAD, {"X": shape}, ["out"])
        assert crnn.from_onnx(made).batch_first, shape
        made = om.model([rnn("X", "", layout=1)], weights(""), {"X": shape})
        assert crnn.from_onnx(made).batch_first, shape
        made = om.model([rnn("X", "")], weights(""), {"X": shape})
        assert not crnn.from_onnx(made).batch_first, shape


def test_layout_1_in_a_stack():
    last = {"joined": np.array([0, 0, -1])}
    nodes = [
        rnn("X", "0", layout=1, direction="bidirectional"),
        node("Reshape", "Y0 joined", "X1"),
        rnn("X1", "1", layout=1, direction="bidirectional"),
    ]
    constants = weights("0", D=2) | weights("1", 2 * H, D=2) | last
    net = crnn.from_onnx(om.model(nodes, constants, {"X": ["B", "T", I]}))
    assert net.num_layers == 2 and net.bidirectional and net.batch_first


def test_padded_input_read_from_its_end():
    nodes = [turned("X", "x"), rnn("x", "", lengths="lengths"), squeezed("", "Y")]
    inputs = {"X": ["T", "B", I], "lengths": (["B"], INT32)}
    made = om.model(nodes, weights("") | om.TURN | HEAD, inputs)
    refused(made, "padded sequences from their end")


def test_old_models():
    """Axes as attributes before opset 13, weights that are inputs too before IR 4."""
    nodes = [rnn("X", "0"), node("Squeeze", "Y0", "X1", axes=[1]), rnn("X1", "1")]
    nodes.append(node("Squeeze", "Y1", "Y", axes=[1]))
    constants = weights("0") | weights("1", H, seed=1)
    inputs = {"X": ["T", "B", I], **{n: list(a.shape) for n, a in constants.items()}}
    made = om.model(nodes, constants, inputs, opset=9, ir_version=3)
    net = crnn.from_onnx(made)
    assert net.num_layers == 2
    check(made, net)


def test_two_readers_of_one_network():
    """The layer below belongs to both networks; a node of the upper one chooses."""
    nodes = [rnn("X", "0"), squeezed("0", "x"), rnn("x", "1"), rnn("x", "2")]
    constants = weights("0") | weights("1", H) | weights("2", H) | HEAD
    made = om.model(nodes, constants, outputs=["Y1", "Y2"])
    refused(made, "2 networks")
    refused(made, "only one of them", node="rnn0")
    assert crnn.from_onnx(made, node="rnn2").num_layers == 2


def test_models_that_would_take_all_memory():
    """Doubled sixty times, or of an absurd fixed shape: the labels stay few."""
    nodes = [node("Concat", "x0 x0", "x1", axis=1)]
    nodes += [node("Concat", f"x{i} x{i}", f"x{i + 1}", axis=1) for i in range(1, 60)]
    made = om.model([*nodes, rnn("x60", "")], weights(""), {"x0": ["T", "B", I]})
    assert crnn.from_onnx(made).hidden_size == H
    made = om.model([rnn("X", "")], weights(""), {"X": [2**40, 2**40, I]})
    assert crnn.from_onnx(made).hidden_size == H
    nodes = [node("Identity", f"x{i}", f"x{i + 1}") for i in range(10**4)]
    made = om.model([*nodes, rnn("x10000", "")], weights(""), {"x0": ["T", "B", I]})
    refused(made, "recursion")
