"""The kernels' tanh of every float32, each ISA: error in ulp, order, symmetry, bounds.

    python benchmarks/tanh_exhaustive.py

The exact value is NumPy's tanh in float64, which is itself right to 2^-27 ulp of a
float32. Takes some minutes; tests/test_tanh.py asks the same of a dense sample, and of
float64. Exits with an error where rule R6 does not hold.
"""

import numpy as np

import crnn
from crnn import _core

MAX_ULP = 1.5
INFINITY = 0x7F800000  # the bits of every positive float, in rising order, lie below
CHUNK = 1 << 24


def ulp(exact):
    """The unit in the last place that a float32 has at these values."""
    _, exponent = np.frexp(exact)
    return np.ldexp(1.0, np.maximum(exponent - 24, -149))


def check_positive():
    """(largest error in ulp, where, share of results not correctly rounded)."""
    last, worst, where, misrounded = np.float32(0), 0.0, 0.0, 0
    for start in range(0, INFINITY + 1, CHUNK):
        bits = np.arange(start, min(start + CHUNK, INFINITY + 1), dtype=np.uint32)
        x = bits.view(np.float32)
        y = _core.tanh(x)
        assert y[0] >= last and (np.diff(y) >= 0).all(), "not monotone"
        assert _core.tanh(-x).tobytes() == (-y).tobytes(), "not odd"
        assert y[-1] <= 1, "beyond 1"
        last = y[-1]
        exact = np.tanh(x.astype(np.float64))
        errors = np.abs(y - exact) / ulp(exact)
        misrounded += np.count_nonzero(y != exact.astype(np.float32))
        if errors.max() > worst:
            worst, where = errors.max(), x[errors.argmax()]
    return worst, where, misrounded / INFINITY


def check_nan():
    """Whether all 2 * (2^23 - 1) NaNs stay NaN."""
    bits = np.arange(INFINITY + 1, 1 << 31, dtype=np.uint32)
    return all(
        np.isnan(_core.tanh((bits | sign).view(np.float32))).all()
        for sign in (np.uint32(0), np.uint32(1 << 31))
    )


def main():
    for isa in crnn.isas():
        _core.set_isa(isa)
        worst, where, misrounded = check_positive()
        assert check_nan(), "a NaN became a number"
        print(
            f"{isa:8} all 2^32 floats: odd, monotone, bounded; max {worst:.4f} ulp at "
            f"{where!r}; {misrounded:.2%} not correctly rounded",
            flush=True,
        )
        assert worst <= MAX_ULP


if __name__ == "__main__":
    main()
