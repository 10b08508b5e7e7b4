"""Rule R1: the bits of a row depend on its own values only.

Not on the ISA, the batch, the place in it, padding, strides, packing or chunks.
"""

import itertools

import numpy as np
import pytest
from faults import Packed, same_bits
from reference import packing
from shapes import EDGES, ROWS, draw

import crnn

both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
both_modes = pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])

# (T, B, I, H): each size across the edges of tiles, the others off them.
SHAPES = [
    *((2, B, 3, 17) for B in ROWS),
    *((2, 3, 5, H) for H in EDGES),
    *((2, 3, I, 5) for I in EDGES),  # noqa: E741
    *((T, 2, 3, 7) for T in (1, 2, 3, 8, 9, 33)),
    *itertools.product((2,), (7, 8, 9), (16,), (31, 32, 33)),
    *itertools.product((3,), (1, 16, 17), (1, 33), (1, 64, 65)),
    (2, 5, 130, 130),
    (2, 1, 300, 257),
]


def make(I, H, layers=1, nonlinearity="tanh", dtype="float32", **options):  # noqa: E741
    crnn.manual_seed(H)
    return crnn.RNN(I, H, layers, nonlinearity, dtype=dtype, **options)


def two_way(dtype, nonlinearity, I=3, H=17):  # noqa: E741
    """Two layers, two directions."""
    return make(I, H, 2, nonlinearity, dtype, bidirectional=True)


def equal(results, expected):
    return all(map(same_bits, results, expected))


@pytest.mark.parametrize("name", crnn.isas()[1:])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "unbiased"])
@both_dtypes
@both_modes
def test_isa(name, nonlinearity, dtype, bias):
    before = crnn._core.set_isa("generic")
    try:
        for T, B, I, H in SHAPES:  # noqa: E741
            x, hx = draw(T, B, I, dtype=dtype), draw(1, B, H, dtype=dtype, seed=1)
            crnn._core.set_isa("generic")
            net = make(I, H, 1, nonlinearity, dtype, bias=bias)
            expected = net(x, hx), net(x)
            crnn._core.set_isa(name)
            assert equal(net(x, hx), expected[0]), (T, B, I, H)
            assert equal(net(x), expected[1]), (T, B, I, H)
    finally:
        crnn._core.set_isa(before)


@pytest.mark.parametrize("name", crnn.isas()[1:])
@both_dtypes
@both_modes
def test_isa_of_deep_ragged_networks(name, nonlinearity, dtype):
    before = crnn._core.set_isa("generic")
    try:
        for B, H in itertools.product((1, 4, 9, 17), (1, 8, 33)):
            x, hx = draw(5, B, 3, dtype=dtype), draw(4, B, H, dtype=dtype, seed=1)
            lengths = 1 + np.arange(B) * 3 % 5
            crnn._core.set_isa("generic")
            net = two_way(dtype, nonlinearity, H=H)
            expected = net(x, hx), net(x, hx, lengths=lengths)
            crnn._core.set_isa(name)
            assert equal(net(x, hx), expected[0]), (B, H)
            assert equal(net(x, hx, lengths=lengths), expected[1]), (B, H)
    finally:
        crnn._core.set_isa(before)


@both_dtypes
@both_modes
def test_one_row_and_any_batch(nonlinearity, dtype, isa):
    net, rows = two_way(dtype, nonlinearity), max(ROWS)
    x, hx = draw(3, rows, 3, dtype=dtype), draw(4, rows, 17, dtype=dtype, seed=1)
    alone = [net(x[:, b], hx[:, b]) for b in range(rows)]
    y, h_n = (np.stack(results, 1) for results in zip(*alone, strict=True))
    for B, start in itertools.product(ROWS, (0, 1, 5)):
        part = np.s_[:, start : start + B]
        assert equal(net(x[part], hx[part]), (y[part], h_n[part])), (B, start)
    order = np.random.default_rng(2).permutation(rows)
    assert equal(net(x[:, order], hx[:, order]), (y[:, order], h_n[:, order]))


@both_dtypes
@both_modes
def test_equal_rows_anywhere(nonlinearity, dtype, isa):
    """Nothing of a row's place or neighbours is in its result."""
    net = two_way(dtype, nonlinearity)
    row = draw(4, 1, 3, dtype=dtype)
    expected = net(row)
    for B in ROWS:
        y, h_n = net(np.broadcast_to(row, (4, B, 3)))
        assert same_bits(y, np.repeat(expected[0], B, 1))
        assert same_bits(h_n, np.repeat(expected[1], B, 1))


@both_dtypes
@both_modes
def test_lengths_and_single_rows(nonlinearity, dtype, isa):
    net, T, B = two_way(dtype, nonlinearity), 6, 19
    x, hx = draw(T, B, 3, dtype=dtype), draw(4, B, 17, dtype=dtype, seed=1)
    lengths = np.random.default_rng(3).integers(1, T, B, endpoint=True)
    x[np.arange(T)[:, None] >= lengths] = np.nan  # padding is never read
    y, h_n = net(x, hx, lengths=lengths)
    for b, n in enumerate(lengths):
        assert equal((y[:n, b], h_n[:, b]), net(x[:n, b], hx[:, b]))
        assert not y[n:, b].view(np.uint8).any()  # zero, not -0
    longer = np.concatenate([x, draw(3, B, 3, dtype=dtype)])
    padded, states = net(longer, hx, lengths=lengths)
    assert equal((padded[:T], states), (y, h_n))
    assert not padded[T:].any()
    full = np.full(B, T)
    x = np.nan_to_num(x)
    assert equal(net(x, hx, lengths=full), net(x, hx))


@both_dtypes
@both_modes
@pytest.mark.parametrize("order", ["sorted", "unsorted"])
def test_packed_and_lengths(order, nonlinearity, dtype, isa):
    net, T, B = two_way(dtype, nonlinearity), 6, 19
    x, hx = draw(T, B, 3, dtype=dtype), draw(4, B, 17, dtype=dtype, seed=1)
    lengths = np.random.default_rng(3).integers(1, T, B, endpoint=True)
    lengths[4] = T
    if order == "sorted":
        lengths = np.sort(lengths)[::-1]
    batch_sizes, sorted_indices, index = packing(lengths)
    indices = (None, None)
    if order == "unsorted":
        indices = (sorted_indices, np.argsort(sorted_indices))
    for state in hx, None:
        packed, h_n = net(Packed(x[index], batch_sizes, *indices), state)
        y, expected = net(x, state, lengths=lengths)
        assert same_bits(packed.data, y[index]) and same_bits(h_n, expected)


def layouts(a):
    """Arrays equal to a with other strides."""
    yield "Fortran", np.asfortranarray(a)
    yield "negative", a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1]
    yield "transposed", np.ascontiguousarray(a.transpose(1, 0, 2)).transpose(1, 0, 2)
    yield "reversed axes", np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0)
    yield "every third", np.repeat(a, 3, 2)[:, :, ::3]
    yield "sliced", np.pad(a, 1)[1:-1, 1:-1, 1:-1]


@both_dtypes
@pytest.mark.parametrize("batch_first", [False, True], ids=["TBI", "BTI"])
def test_strides_of_inputs(batch_first, dtype, isa):
    net = make(7, 9, 2, dtype=dtype, bidirectional=True, batch_first=batch_first)
    x = draw(5, 5, 7, dtype=dtype)
    hx, lengths = draw(4, 5, 9, dtype=dtype, seed=1), [5, 2, 5, 1, 3]
    expected, ragged = net(x, hx), net(x, hx, lengths=lengths)
    row = net(x[0], hx[:, 0])
    for (name, other_x), (_, other_hx) in zip(layouts(x), layouts(hx), strict=True):
        assert equal(net(other_x, other_hx), expected), name
        assert equal(net(other_x, other_hx, lengths=lengths), ragged), name
        assert equal(net(other_x[0], other_hx[:, 0]), row), name


@both_dtypes
def test_broadcast_inputs(dtype, isa):
    net = make(7, 9, 2, dtype=dtype, bidirectional=True)
    for shape in (1, 5, 7), (4, 1, 7), (4, 5, 1), (1, 1, 7), (1, 1, 1):
        x = np.broadcast_to(draw(*shape, dtype=dtype), (4, 5, 7))
        hx = np.broadcast_to(draw(*shape[1:], dtype=dtype)[:, :1], (4, 5, 9))
        assert equal(net(x, hx), net(x.copy(), hx.copy())), shape
    windows = np.lib.stride_tricks.sliding_window_view(draw(14, dtype=dtype), (7,))
    windows = np.lib.stride_tricks.sliding_window_view(windows, 5, axis=0)
    x = windows.transpose(0, 2, 1)
    assert x.shape == (4, 5, 7)
    assert equal(net(x), net(x.copy()))


@both_dtypes
@both_modes
def test_chunks_and_the_whole_sequence(nonlinearity, dtype, isa):
    """h_n goes on where a call ended, for any cut; one direction."""
    net, T, B = make(3, 17, 3, nonlinearity, dtype), 8, 3
    x, hx = draw(T, B, 3, dtype=dtype), draw(3, B, 17, dtype=dtype, seed=1)
    expected = net(x, hx)
    for size in 1, 2, 3, 5, 7:
        outputs, h = [], hx
        for t in range(0, T, size):
            y, h = net(x[t : t + size], h)
            outputs.append(y)
        assert equal((np.concatenate(outputs), h), expected), size
    assert equal(net(x, np.zeros_like(hx)), net(x))


@both_dtypes
@both_modes
def test_batch_first_and_time_first(nonlinearity, dtype, isa):
    net = two_way(dtype, nonlinearity)
    x, hx = draw(6, 5, 3, dtype=dtype), draw(4, 5, 17, dtype=dtype, seed=1)
    y, h_n = net(x, hx)
    net.batch_first = True
    turned, states = net(x.swapaxes(0, 1), hx)
    assert same_bits(turned, y.swapaxes(0, 1).copy()) and same_bits(states, h_n)


@both_dtypes
@both_modes
def test_nan_stays_in_its_row(nonlinearity, dtype, isa):
    net = make(3, 17, 2, nonlinearity, dtype)
    for B in 1, 7, 8, 9, 17:
        x = draw(4, B, 3, dtype=dtype)
        y, h_n = net(x)
        for row in {0, B // 2, B - 1}:
            dirty = x.copy()
            dirty[1, row, 2] = np.nan
            bad, bad_states = net(dirty)
            others = np.arange(B) != row
            assert same_bits(bad[:, others], y[:, others])
            assert same_bits(bad_states[:, others], h_n[:, others])
            assert same_bits(bad[:1, row], y[:1, row])
            assert np.isnan(bad[1:, row]).all()


@both_dtypes
@both_modes
def test_layers_one_by_one(nonlinearity, dtype, isa):
    """A stack equals its layers and directions, each a network of its own."""
    net, suffixes = two_way(dtype, nonlinearity), ("", "_reverse")
    x, hx = draw(5, 4, 3, dtype=dtype), draw(4, 4, 17, dtype=dtype, seed=1)
    expected, h_n, state = net(x, hx), [], net.state_dict()
    for layer in range(2):
        outputs = []
        for d, suffix in enumerate(suffixes):
            single = make(x.shape[2], 17, 1, nonlinearity, dtype)
            for name in single.state_dict():
                setattr(single, name, state[name[:-1] + f"{layer}{suffix}"])
            step = -1 if d else 1
            y, h = single(x[::step], hx[2 * layer + d, None])
            outputs.append(y[::step])
            h_n.append(h[0])
        x = np.concatenate(outputs, 2)
    assert equal((x, np.stack(h_n)), expected)


@both_dtypes
def test_products_that_are_cut(dtype, isa):
    """Long ones are, along rows, columns and inputs, so that Ctrl-C is answered."""
    net = make(3000, 600, dtype=dtype)
    x, hx = draw(2, 30, 3000, dtype=dtype), draw(1, 30, 600, dtype=dtype, seed=1)
    y, h_n = net(x, hx)
    step = net(x[:1], hx)[0]
    for row in 0, 17, 29:
        expected = net(x[:, row : row + 1], hx[:, row : row + 1])
        assert equal((y[:, row : row + 1], h_n[:, row : row + 1]), expected)
        assert same_bits(step[:, row], y[:1, row])


@both_dtypes
def test_wide_layers_packed_or_read_in_place(dtype, isa):
    """Many steps are worth copying the matrices for; few are not."""
    net, x = make(800, 780, dtype=dtype), draw(70, 9, 800, dtype=dtype)
    y, h_n = net(x)
    for rows in 1, 3:
        assert equal(net(x[:, :rows]), (y[:, :rows], h_n[:, :rows]))
    h = None
    for first in range(0, 70, 10):
        part, h = net(x[first : first + 10, :1], h)
        assert same_bits(part, y[first : first + 10, :1])
