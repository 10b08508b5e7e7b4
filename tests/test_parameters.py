"""Parameters copied from other arrays: Network._load(), which transposes."""

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
