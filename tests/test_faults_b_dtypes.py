"""Faults, group B: dtypes, and what is no array of numbers."""

import warnings

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
    same_bits,
)
from shapes import draw

import crnn

OTHER = {"float32": "float64", "float64": "float32"}


@both_dtypes
def test_fault_21_float64_x_with_float32_weights_and_the_reverse(dtype):
    other = OTHER[dtype]
    net, x = network(dtype), draw(T, B, I, dtype=other)
    text = (
        f"RNN input dtype ({other}) does not match weight dtype ({dtype}). Convert "
        f"input: input.astype({dtype}), or convert model: model.to({other})"
    )
    with refused(crnn.DTypeError, text, net, x):
        net(x)
    h0 = draw(1, B, H, dtype=other)
    text = f"mat1 and mat2 must have the same dtype, but got {other} and {dtype}"
    with refused(crnn.DTypeError, text, net, h0):
        net(x.astype(dtype), h0)
    with refused(crnn.DTypeError, "must have the same dtype", net := cell(dtype), x):
        net(x[0])


def test_fault_21_dtype_error_is_what_an_except_for_torch_catches():
    assert issubclass(crnn.DTypeError, (TypeError,))
    assert issubclass(crnn.DTypeError, (ValueError,))
    assert issubclass(crnn.DTypeError, (RuntimeError,))
    assert issubclass(crnn.ShapeError, (ValueError,))
    assert issubclass(crnn.ShapeError, (RuntimeError,))


FOREIGN = [
    "float16",
    "longdouble",
    "int64",
    "bool",
    "uint8",
    "complex64",
    "clongdouble",
]


@both_dtypes
@pytest.mark.parametrize("foreign", FOREIGN)
def test_fault_22_23_24_other_numbers(foreign, dtype):
    if np.dtype(foreign).name == dtype:
        pytest.skip("longdouble is float64 here")
    net, h0 = network(dtype), np.ones((1, B, H), foreign)
    x = np.ones((T, B, I), foreign)
    with refused(crnn.DTypeError, np.dtype(foreign).name, net, x):
        net(x)
    with refused(crnn.DTypeError, np.dtype(foreign).name, net, h0):
        net(draw(T, B, I, dtype=dtype), h0)


@pytest.mark.parametrize("foreign", [*FOREIGN, "S4", "O", "M8[s]", "no such", ()])
def test_fault_22_23_24_dtype_of_the_network(foreign):
    for make in network, cell:
        with refused(crnn.DTypeError, "", net := network()):
            make(foreign)
        with refused(crnn.DTypeError, "", net):
            net.to(foreign or np.int8)


def test_fault_22_bfloat16():
    torch = pytest.importorskip("torch", reason="torch has the bfloat16 to refuse")
    with refused(crnn.DTypeError, "torch.bfloat16", net := network()):
        net.eval()(torch.zeros(T, B, I, dtype=torch.bfloat16))


@both_dtypes
def test_fault_25_byte_order(dtype):
    net = network(dtype, num_layers=2, bidirectional=True)
    x, h0 = draw(T, B, I, dtype=dtype), draw(4, B, H, dtype=dtype)
    swapped = np.dtype(dtype).newbyteorder("S")
    expected = net(x, h0)
    for arguments in (x.astype(swapped), h0), (x, h0.astype(swapped)):
        results = check_right(net, *arguments)
        assert all(map(same_bits, results, expected))
    parameter = net.weight_ih_l0.astype(swapped) + 1
    net.weight_ih_l0 = parameter
    assert np.array_equal(net.weight_ih_l0, parameter)
    check_usable(net)


@both_dtypes
@pytest.mark.parametrize(
    "foreign",
    ["O", "S4", "U4", "V4", "M8[s]", "m8[s]", [("a", "f4")], "string", "user"],
)
def test_fault_26_27_28_no_numbers(foreign, dtype):
    if foreign == "string":
        if not hasattr(np.dtypes, "StringDType"):
            pytest.skip("this NumPy has no StringDType")
        foreign = np.dtypes.StringDType()
    elif foreign == "user":
        tests = pytest.importorskip("numpy._core._rational_tests")
        foreign = np.dtype(tests.rational)
    x = np.zeros((T, B, I), foreign)
    for net in network(dtype), cell(dtype):
        with refused(TypeError, "", net):
            net(x if isinstance(net, crnn.RNN) else x[0])
        with refused((TypeError, ValueError, RuntimeError), "", net):
            net.load_state_dict({k: np.zeros((), foreign) for k in net.state_dict()})


@pytest.mark.parametrize("mask", [False, True])
def test_fault_38_masked_array(mask):
    net, x, h0 = network(), draw(T, B, I), draw(1, B, H)
    with refused(TypeError, "mask", net):
        net(np.ma.array(x, mask=mask))
    with refused(TypeError, "mask", net):
        net(x, np.ma.array(h0, mask=mask))
    with refused((TypeError, ValueError), "mask", net):
        net(x, lengths=np.ma.array([2, 2], mask=mask))
    weight = np.ma.array(net.weight_ih_l0 * 2, mask=mask)
    with refused((TypeError, ValueError), "mask", net):
        net.weight_ih_l0 = weight
    with refused((TypeError, ValueError, RuntimeError), "mask", net):
        net.load_state_dict({**net.state_dict(), "weight_ih_l0": weight})


class Liar:
    """An object that pretends to be an array, with nothing behind it."""

    shape, dtype, ndim, strides, itemsize = (T, B, I), np.dtype("f4"), 3, None, 4
    __array_priority__ = 1e9

    def __init__(self, protocol, answer):
        self.answer = answer
        self.protocol = protocol

    def __getattr__(self, name):
        if name == "__dlpack_device__" and self.protocol == "__dlpack__":
            return lambda: (1, 0)
        if name != self.protocol:
            raise AttributeError(name)
        return self.answer


INTERFACE = {"shape": (T, B, I), "typestr": "<f4", "data": (8, False), "version": 3}


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        ("__array__", lambda *args, **kwargs: np.zeros((T, B, I), np.float32)),
        ("__array__", lambda *args, **kwargs: None),
        ("__array_interface__", INTERFACE),
        ("__array_interface__", {**INTERFACE, "shape": (2**60,)}),
        ("__array_struct__", None),
        ("__dlpack__", lambda *args, **kwargs: None),
        ("__dlpack__", lambda *args, **kwargs: {}["no capsule"]),
        ("no", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_fault_39_liars(protocol, answer):
    liar, x = Liar(protocol, answer), draw(T, B, I)
    kinds = (TypeError, ValueError, AttributeError, KeyError, RuntimeError, BufferError)
    with refused(kinds, "", net := network()):
        net(liar)
    with refused(kinds, "", net):
        net(x, liar)


def test_fault_27_warnings_do_not_replace_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in np.array(["a", "b"]), np.array([object()]), np.array(1j):
            with refused((TypeError, ValueError), "", net := network()):
                net(x)
