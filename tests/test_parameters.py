"""Parameters copied from other arrays, which are transposed, and arrays of capsules."""

import gc
import sys

import numpy as np
import pytest
from shapes import EDGES, draw

from crnn import _core


def network(I, H, dtype):  # noqa: E741
    net = _core.Network()
    return net, net._allocate(np.dtype(dtype).itemsize, I, H, 1, 1, True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_order_and_edge(isa, dtype):
    """Row-major matrices, as torch has them, by way of the kernels; others by NumPy."""
    for H in EDGES:
        for I in EDGES:  # noqa: E741
            net, own = network(I, H, dtype)
            values = [draw(*a.shape, dtype=dtype, seed=k) for k, a in enumerate(own)]
            for order in (
                lambda a: a,
                np.asfortranarray,
                lambda a: np.stack([a, a], -1)[..., 0],
                lambda a: a[::-1].copy()[::-1],
            ):
                for array in own:
                    array.fill(np.nan)
                net._load([order(a) for a in values])
                for array, right in zip(own, values, strict=True):
                    assert array.tobytes() == right.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_strides(isa, dtype):
    """Powers of two, whose lines share places in a cache."""
    for H, I in (256, 256), (128, 512), (513, 1024):  # noqa: E741
        net, own = network(I, H, dtype)
        values = [draw(*a.shape, dtype=dtype) for a in own]
        net._load(values)
        assert all(map(np.array_equal, own, values))


def test_wrong_lists():
    net, own = network(2, 3, "float32")
    right = [a.copy() for a in own]
    for wrong in right[:3], tuple(right), None, [*right, right[0]], [None] * 4:
        with pytest.raises(ValueError, match="array"):
            net._load(wrong)
    for wrong in right[0].T, right[0].astype(float), right[0].ravel():
        with pytest.raises(ValueError, match="does not fit"):
            net._load([wrong, *right[1:]])
    with pytest.raises(RuntimeError):
        _core.Network()._load(right)


def test_borrowed_parameters_cannot_be_loaded_again():
    """Tapes share them."""
    right = [np.ascontiguousarray(a) for a in network(2, 3, "float32")[1]]
    net = _core.Network()
    net._borrow(4, 2, 3, 1, 1, True, right)
    with pytest.raises(RuntimeError):
        net._load(right)
    with pytest.raises(ValueError, match="fit"):
        _core.Network()._borrow(4, 2, 4, 1, 1, True, right)
    with pytest.raises(ValueError, match="sizes"):
        _core.Network()._borrow(4, 2, 3, 1, 3, True, right)
    net._allocate(4, 2, 3, 1, 1, True)
    net._load(right)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0, 3), (4, 3, 2)], ids=str)
def test_arrays_of_capsules(shape, dtype):
    array = np.arange(1, 1 + np.prod(shape, dtype=int), dtype=dtype).reshape(shape)
    for source in array, array.T, array[..., ::-1] if shape else array:
        before = sys.getrefcount(source)
        view = _core.as_array(source.__dlpack__())
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
            _core.as_array(array.__dlpack__())
    for wrong in None, object(), np.zeros(2):
        with pytest.raises((ValueError, TypeError)):
            _core.as_array(wrong)
