"""Faults, group A: the constructor and the parameters."""

import contextlib

import numpy as np
import pytest
from faults import (
    B,
    H,
    I,
    both_dtypes,
    check_right,
    check_usable,
    network,
    refused,
)
from shapes import draw

import crnn


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {}),
        ((3,), {}),
        ((3, 5, 1, "tanh", True, False, 0.0, False, None, None, 0, 0), {}),
        ((3, 5), {"hidden_sizes": 5}),
        ((3, 5), {"input_size": 3}),
        ((3.5, 5), {}),
        ((3, 5.5), {}),
        ((3, 5.0), {}),
        ((3, "5"), {}),
        ((3, None), {}),
        ((3, True), {}),
        ((3, 5, 2.0), {}),
        ((3, 5, "2"), {}),
        ((3, 5, None), {}),
        ((3, 5, [1]), {}),
        ((3, 5), {"bias": 1}),
        ((3, 5), {"bias": None}),
        ((3, 5), {"bias": np.True_}),
        ((3, 5), {"batch_first": 0}),
        ((3, 5, 2), {"dropout": None}),
        ((3, 5, 2), {"dropout": [0.5]}),
    ],
    ids=str,
)
def test_fault_07_arguments_of_the_constructor(arguments, keywords):
    with pytest.raises(TypeError):
        crnn.RNN(*arguments, **keywords)
    check_usable(network())


@pytest.mark.parametrize("dropout", ["abc", "0.5", True, -0.1, 1.1, np.inf, np.nan])
def test_fault_07_dropout_is_no_probability(dropout):
    with pytest.raises(ValueError):
        crnn.RNN(3, 5, 2, dropout=dropout)


class HostileInt(int):
    """An int that does what it wants when anyone takes it as an index."""

    action = staticmethod(lambda: None)

    def __index__(self):
        self.action()
        return 10**9

    __int__ = __index__


def test_fault_08_hostile_int_as_a_size():
    def fail():
        raise KeyError("mine")

    size = HostileInt(H)
    size.action = fail
    with contextlib.suppress(KeyError, TypeError):
        net = crnn.RNN(I, size)
        assert net.weight_hh_l0.shape == (H, H)
        check_usable(net)
    check_usable(network())


@both_dtypes
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0"])
@pytest.mark.parametrize(
    "shape", [(I, H), (H, I + 1), (1, 1), (H, 1), (H,), (H, I, 1), (), (0, 0)], ids=str
)
def test_fault_09_shape_of_a_matrix(name, shape, dtype):
    net, value = network(dtype), np.zeros(shape, dtype)
    with refused(crnn.ShapeError, name, net, value):
        setattr(net, name, value)


@both_dtypes
@pytest.mark.parametrize("name", ["bias_ih_l0", "bias_hh_l0"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (H, 1), (1, H), (0,)], ids=str)
def test_fault_10_shape_of_a_bias(name, shape, dtype):
    net, value = network(dtype), np.zeros(shape, dtype)
    with refused(crnn.ShapeError, name, net, value):
        setattr(net, name, value)
    with refused(RuntimeError, f"size mismatch for {name}", net, value):
        net.load_state_dict({**net.state_dict(), name: value})


def test_fault_11_number_of_weights():
    net, deep = network(), network(num_layers=2, bidirectional=True)
    with refused(RuntimeError, 'Unexpected key(s) in state_dict: "weight_ih_l0_r', net):
        net.load_state_dict(deep.state_dict())
    with refused(RuntimeError, "Missing key(s) in state_dict", deep):
        deep.load_state_dict(net.state_dict())
    with refused(AttributeError, "", net), contextlib.suppress(KeyError):
        net.weight_ih_l1  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((0, 5), "input_size must be greater than zero"),
        ((-1, 5), "input_size must be greater than zero"),
        ((3, 0), "hidden_size must be greater than zero"),
        ((3, -1), "hidden_size must be greater than zero"),
        ((3, 5, 0), "num_layers must be greater than zero"),
        ((3, 5, -1), "num_layers must be greater than zero"),
        ((-(2**70), 5), "input_size must be greater than zero"),
        ((3, 5, -(2**70)), "num_layers must be greater than zero"),
    ],
    ids=str,
)
def test_fault_14_15_sizes_below_one(arguments, text):
    with pytest.raises(ValueError, match=text):
        crnn.RNN(*arguments)
    check_usable(network())


@pytest.mark.parametrize("sizes", [(-1, 5), (3, -1), (-(2**63), 5)], ids=str)
def test_fault_15_negative_size_of_a_cell(sizes):
    with pytest.raises((RuntimeError, ValueError, OverflowError)):
        crnn.RNNCell(*sizes)


@pytest.mark.parametrize("sizes", [(0, 5), (3, 0), (0, 0)], ids=str)
def test_fault_15_size_zero_of_a_cell(sizes):
    """torch allows them; crnn computes the same or refuses."""
    with contextlib.suppress(ValueError, RuntimeError):
        net = crnn.RNNCell(*sizes)
        check_right(net, draw(B, sizes[0]))


@pytest.mark.parametrize(
    "value", ["sigmoidx", None, b"tanh", "TANH", True, "x" * 10**6]
)
def test_fault_17_nonlinearity(value):
    with pytest.raises(ValueError) as caught:
        crnn.RNN(I, H, nonlinearity=value)
    assert "Select from 'tanh' or 'relu'." in str(caught.value)
    check_usable(network())
