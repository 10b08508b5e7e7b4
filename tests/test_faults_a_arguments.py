"""Faults, group A: arguments and shapes; the number in a test's name is its row."""

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


@both_dtypes
@pytest.mark.parametrize("ndim", [0, 1, 4])
def test_fault_01_rank_of_x(ndim, dtype):
    net, x = network(dtype), np.ones((I,) * ndim, dtype)
    text = f"RNN: Expected input to be 2D or 3D, got {ndim}D array instead"
    with refused(crnn.ShapeError, text, net, x):
        net(x)


@pytest.mark.parametrize("ndim", [0, 3, 4])
def test_fault_01_rank_of_x_of_a_cell(ndim):
    net, x = cell(), np.ones((I,) * ndim, np.float32)
    text = f"RNNCell: Expected input to be 1D or 2D, got {ndim}D instead"
    with refused(crnn.ShapeError, text, net, x):
        net(x)


@both_dtypes
@pytest.mark.parametrize("size", [0, 1, I - 1, I + 1, 1000])
@pytest.mark.parametrize("batched", [True, False], ids=["batched", "unbatched"])
def test_fault_02_last_axis_of_x(size, batched, dtype):
    net, x = network(dtype), draw(*((T, B) if batched else (T,)), size, dtype=dtype)
    text = f"input.size(-1) must be equal to input_size. Expected {I}, got {size}"
    with refused(crnn.ShapeError, text, net, x):
        net(x)


def test_fault_02_last_axis_of_x_of_a_cell():
    net, x = cell(), draw(B, I + 1)
    text = f"input has inconsistent input_size: got {I + 1} expected {I}"
    with refused(crnn.ShapeError, text, net, x):
        net(x)


@both_dtypes
@pytest.mark.parametrize(
    "shape",
    [(3, B, H), (5, B, H), (4, 1, H), (4, B + 1, H), (4, 0, H), (4, B, 1), (4, B, 6)],
    ids=str,
)
def test_fault_03_size_of_h0(shape, dtype):
    net = network(dtype, num_layers=2, bidirectional=True)
    x, h0 = draw(T, B, I, dtype=dtype), draw(*shape, dtype=dtype)
    text = f"Expected hidden size {(4, B, H)}, got {list(shape)}"
    with refused(crnn.ShapeError, text, net, x, h0):
        net(x, h0)


def test_fault_03_size_of_h0_says_the_inserted_axis_of_unbatched_x():
    net, x, h0 = network(), draw(T, I), draw(2, H)
    text = f"Expected hidden size (1, 1, {H}), got [2, 1, {H}]"
    with refused(crnn.ShapeError, text, net, x, h0):
        net(x, h0)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1, H), "Input batch size 2 doesn't match hidden0 batch size 1"),
        ((3, H), "Input batch size 2 doesn't match hidden0 batch size 3"),
        ((2, 6), "hidden0 has inconsistent hidden_size: got 6, expected 5"),
        ((2, 5, 1), "RNNCell: Expected hidden to be 1D or 2D, got 3D instead"),
        ((), "RNNCell: Expected hidden to be 1D or 2D, got 0D instead"),
        ((5,), ""),  # torch words it by accident
    ],
    ids=str,
)
def test_fault_03_size_of_h0_of_a_cell(shape, text):
    net, x, h0 = cell(), draw(2, I), np.zeros(shape, np.float32)
    with refused(crnn.ShapeError, text, net, x, h0):
        net(x, h0)


@both_dtypes
@pytest.mark.parametrize("ndim", [0, 1, 2, 4])
def test_fault_04_rank_of_h0(ndim, dtype):
    net, x, h0 = network(dtype), draw(T, B, I, dtype=dtype), np.ones((1,) * ndim, dtype)
    text = f"For batched 3-D input, hx should also be 3-D but got {ndim}-D array"
    with refused(crnn.ShapeError, text, net, x, h0):
        net(x, h0)


@both_dtypes
@pytest.mark.parametrize("batch", [1, B])
def test_fault_05_unbatched_x_with_batched_h0(batch, dtype):
    net, x, h0 = network(dtype), draw(T, I, dtype=dtype), draw(1, batch, H, dtype=dtype)
    text = "For unbatched 2-D input, hx should also be 2-D but got 3-D array"
    with refused(crnn.ShapeError, text, net, x, h0):
        net(x, h0)


@both_dtypes
def test_fault_05_batched_x_with_unbatched_h0(dtype):
    net, x, h0 = network(dtype), draw(T, 1, I, dtype=dtype), draw(1, H, dtype=dtype)
    text = "For batched 3-D input, hx should also be 3-D but got 2-D array"
    with refused(crnn.ShapeError, text, net, x, h0):
        net(x, h0)


@pytest.mark.parametrize("shape", [((I,), (1, H)), ((H,), (H, H)), ((1, I), (H,))])
def test_fault_05_mixed_ranks_of_a_cell(shape):
    net = cell() if shape[0][-1] == I else crnn.RNNCell(H, H)
    x, h0 = draw(*shape[0]), draw(*shape[1])
    with refused(crnn.ShapeError, "", net, x, h0):
        net(x, h0)


NOT_ARRAYS = [
    [0.0],
    [],
    1.0,
    3,
    None,
    "x",
    b"x",
    {},
    (0.0,),
    object(),
    ...,
]


@pytest.mark.parametrize("value", NOT_ARRAYS, ids=repr)
def test_fault_06_x_is_no_array(value):
    for net in network(), cell():
        with refused(TypeError, "numpy", net):
            net(value)


@pytest.mark.parametrize("value", [v for v in NOT_ARRAYS if v is not None], ids=repr)
def test_fault_06_h0_is_no_array(value):
    x = draw(T, B, I)
    with refused(TypeError, "numpy", net := network(), x):
        net(x, value)


def test_fault_07_arguments_of_the_call():
    x, h0 = draw(T, B, I), draw(1, B, H)
    bad_calls = [
        ((), {}),
        ((x, h0, h0), {}),
        ((x, h0, None, None), {}),
        ((x,), {"h0": h0}),
        ((x, h0), {"hx": h0}),
        ((x,), {"input": x}),
        ((), {"x": x}),
        ((), {"hx": h0}),
        ((x,), {"lengths": [1, 2], "length": [1, 2]}),
    ]
    for arguments, keywords in bad_calls:
        with refused(TypeError, "", net := network(), x, h0):
            net(*arguments, **keywords)
    y, hn = net(input=x, hx=h0)
    assert same_bits(y, net(x, h0)[0]) and same_bits(hn, net(x, hx=h0)[1])


@both_dtypes
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("batch", [None, 0, 1, B])
def test_fault_12_no_time_step(batch, bidirectional, dtype):
    for batch_first in False, True:
        net = network(dtype, batch_first=batch_first, bidirectional=bidirectional)
        shape = (0,) if batch is None else (batch, 0) if batch_first else (0, batch)
        x = np.zeros((*shape, I), dtype)
        text = "Expected sequence length to be larger than 0 in RNN"
        with refused(crnn.ShapeError, text, net, x):
            net(x)


@both_dtypes
@pytest.mark.parametrize("layers", [1, 3])
def test_fault_13_no_row(layers, dtype):
    for batch_first in False, True:
        net = network(dtype, 0, num_layers=layers, batch_first=batch_first)
        rows = (0, T) if batch_first else (T, 0)
        x, h0 = np.zeros((*rows, I), dtype), np.zeros((layers, 0, H), dtype)
        for arguments in (x,), (x, h0):
            y, hn = net(*arguments)
            assert y.shape == (*rows, H) and hn.shape == h0.shape
            assert y.dtype == hn.dtype == dtype
        check_usable(net)
    y, _ = net(x, lengths=np.zeros(0, np.int64))
    assert y.shape == (0, T, H)
    assert cell(dtype)(np.zeros((0, I), dtype)).shape == (0, H)


@both_dtypes
def test_fault_18_outputs_are_new_memory(dtype):
    """Outputs overlap no input, so they can be the next call's inputs."""
    net = crnn.RNN(H, H, dtype=dtype)
    x, h0 = draw(T, B, H, dtype=dtype), draw(1, B, H, dtype=dtype)
    y, hn = check_right(net, x, h0)
    results, others = [y, hn, *check_right(net, y, hn)], [x, h0, *net.parameters()]
    for i, result in enumerate(results):
        assert result.flags.writeable and result.flags.owndata
        for other in results[:i] + others:
            assert not np.shares_memory(result, other)
