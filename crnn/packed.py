"""PackedSequence, by its four fields: data, batch_sizes and the two index arrays."""

import numpy as np

from ._core import DTypeError, ShapeError
from .operands import Operand

_FIELDS = ("data", "batch_sizes", "sorted_indices", "unsorted_indices")


def is_packed(value) -> bool:
    # A list: CPython 3.12 and 3.13 crash where a generator expression finds no memory.
    return hasattr(value, "batch_sizes") and not [
        field for field in _FIELDS if not hasattr(value, field)
    ]


def _integers(value, name: str) -> np.ndarray:
    """A field as a contiguous 1-D array of int64."""
    operand = Operand(value, name)
    array = operand.value.numpy() if operand.is_tensor else operand.value
    if array.dtype.kind not in "iu":
        raise DTypeError(f"{name} must be integers, got {operand.dtype_name()}")
    if array.ndim != 1:
        raise ShapeError(f"{name} must be 1-D, got {array.ndim}-D")
    return np.ascontiguousarray(array, np.int64)


def batch_sizes(packed) -> np.ndarray:
    """How many rows are alive at each step, as int64; ShapeError if that cannot be."""
    sizes = _integers(packed.batch_sizes, "batch_sizes")
    if len(sizes) == 0:
        raise ShapeError("batch_sizes is empty")
    for t in np.flatnonzero(sizes < 0)[:1]:
        raise ShapeError(f"batch_sizes[{t}] must not be negative, got {sizes[t]}")
    for t in 1 + np.flatnonzero(np.diff(sizes) > 0)[:1]:
        raise ShapeError(
            f"batch_sizes must not increase, but batch_sizes[{t}] is {sizes[t]} after "
            f"{sizes[t - 1]}"
        )
    return sizes


def order(packed, B: int) -> np.ndarray | None:
    """sorted_indices, or None where the rows are sorted already."""
    there = _permutation(packed.sorted_indices, "sorted_indices", B)
    back = _permutation(packed.unsorted_indices, "unsorted_indices", B)
    if there is None and back is not None:
        return np.argsort(back)
    if back is not None and not np.array_equal(there[back], np.arange(B)):
        raise ShapeError("unsorted_indices must be the inverse of sorted_indices")
    return there


def _permutation(indices, name: str, B: int) -> np.ndarray | None:
    if indices is None:
        return None
    indices = _integers(indices, name)
    if not np.array_equal(np.sort(indices), np.arange(B)):
        raise ShapeError(f"{name} must be a permutation of the {B} rows of the batch")
    return indices


def replace_data(packed, data):
    """A sequence of the same type with the same index objects and other data."""
    return type(packed)(
        data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices
    )
