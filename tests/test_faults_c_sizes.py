"""Faults, group C: sizes and overflow; the number in a test's name is its row.

Row 48 is tested with strides beyond INT_MAX; extents beyond it would need more memory
than test machines have.  Row 50 belongs to the backward pass.
"""

import contextlib
import itertools
import mmap

import numpy as np
import pytest
from faults import (
    B,
    H,
    I,
    T,
    both_dtypes,
    check_right,
    check_usable,
    network,
    run_python,
    same_bits,
)
from shapes import draw

import crnn


@both_dtypes
@pytest.mark.parametrize(
    "arguments",
    [(3, 2**40), (2**40, 2**20), (2**40, 2**40), (3, 5, 2**40), (3, 2**31, 2**31)],
    ids=str,
)
def test_fault_44_memory(arguments, dtype):
    for bidirectional in False, True:
        with pytest.raises(MemoryError):
            crnn.RNN(*arguments, dtype=dtype, bidirectional=bidirectional)
    if len(arguments) == 2:
        with pytest.raises(MemoryError):
            crnn.RNNCell(*arguments, dtype=dtype)
    check_usable(network(dtype))


@both_dtypes
def test_fault_49_no_rows_at_all(dtype, isa):
    """Of a network whose matrices would be copied for a few rows."""
    net, x = crnn.RNN(4, 200, dtype=dtype), np.zeros((2, 0, 4), dtype)
    output, h_n, pullback = net.vjp(x)
    assert output.shape == net(x)[0].shape == (2, 0, 200) and h_n.shape == (1, 0, 200)
    assert not any(g.any() for g in pullback(output, h_n).values())


@both_dtypes
@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**63, 2**64, 10**30])
def test_fault_45_sizes_that_cannot_be_addressed(size, dtype):
    for arguments in (size, 5), (3, size), (3, 5, size), (size, size, size):
        with pytest.raises(OverflowError):
            crnn.RNN(*arguments, dtype=dtype)
    for arguments in (size, 5), (3, size):
        with pytest.raises(OverflowError):
            crnn.RNNCell(*arguments, dtype=dtype)
    check_usable(network(dtype))


HUGE_CALL = """
import sys, numpy as np, crnn, faults
layout, kind = sys.argv[1:]
dropout = 0.5 if kind == "dropout" else 0.0
net = crnn.RNN(1, 1, 2, dropout=dropout, bidirectional=kind == "two-way")
size = 2**40
shape = {"T": (size, 1, 1), "B": (1, size, 1), "unbatched": (size, 1)}[layout]
x = np.broadcast_to(np.ones(1, np.float32), shape)
lengths = {}
if kind == "ragged":
    lengths["lengths"] = np.broadcast_to(np.int64(1), (shape[1],))
if kind == "h0":
    lengths["hx"] = np.broadcast_to(np.ones(1, np.float32), (2, shape[1], 1))
try:
    net(x, **lengths)
except MemoryError:
    faults.check_usable(net.eval())
    print("refused")
"""


@pytest.mark.parametrize(
    ("layout", "kind"),
    [
        ("T", "plain"),
        ("T", "two-way"),
        ("T", "ragged"),
        ("T", "dropout"),
        ("B", "plain"),
        ("B", "h0"),
        ("unbatched", "plain"),
    ],
)
def test_fault_46_49_endless_input_by_stride_0(layout, kind):
    """The outputs, or the scratch memory, do not fit: refused before any loop."""
    done = run_python(HUGE_CALL, layout, kind, memory=4 << 30, timeout=30)
    assert done.stdout == "refused\n"


@both_dtypes
def test_fault_47_product_overflow(dtype):
    item = np.dtype(dtype).itemsize
    x = np.broadcast_to(np.ones(1, dtype), (2**30, 2**29, 1))
    for hidden in 8 // item * 2, 16, 1000:  # 2**63 bytes and more
        net = crnn.RNN(1, hidden, dtype=dtype)
        for given in x, x.swapaxes(0, 1):
            state = np.broadcast_to(np.ones(hidden, dtype), (1, given.shape[1], hidden))
            for arguments in (given,), (given, state):
                with pytest.raises(OverflowError):
                    net(*arguments)
            dropping = crnn.RNN(1, hidden, 2, dropout=0.5, dtype=dtype)
            with pytest.raises((OverflowError, MemoryError)):
                dropping(given)
        check_usable(net)


@both_dtypes
def test_fault_48_strides_beyond_int(dtype):
    shape = (2, 2, 2)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    try:
        memory = mmap.mmap(-1, 7 << 30, flags)
    except (OSError, ValueError):
        pytest.skip("no 7 GB of address space")
    block = np.frombuffer(memory, dtype)
    small, large = 4096, (5 << 29) // block.itemsize
    plain = draw(*shape, dtype=dtype)
    net = crnn.RNN(2, 2, 2, dtype=dtype)
    for far in range(3):
        strides = [small, 2 * small, 4 * small]
        strides[far] = large
        x = np.lib.stride_tricks.as_strided(
            block[:1], shape, [s * block.itemsize for s in strides]
        )
        x[...] = plain
        for turned, right in (x, plain), (x[::-1, ::-1, ::-1], plain[::-1, ::-1, ::-1]):
            results = check_right(net, turned, turned)
            for result, expected in zip(results, net(right, right), strict=True):
                assert np.array_equal(result, expected)
        del x, turned
    del block
    memory.close()


EDGES = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65)


@both_dtypes
@pytest.mark.parametrize("hidden", EDGES)
def test_fault_51_sizes_around_powers_of_two(hidden, dtype, isa):
    for inputs, rows in itertools.product((1, 5, 17), (1, 2, 7, 9)):
        net = crnn.RNN(inputs, hidden, dtype=dtype)
        check_right(net, draw(2, rows, inputs, dtype=dtype))
    check_right(net, draw(1, 1, inputs, dtype=dtype))


@pytest.mark.parametrize("shape", [(T, B, I), (1, 1, I)], ids=str)
def test_fault_49_internal_calls_check_what_could_reach_wrong_memory(shape):
    """_run() trusts nobody, for all that only crnn itself calls it."""
    net, x, state = network(num_layers=2), draw(*shape), draw(2, shape[1], H)
    steps, rows, _ = shape
    mask = draw(steps, rows, H)
    bad_calls = [
        {"x": x[..., :2]},
        {"x": x.astype("f8")},
        {"x": x.astype(">f4")},
        {"x": x[0, 0]},
        {"hx": state[:1]},
        {"hx": state[..., :4]},
        {"hx": np.repeat(state, 2, -1)[..., ::2]},
        {"hx": 1},
        {"lengths": np.full(rows, steps + 1)},
        {"lengths": np.zeros(rows, np.int64)},
        {"lengths": np.ones(rows + 1, np.int64)},
        {"lengths": [1] * rows},
        {"batch_sizes": np.array([1])},
        {"masks": ()},
        {"masks": (mask, mask)},
        {"masks": [mask]},
        {"masks": (mask[..., :4],)},
        {"masks": (mask.astype("f8"),)},
        {"masks": (np.repeat(mask, 2, -1)[..., ::2],)},
        {"x": x.reshape(-1, I), "batch_sizes": np.array([-1])},
        {"x": x.reshape(-1, I), "batch_sizes": np.array([2**62, 2**62, 2**62])},
        {"x": x.reshape(-1, I), "batch_sizes": np.zeros(0, np.int64)},
        {"x": x.reshape(-1, I), "batch_sizes": np.ones(1, np.int32)},
    ]
    for arguments in bad_calls:
        with pytest.raises((TypeError, ValueError)):
            net._run(**{"x": x, **arguments})
        check_usable(net)
    small = crnn.RNNCell(I, H)
    row = draw(4, I)
    for arguments in (
        {"batch_sizes": np.array([2, 2])},
        {"batch_sizes": np.array([1, 1, 1, 1])},
        {"batch_sizes": np.array([4])},
        {"lengths": np.ones(4, np.int64)},
        {"lengths": np.full(4, 2)},
    ):
        try:
            result = small._run(row, **arguments)
        except (TypeError, ValueError):
            pass
        else:
            assert np.isfinite(result).all()
        check_usable(small)
    thin = crnn.RNN(I, 1, 2, bidirectional=True)
    with pytest.raises(ValueError, match="contiguous"):
        thin._run(x, masks=(np.repeat(mask, 2, -1)[..., :4:2],))


def test_fault_49_internal_allocation_checks_its_sizes():
    net, good = network(), (4, I, H, 1, 1, True)
    bad_sizes = [(0, 3), (0, 16), (0, 0), (3, 0), (4, 0), (4, 3)]
    bad_sizes += itertools.product(range(5), (-(2**63), -1, 2**62, 2**63 - 1))
    for place, bad in bad_sizes:
        arguments = (*good[:place], bad, *good[place + 1 :])
        for target in crnn._core.Network(), net:
            with pytest.raises((ValueError, MemoryError, OverflowError)):
                target._allocate(*arguments)
        check_usable(net)


@both_dtypes
@pytest.mark.parametrize("sizes", [(0, 5), (3, 0), (0, 0)], ids=str)
def test_fault_51_internal_networks_without_inputs_or_units(sizes, dtype):
    """RNNCell may have such sizes; a call with them must not crash."""
    item, (inputs, hidden) = np.dtype(dtype).itemsize, sizes
    for layers, directions, bias in itertools.product((1, 2), (1, 2), (True, False)):
        net = crnn._core.Network()
        with contextlib.suppress(ValueError):
            for array in net._allocate(item, *sizes, layers, directions, bias):
                array[...] = 1
            net.mode, net.training, net.batch_first = "RNN_TANH", False, False
            x = np.zeros((T, B, inputs), dtype)
            state = np.zeros((layers * directions, B, hidden), dtype)
            for arguments in (x,), (x, state):
                y, hn = net._run(*arguments)
                assert y.shape == (T, B, directions * hidden)
                assert same_bits(
                    hn[-1], y[0 if directions == 2 else -1, :, len(y[0, 0]) - hidden :]
                )
                *_, tape = net._record(*arguments)
                needs = (True,) * (2 + (4 if bias else 2) * layers * directions)
                for gradient in tape.pullback(y, hn, needs, None):
                    assert np.isfinite(gradient).all()
