"""The kernels' tanh (rule R6): accuracy, symmetry, order, special values."""

import numpy as np
import pytest
from faults import both_dtypes, same_bits

from crnn import _core

MAX_ULP = 1.5
BITS = {"float32": np.uint32, "float64": np.uint64}


def ulp(exact, dtype):
    """The unit in the last place of each value, as a dtype would have it."""
    info = np.finfo(dtype)
    _, exponent = np.frexp(exact)
    return np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant)


def floats(bits, dtype):
    return np.sort(np.asarray(bits, BITS[dtype]).view(dtype))


def neighbours(values, dtype, count):
    """The floats around each value, count on either side."""
    centres = np.abs(np.asarray(values, dtype)).view(BITS[dtype]).astype(np.int64)
    bits = centres[:, None] + np.arange(-count, count + 1)
    top = np.array(np.inf, dtype).view(BITS[dtype]).astype(np.int64)
    return np.unique(np.clip(bits, 0, top)).astype(BITS[dtype])


def landmarks(dtype):
    """Edges of all binades, of the usual reductions, and of saturation."""
    info = np.finfo(dtype)
    binades = np.ldexp(1.0, np.arange(info.minexp - info.nmant, info.maxexp))
    reductions = np.arange(1, 120) * np.log(2) / 4
    saturation = np.linspace(*((8.5, 9.5) if dtype == "float32" else (18, 20)), 40)
    usual = [0.5, 0.55, 0.625, 0.6875, 0.75, 1, 1.25, 7.9, 9.0109, 19.0615, 22]
    return np.concatenate([binades, reductions, saturation, usual])


def sample(dtype):
    """Positive floats in rising order: all over, and dense where formulas change."""
    top = np.array(np.inf, dtype).view(BITS[dtype])
    stride = int(top) >> 19 | 1
    everywhere = np.arange(0, int(top), stride, dtype=BITS[dtype])
    dense = neighbours(landmarks(dtype), dtype, 500)
    useful = np.linspace(2.0**-13, 24, 1 << 18).astype(dtype).view(BITS[dtype])
    return floats(np.unique(np.concatenate([everywhere, dense, useful])), dtype)


SAMPLES = {dtype: sample(dtype) for dtype in BITS}


@both_dtypes
def test_odd_monotone_bounded(dtype, isa):
    x = SAMPLES[dtype]
    y = _core.tanh(x)
    assert y.dtype == x.dtype and (y[x == 0] == 0).all()
    assert same_bits(_core.tanh(-x), -y)
    assert (np.diff(y) >= 0).all()
    assert y.max() == 1 and (y[x > 0] > 0).all()


@both_dtypes
def test_error_of_float32_and_rough_error_of_float64(dtype, isa):
    """NumPy's own float64 tanh is right to a few ulp only."""
    x = SAMPLES[dtype]
    exact = np.tanh(x.astype(np.float64))
    errors = np.abs(_core.tanh(x) - exact) / ulp(exact, dtype)
    worst = errors.argmax()
    limit = MAX_ULP if dtype == "float32" else 6
    assert errors[worst] <= limit, f"{errors[worst]} ulp at {x[worst]!r}"


def split_tanh(mpmath, x):
    """tanh(x) as the nearest double and what is left of it."""
    exact = mpmath.tanh(mpmath.mpf(float(x)))
    high = float(exact)
    return high, float(exact - high)


@pytest.fixture(scope="module")
def exact_float64():
    mpmath = pytest.importorskip("mpmath", reason="the exact values need mpmath")
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            np.exp(rng.uniform(np.log(1e-9), np.log(22), 2500)),
            rng.uniform(0, 2, 1000),
            landmarks("float64"),
            [np.finfo(float).smallest_subnormal, 3e-310, np.finfo(float).tiny],
        ]
    )
    with mpmath.workdps(50):
        high, low = np.array([split_tanh(mpmath, value) for value in x]).T
    return x, high, low


def test_error_of_float64(exact_float64, isa):
    x, high, low = exact_float64
    y = _core.tanh(x)
    errors = np.abs((y - high) - low) / ulp(high, "float64")
    worst = errors.argmax()
    assert errors[worst] <= MAX_ULP, f"{errors[worst]} ulp at {x[worst]!r}"


@both_dtypes
def test_special_values(dtype, isa):
    zero, one = np.zeros(1, dtype), np.ones(1, dtype)
    assert same_bits(_core.tanh(zero), zero)
    assert same_bits(_core.tanh(-zero), -zero)
    assert same_bits(_core.tanh(one * np.inf), one)
    assert same_bits(_core.tanh(-one * np.inf), -one)
    largest = one * np.finfo(dtype).max
    assert same_bits(_core.tanh(largest), one)
    assert same_bits(_core.tanh(-largest), -one)


@both_dtypes
def test_nan_stays_nan_whatever_its_payload(dtype, isa):
    info, kind = np.finfo(dtype), BITS[dtype]
    infinity = int(np.array(np.inf, dtype).view(kind))
    sign = 1 << (8 * np.dtype(dtype).itemsize - 1)
    payloads = [1, 2, 1 << info.nmant - 1, (1 << info.nmant) - 1, 12345]
    bits = [infinity + p + s for p in payloads for s in (0, sign)]
    assert np.isnan(_core.tanh(np.array(bits, kind).view(dtype))).all()


@both_dtypes
def test_tiny_values_are_their_own_tanh(dtype, isa):
    info = np.finfo(dtype)
    x = np.geomspace(float(info.tiny), float(info.tiny) * 2**20, 999).astype(dtype)
    subnormal = np.arange(1, 4000).astype(dtype) * info.smallest_subnormal
    for values in x, subnormal, SAMPLES[dtype][SAMPLES[dtype] < info.tiny]:
        assert same_bits(_core.tanh(values), values)
        assert same_bits(_core.tanh(-values), -values)


@both_dtypes
def test_same_bits_on_every_isa(dtype, isa):
    y = _core.tanh(SAMPLES[dtype])
    before = _core.set_isa("generic")
    assert before == isa
    assert same_bits(_core.tanh(SAMPLES[dtype]), y)


@both_dtypes
def test_any_length_and_shape(dtype, isa):
    x = SAMPLES[dtype][::9973][:120].copy()
    y = _core.tanh(x)
    for n in range(70):
        assert same_bits(_core.tanh(x[:n].copy()), y[:n])
        assert same_bits(_core.tanh(x[n:]), y[n:])
    assert same_bits(_core.tanh(x.reshape(2, 3, -1)), y.reshape(2, 3, -1))
    assert same_bits(_core.tanh(x[5:6].reshape(())), y[5:6].reshape(()))
    assert _core.tanh(np.zeros((0, 3), dtype)).shape == (0, 3)


@pytest.mark.parametrize(
    "x",
    [
        None,
        1.0,
        [1.0],
        np.float32(1),
        np.ones(3, ">f4"),
        np.ones(3, "f2"),
        np.ones(3, int),
        np.ones(6)[::2],
        np.ones((2, 3)).T,
        np.frombuffer(bytes(9), "f4", offset=1),
        np.ma.ones(3),
    ],
    ids=repr,
)
def test_wrong_arguments(x):
    with pytest.raises(TypeError):
        _core.tanh(x)
