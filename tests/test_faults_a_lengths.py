"""Faults, group A: lengths and packed batches (rows 8 and 16)."""

import contextlib

import numpy as np
import pytest
from faults import (
    B,
    H,
    I,
    Packed,
    T,
    both_dtypes,
    check_usable,
    network,
    refused,
    same_bits,
)
from shapes import draw

import crnn


def int64(*values):
    return np.array(values, np.int64)


@both_dtypes
@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ([0, 2], "0"),
        ([2, 0], "1"),
        ([2, -1], "1"),
        ([2, T + 1], "1"),
        ([-(2**63), 2], "0"),
        ([2, 2**63 - 1], "1"),
        ([2], ""),
        ([2, 2, 2], ""),
        ([], ""),
        ([[2, 2]], ""),
        ([[2], [2]], ""),
        (2, ""),
    ],
    ids=str,
)
def test_fault_16_lengths_out_of_range_or_shape(lengths, text, dtype):
    net, x = network(dtype), draw(T, B, I, dtype=dtype)
    for given in lengths, np.array(lengths, np.int64):
        with refused(crnn.ShapeError, text, net, x):
            net(x, lengths=given)


@pytest.mark.parametrize(
    "lengths", [[2**63, 2], [2, 2**64], [-(2**70), 2], np.array([2**64 - 1, 2], "u8")]
)
def test_fault_16_lengths_beyond_int64(lengths):
    with refused((ValueError, OverflowError, TypeError), "", network()):
        network()(draw(T, B, I), lengths=lengths)


@pytest.mark.parametrize(
    "lengths",
    [
        [2.0, 2.0],
        [2, np.nan],
        [True, True],
        ["2", "2"],
        [None, 2],
        [2, 1j],
        [object, 2],
        "22",
        b"22",
        {1: 2, 2: 2},
        {1, 2},
        np.array([2, 2], object),
        np.array([2, 2], "m8[s]"),
    ],
    ids=repr,
)
def test_fault_16_lengths_that_are_no_integers(lengths):
    x = draw(T, B, I)
    with refused((TypeError, ValueError), "", net := network(), x):
        net(x, lengths=lengths)


def test_fault_16_lengths_of_ragged_lists():
    with refused((TypeError, ValueError), "", net := network()):
        net(draw(T, B, I), lengths=[[1, 2], [3]])


def test_fault_16_lengths_of_any_order_integer_type_and_stride():
    net, x = network(bidirectional=True), draw(T, 4, I)
    lengths = [3, 1, 4, 2]
    expected = net(x, lengths=lengths)
    strided = np.zeros((4, 3), np.int64)
    strided[:, 1] = lengths
    swapped = np.array(lengths, np.dtype("i8").newbyteorder("S"))
    unaligned = np.frombuffer(b"\0" + int64(*lengths).tobytes(), "i8", offset=1)
    narrow = [np.array(lengths, f"{kind}{n}") for kind in "iu" for n in (1, 2, 4, 8)]
    reverse = int64(*lengths[::-1])[::-1]
    for given in strided[:, 1], swapped, unaligned, reverse, tuple(lengths), *narrow:
        for result, right in zip(net(x, lengths=given), expected, strict=True):
            assert same_bits(result, right)


def test_fault_16_lengths_with_a_cell_or_unbatched_x():
    with refused(TypeError, "", net := crnn.RNNCell(I, H)):
        net(draw(B, I), lengths=[1, 1])
    net, x = network(), draw(T, I)
    for lengths in [T + 1], [0], [1, 1], []:
        with refused(ValueError, "", net, x):
            net(x, lengths=lengths)
    with contextlib.suppress(ValueError):
        assert same_bits(net(x, lengths=[T])[0], net(x)[0])


class HostileIndex:
    def __init__(self, action):
        self.action = action

    def __index__(self):
        self.action()
        return 2

    __int__ = __index__


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of shape, in NumPy 2.5
def test_fault_08_hostile_length():
    net, x = network(), np.ones((T, B, I), np.float32)

    def fail():
        raise KeyError("mine")

    def turn():
        x.shape = (B, T, I)

    def shrink():
        x.resize((1, 1, 1), refcheck=False)

    for action in fail, turn, shrink:
        lengths = [HostileIndex(action) for _ in range(B)]
        with contextlib.suppress(KeyError, TypeError, ValueError):
            y, hn = net(x, lengths=lengths)
            assert np.isfinite(y).all() and np.isfinite(hn).all()
        check_usable(net)


def packed(batch_sizes, rows=None, order=None, dtype="float32"):
    rows = int(np.sum(batch_sizes)) if rows is None else rows
    back = None if order is None else np.argsort(order)
    return Packed(draw(rows, I, dtype=dtype), batch_sizes, order, back)


@pytest.mark.parametrize(
    ("batch_sizes", "rows"),
    [
        (int64(1, 2), 3),
        (int64(2, 1, 2), 5),
        (int64(), 0),
        (int64(), 3),
        (int64([2, 1]), 3),
        (np.int64(3), 3),
        (int64(2, 1), 2),
        (int64(2, 1), 4),
        (int64(2, -1), 1),
        (int64(2, 1, -1), 2),
        (int64(3, 2**62), 3),
        (int64(2**62, 2**62), 3),
        (int64(2**63 - 1, 2**63 - 1, 5), 3),
        (int64(-(2**63)), 3),
        (np.array([2.0, 1.0]), 3),
        (np.array([True, True]), 2),
        (np.array(["2", "1"]), 3),
        ([2.5, 1], 3),
        (None, 3),
        ("21", 3),
    ],
    ids=str,
)
def test_fault_16_batch_sizes(batch_sizes, rows):
    x = packed(batch_sizes, rows)
    with refused((ValueError, TypeError), "", net := network(), x.data):
        net(x)


@pytest.mark.parametrize(
    "order",
    [
        int64(0, 1),
        int64(0, 1, 2, 3),
        int64(0, 1, 3),
        int64(0, 1, -1),
        int64(0, 0, 1),
        int64(0, 1, 2**62),
        int64(0, 1, -(2**63)),
        int64([0, 1, 2]),
        np.array([0.0, 1.0, 2.0]),
        np.array([True, False, True]),
        "012",
    ],
    ids=str,
)
def test_fault_16_packed_order_that_is_no_permutation(order):
    data, batch_sizes, right = draw(5, I), int64(3, 2), int64(2, 0, 1)
    for pair in (order, right), (right, order), (order, order):
        x = Packed(data, batch_sizes, *pair)
        with refused((ValueError, TypeError), "", net := network(), data):
            net(x, draw(1, 3, H))


@pytest.mark.parametrize("order", [None, int64(1, 0)], ids=["sorted", "unsorted"])
@pytest.mark.parametrize("shape", [(1, 1, H), (1, 3, H), (2, 2, H), (1, 2, 4), (2, H)])
def test_fault_16_h0_of_a_packed_batch(shape, order):
    x, h0 = packed(int64(2, 1), order=order), draw(*shape)
    with refused(crnn.ShapeError, "", net := network(), x.data, h0):
        net(x, h0)


def test_fault_16_packed_data():
    batch_sizes = int64(2, 1)
    for data in draw(3, I + 1), draw(3, 1, I), draw(3), draw(3, I, dtype="float64"):
        with refused(ValueError, "", net := network(), data):
            net(Packed(data, batch_sizes, None, None))
    for data in [[0.0] * I] * 3, None, "x":
        with refused(TypeError, "", net := network()):
            net(Packed(data, batch_sizes, None, None))
    with refused(TypeError, "", net := network()):
        net((draw(3, I), batch_sizes, None, None))  # no packed type, as in torch
    with refused((TypeError, ValueError), "", net := network()):
        net(packed(batch_sizes), lengths=[2, 1])


def test_fault_16_packed_batches_that_are_right():
    net, lengths = network(bidirectional=True), [2, 4, 1]
    x = draw(4, 3, I)
    padded, states = net(x, lengths=lengths)
    order, batch_sizes = int64(1, 0, 2), int64(3, 2, 1, 1)
    rows = [(t, b) for t, n in enumerate(batch_sizes) for b in order[:n]]
    data = np.stack([x[row] for row in rows])
    strided = np.repeat(batch_sizes, 2)[::2]
    ending_in_zeros = int64(*batch_sizes, 0, 0)
    for sizes in batch_sizes, strided, ending_in_zeros:
        result, hn = net(Packed(data, sizes, order, np.argsort(order)))
        assert type(result) is Packed
        assert result.batch_sizes is sizes and result.sorted_indices is order
        assert same_bits(result.data, np.stack([padded[row] for row in rows]))
        assert same_bits(hn, states)
    result, hn = net(packed(int64(0)))
    assert result.data.shape == (0, 2 * H) and hn.shape == (2, 0, H)
