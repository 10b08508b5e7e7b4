"""Random numbers: torch's initial parameters from torch's seeds, and dropout's masks.

Parameters come from one MT19937 stream, the generator of torch on a CPU, so that the
same seed gives the same parameters bit for bit.  Masks come from a stream of their own,
NumPy's Philox keyed by the same seed: drawing one leaves the other where it was.
Unseeded, both start from the operating system's entropy.
"""

import contextlib
import math
import numbers
import os
import sys
import threading

import numpy as np

from . import _core
from ._core import ShapeError


class _Streams:
    """Where numbers come from, from one seed."""

    def __init__(self, seed: int):
        self.parameters = np.random.RandomState(seed & 0xFFFFFFFF)
        self.masks = np.random.Generator(np.random.Philox(key=seed))
        self.spare_normal: float | None = None


_lock = threading.Lock()
_shared: _Streams | None = None
_own = threading.local()


def _streams() -> _Streams:
    """This thread's own streams, or those of all; the lock is held."""
    global _shared
    own = getattr(_own, "streams", None)
    if own is not None:
        return own
    if _shared is None:
        _shared = _Streams(int.from_bytes(os.urandom(8), "little"))
    return _shared


@contextlib.contextmanager
def seeded(seed: int):
    """Let this thread draw from streams of its own; the others stay where they are.

    What is drawn inside is what `manual_seed` of the same seed would have given.
    """
    before = getattr(_own, "streams", None)
    _own.streams = _Streams(_checked(seed))
    try:
        yield
    finally:
        _own.streams = before


def _checked(seed: int) -> int:
    seed = int(seed)
    if not -(2**63) <= seed < 2**64:
        raise ValueError(f"seed must be in -2**63 .. 2**64-1, got {seed}")
    return seed % 2**64


def manual_seed(seed: int) -> None:
    """Seed the streams of initial parameters and of dropout.

    ``crnn.manual_seed(s); crnn.RNN(...)`` has bit for bit the parameters of
    ``torch.manual_seed(s); torch.nn.RNN(...)``.

    Args:
        seed: in -2**63 .. 2**64-1; a negative one counts from 2**64, as in torch.

    Raises:
        ValueError: seed is outside that range.
    """
    global _shared
    streams = _Streams(_checked(seed))
    with _lock:
        _shared = streams


def uniform(shape: tuple[int, ...], dtype: np.dtype, hidden_size: int) -> np.ndarray:
    """Initial values of one parameter: U(-k, k) with k = 1 / sqrt(hidden_size)."""
    return uniform_within(
        shape, dtype, 1 / math.sqrt(hidden_size) if hidden_size else 0.0
    )


def uniform_within(shape: tuple[int, ...], dtype: np.dtype, k: float) -> np.ndarray:
    """Values of U(-k, k)."""
    values = np.empty(math.prod(shape), dtype)
    with _lock:
        raw = _draw(values.size * dtype.itemsize // 4)
    _core.fill_uniform(raw, k, values)
    return values.reshape(shape)


def _draw(count: int) -> np.ndarray:
    """32-bit numbers of the parameters' stream; the lock is held."""
    return _streams().parameters.randint(0, 2**32, count, dtype=np.uint32)


def normal(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Values of N(0, 1) from the parameters' stream, as many draws as torch takes.

    By the method of Box and Muller, as torch does it: to rounding, for torch's own
    logarithm and sines differ from machine to machine.  Later draws are equal in bits.
    """
    size = math.prod(shape)
    with _lock:
        if size < 16:
            values = np.array([_normal_one() for _ in range(size)])
        else:
            values = _normal_blocks(_uniforms(size, dtype))
            if size % 16:  # torch draws the last block anew
                values[-16:] = _normal_blocks(_uniforms(16, dtype))
    return values.astype(dtype).reshape(shape)


def _uniforms(count: int, dtype: np.dtype) -> np.ndarray:
    """torch's U[0, 1) of a dtype, as float64; the lock is held."""
    raw = _draw(count * dtype.itemsize // 4).astype(np.uint64)
    if dtype.itemsize == 4:
        return (raw & 0xFFFFFF) * 2.0**-24
    return ((raw[::2] << 32 | raw[1::2]) & (2**53 - 1)) * 2.0**-53


def _normal_blocks(uniforms: np.ndarray) -> np.ndarray:
    """Of every 16 numbers the first 8 give the radii and the others the angles."""
    whole = len(uniforms) - len(uniforms) % 16
    blocks = uniforms[:whole].reshape(-1, 2, 8)
    radius = np.sqrt(-2 * np.log(1 - blocks[:, 0]))
    angle = 2 * np.pi * blocks[:, 1]
    values = uniforms.copy()
    values[:whole].reshape(-1, 2, 8)[:, 0] = radius * np.cos(angle)
    values[:whole].reshape(-1, 2, 8)[:, 1] = radius * np.sin(angle)
    return values


def _normal_one() -> float:
    """The next of a pair, the second of which is kept; the lock is held."""
    streams = _streams()
    if streams.spare_normal is not None:
        value, streams.spare_normal = streams.spare_normal, None
        return value
    first, second = _uniforms(2, np.dtype(np.float64))
    radius = math.sqrt(-2 * math.log1p(-second))
    streams.spare_normal = radius * math.sin(2 * math.pi * first)
    return radius * math.cos(2 * math.pi * first)


def dropout_masks(
    count: int, shape: tuple[int, ...], dtype: np.dtype, p: float
) -> tuple[np.ndarray, ...]:
    """Arrays of factors: 0 with probability p, else 1 / (1 - p), each by itself.

    One float32 in [0, 1) is drawn per element, in C order; p = 1 draws nothing.

    Raises:
        TypeError: p is no number.
        ShapeError: p is outside [0, 1].
        OverflowError: a mask is too large to address.
    """
    if not isinstance(p, numbers.Real):
        raise TypeError(f"dropout must be a number, got {p!r}")
    if not 0 <= p <= 1:
        raise ShapeError(
            f"dropout probability has to be between 0 and 1, but got {p:g}"
        )
    if math.prod(shape) > sys.maxsize // dtype.itemsize:
        raise OverflowError(f"a dropout mask of shape {shape} is too large to address")
    return tuple(_dropout_mask(shape, dtype, p) for _ in range(count))


def _dropout_mask(shape: tuple[int, ...], dtype: np.dtype, p: float) -> np.ndarray:
    if p == 1:
        return np.zeros(shape, dtype)
    with _lock:
        kept = _streams().masks.random(shape, dtype=np.float32) >= p
    return np.multiply(kept, dtype.type(1 / (1 - p)), dtype=dtype)
