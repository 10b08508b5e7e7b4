"""Parameters borrowed from other arrays, as torch lays them out; arrays of capsules."""

import gc
import itertools
import sys

import numpy as np
import pytest
from faults import same_bits
from shapes import EDGES, draw

from crnn import _core

SCHEDULES = "alone", "rows", "directions", "layers", "columns"
SHAPES_OF_5 = (5, 2), (5, 5), 5, 5  # H = 5, I = 2
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def as_array(source):
    """By way of a capsule, as if the memory of its base were a tensor's storage."""
    base = source
    while base.base is not None:
        base = base.base
    start = source.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return _core.as_array(source.__dlpack__(), base.nbytes, start // base.itemsize)


def networks(I, H, L=1, D=1, dtype="float32", bias=True):  # noqa: E741
    """One that owns its parameters, and one that borrows equal ones."""
    sizes = np.dtype(dtype).itemsize, I, H, L, D, bias
    owner, borrower = _core.Network(), _core.Network()
    values = owner._allocate(*sizes)
    for k, own in enumerate(values):
        own[...] = draw(*own.shape, dtype=dtype, seed=k) / np.sqrt(H)
    borrower._borrow(*sizes, [np.ascontiguousarray(v) for v in values])
    for net in owner, borrower:
        net.mode, net.batch_first = "RNN_TANH", False
    return owner, borrower


def results(net, x):
    """Output, h_n, the gradients of everything and those of the parameters alone."""
    output, h_n = net._run(x)
    again, _, tape = net._record(x)
    assert same_bits(output, again)
    n = 4 * h_n.shape[0]
    whole = tape.pullback(output, h_n, (True, False) + (True,) * n)
    parameters = tape.pullback(output, None, (False, False) + (True,) * n)
    return [output, h_n, *whole, *parameters]


def assert_same(found, right):
    for a, b in zip(found, right, strict=True):
        assert (a is None and b is None) or same_bits(a, b)


@DTYPES
def test_every_edge(isa, dtype):
    for H, I in itertools.product(EDGES, EDGES):  # noqa: E741
        nets = networks(I, H, dtype=dtype)
        x = draw(3, 1 + (H + I) % 18, I, dtype=dtype)
        assert_same(results(nets[1], x), results(nets[0], x))


@DTYPES
@pytest.mark.parametrize("schedule", [(name, 2) for name in SCHEDULES], indirect=True)
def test_every_schedule(isa, dtype, schedule):
    """Few uses and many, of matrices that are read where they are and of others."""
    for L, D in (1, 1), (3, 1), (2, 2):
        for T, B, I, H in (2, 1, 9, 96), (70, 1, 9, 96), (5, 33, 130, 96):  # noqa: E741
            nets = networks(I, H, L, D, dtype)
            assert_same(*(results(net, draw(T, B, I, dtype=dtype)) for net in nets))


@DTYPES
def test_wide_strides(isa, dtype):
    """Powers of two, whose lines share places in a cache, and widths beyond it."""
    for H, I in (256, 256), (128, 512), (513, 1024), (1024, 16):  # noqa: E741
        for T, B in (1, 1), (2, 9), (70, 1):
            nets = networks(I, H, dtype=dtype)
            assert_same(*(results(net, draw(T, B, I, dtype=dtype)) for net in nets))


def test_edits_are_seen_and_memory_is_kept():
    arrays = [np.zeros((3, 2), "f4"), np.zeros((3, 3), "f4"), *np.zeros((2, 3), "f4")]
    net = _core.Network()
    net._borrow(4, 2, 3, 1, 1, True, arrays)
    net.mode, net.batch_first = "RNN_TANH", False
    x = draw(2, 1, 2)
    output, _, tape = net._record(x)
    assert not output.any()
    arrays[2][:] = 1
    assert net._run(x)[0].all()
    arrays[0][:] = 1
    d_x = tape.pullback(output + 1, None, (True,) + (False,) * 5)[0]
    assert d_x.all()
    with pytest.raises(ValueError, match="resize"):
        arrays[0].resize((1, 1), refcheck=False)
    before = [sys.getrefcount(a) for a in arrays]
    del net, tape
    gc.collect()
    assert [sys.getrefcount(a) for a in arrays] == [n - 1 for n in before]
    arrays[0].resize((1, 1), refcheck=False)


def test_network_lent_to_a_tape():
    """Its parameters in the place of those that the tape has, however they lie."""
    nets, x = networks(2, 3), draw(2, 1, 2)
    needs = (True,) * 6
    for net, other in itertools.product(nets, nets):
        output, h_n, tape = net._record(x)
        lent = tape.pullback(output, h_n, needs, other)
        assert_same(lent, tape.pullback(output, h_n, needs, None))
    for wrong in networks(2, 4) + networks(2, 3, 2) + networks(2, 3, dtype="float64"):
        with pytest.raises(ValueError, match="needs a network of its sizes"):
            tape.pullback(output, h_n, needs, wrong)
    nets[1]._borrow(4, 2, 5, 1, 1, True, [np.ones(s, "f4") for s in SHAPES_OF_5])
    with pytest.raises(ValueError, match="needs a network of its sizes"):
        tape.pullback(output, h_n, needs, nets[1])  # which the tape was recorded by
    for wrong in _core.Network(), 1, x:
        with pytest.raises(ValueError, match="needs a network of its sizes"):
            tape.pullback(output, h_n, needs, wrong)
    for wrong in networks(2, 3, bias=False):
        with pytest.raises(ValueError, match="needs must have"):
            tape.pullback(output, h_n, needs, wrong)


def test_fault_9_wrong_arrays():
    sizes = 4, 2, 3, 1, 1, True
    right = [draw(3, 2), draw(3, 3), draw(3), draw(3)]
    net = _core.Network()
    net._borrow(*sizes, right)
    for wrong in right[:3], tuple(right), None, [*right, right[0]], []:
        with pytest.raises(ValueError, match="must be a list"):
            net._borrow(*sizes, wrong)
    first = right[0]
    for wrong in (
        *(first.T, first[:1], first.ravel(), first.astype(float), first.astype(">f4")),
        *(np.asfortranarray(first), first.tolist(), None),
    ):
        with pytest.raises(ValueError, match="does not fit"):
            net._borrow(*sizes, [wrong, *right[1:]])
    for wrong in (4, 2, 3, 1, 3, True), (4, -1, 3, 1, 1, True), (2, 2, 3, 1, 1, True):
        with pytest.raises(ValueError, match="sizes"):
            net._borrow(*wrong, right)
    net.mode, net.batch_first = "RNN_TANH", False
    assert np.isfinite(net._run(draw(1, 1, 2))[0]).all()
    net._allocate(*sizes)


@DTYPES
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0, 3), (4, 3, 2)], ids=str)
def test_arrays_of_capsules(shape, dtype):
    array = np.arange(1, 1 + np.prod(shape, dtype=int), dtype=dtype).reshape(shape)
    for source in array, array.T, array[..., ::-1] if shape else array:
        before = sys.getrefcount(source)
        view = as_array(source)
        assert view.dtype == source.dtype and view.shape == source.shape
        assert view.tobytes() == source.tobytes() and view.strides == source.strides
        assert not view.flags.writeable and view.flags.aligned
        assert view.flags.c_contiguous == source.flags.c_contiguous
        assert np.shares_memory(view, source) or view.size == 0
        del view
        gc.collect()
        assert sys.getrefcount(source) == before


def test_capsules_that_the_core_does_not_read():
    for array in np.zeros((1, 1, 1, 1), "f4"), np.zeros(2, "i4"), np.zeros(2, "f2"):
        with pytest.raises(BufferError):
            as_array(array)
    for wrong in None, object(), np.zeros(2):
        with pytest.raises((ValueError, TypeError)):
            _core.as_array(wrong, 8, 0)
    with pytest.raises(TypeError):
        _core.as_array(np.zeros(2, "f4").__dlpack__())
    with pytest.raises(TypeError):
        _core.as_array(np.zeros(2, "f4").__dlpack__(), 8, None)


def test_capsules_beyond_their_storage():
    array = np.zeros((3, 4), "f4")
    for view, offset in (array, 0), (array.T, 0), (array[1:, ::2], 4), (array[::-1], 8):
        end = {0: 48, 4: 44, 8: 48}[offset]
        assert _core.as_array(view.__dlpack__(), end, offset).shape == view.shape
        with pytest.raises(BufferError, match="storage"):
            _core.as_array(view.__dlpack__(), end - 1, offset)
    for size, offset in (48, 7), (48, 2**62), (2**62, 2**62), (-1, 0), (48, -1):
        with pytest.raises(BufferError, match="storage"):
            _core.as_array(array[::-1].__dlpack__(), size, offset)
    assert _core.as_array(array[:0].__dlpack__(), 0, 0).size == 0
