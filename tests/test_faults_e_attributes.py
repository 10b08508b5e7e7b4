"""Faults, group E: attributes and parameters (rows 68, 69 and 79)."""

import numpy as np
import pytest
from faults import (
    B,
    H,
    I,
    T,
    both_dtypes,
    cell,
    check_right,
    check_usable,
    network,
    refused,
)
from shapes import draw

import crnn


@pytest.mark.parametrize("make", [network, cell], ids=["rnn", "cell"])
def test_fault_68_parameters_cannot_be_deleted(make):
    net = make()
    for name in list(net.state_dict()):
        with refused(AttributeError, name, net):
            delattr(net, name)


@pytest.mark.parametrize("name", ["training", "dropout", "mode", "batch_first"])
def test_fault_68_deleted_attributes(name):
    """A call without one is an AttributeError, as in torch, until it is set again."""
    net, x = network(num_layers=2), draw(T, B, I)
    value = getattr(net, name)
    delattr(net, name)
    with pytest.raises(AttributeError, match=name):
        net(x)
    with pytest.raises(AttributeError):
        delattr(net, name)
    setattr(net, name, value)
    check_usable(net)


@both_dtypes
def test_fault_69_values_that_are_no_parameter(dtype):
    net = network(dtype)
    for value in None, 0.0, [[0.0] * I] * H, "x", object(), b"0" * 4 * H * I:
        with refused((TypeError, ValueError), "", net):
            net.weight_ih_l0 = value
    for other in "int64", "complex64", "O", "bool", "S4":
        with refused((TypeError, ValueError), "", net):
            net.weight_ih_l0 = np.ones((H, I), other)


@both_dtypes
def test_fault_69_parameters_overlapping_themselves(dtype):
    net = crnn.RNN(H, H, dtype=dtype)
    expected = net.weight_hh_l0.T.copy()
    net.weight_hh_l0 = net.weight_hh_l0.T
    assert np.array_equal(net.weight_hh_l0, expected)
    net.weight_ih_l0 = net.weight_hh_l0[::-1, ::-1]
    assert np.array_equal(net.weight_ih_l0, expected[::-1, ::-1])
    check_usable(net)


@pytest.mark.parametrize(
    "name",
    ["input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size"],
)
def test_fault_79_fixed_attributes(name):
    net = network()
    for value in 7, getattr(net, name), None, "x":
        with refused(AttributeError, name, net):
            setattr(net, name, value)
        with refused(RuntimeError, name, net):  # what torch raises, at the call
            setattr(net, name, value)
    with refused(AttributeError, name, net):
        delattr(net, name)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("mode", "X", AssertionError),
        ("mode", None, (AssertionError, TypeError)),
        ("mode", b"RNN_TANH", (AssertionError, TypeError)),
        ("mode", [], (AssertionError, TypeError)),
        ("dropout", 2.0, RuntimeError),
        ("dropout", -1, RuntimeError),
        ("dropout", float("nan"), RuntimeError),
        ("dropout", "x", TypeError),
        ("dropout", None, TypeError),
        ("batch_first", 1, TypeError),
        ("batch_first", None, TypeError),
    ],
    ids=repr,
)
def test_fault_79_live_attributes_of_a_wrong_type(name, value, error):
    net, x = network(num_layers=2), draw(T, B, I)
    good = getattr(net, name)
    setattr(net, name, value)
    for call in net, net.forward:
        with pytest.raises(error):
            call(x)
    setattr(net, name, good)
    check_usable(net)
    net.nonlinearity = "relu"  # no effect, as in torch
    check_right(crnn.RNN(I, H), x)
