"""Rule R8: the same seed gives the parameters of torch, bit for bit."""

import math
from fractions import Fraction

import numpy as np
import pytest
from faults import same_bits
from shapes import draw

import crnn

SIZES = [
    (1, 1, 1, False),
    (2, 3, 1, False),
    (3, 4, 2, True),
    (10, 20, 3, False),
    (7, 16, 1, True),
    (17, 33, 2, False),
    (64, 65, 1, False),
    (128, 100, 2, True),
]
SEEDS = [0, 1, 42, 2**31, 2**32 - 1, 2**32, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1]
SEEDS += [-1, -5, -(2**31), -(2**63)]
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture
def generator(torch):
    """torch with a generator whose values rule R8 is about."""
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("without AVX2 torch itself rounds twice")
    return torch


def check_equal(net, oracle):
    for (name, a), (right, p) in zip(
        net.named_parameters(), oracle.named_parameters(), strict=True
    ):
        assert name == right
        assert same_bits(np.ascontiguousarray(a), p.detach().numpy()), name


@both_dtypes
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_parameters_are_those_of_torch(generator, size, dtype):
    I, H, layers, bidirectional = size  # noqa: E741
    for seed, bias in (0, True), (1, False), (2026, True):
        options = {"bias": bias, "bidirectional": bidirectional}
        generator.manual_seed(seed)
        oracle_dtype = getattr(generator, dtype)
        oracle = generator.nn.RNN(I, H, layers, dtype=oracle_dtype, **options)
        crnn.manual_seed(seed)
        check_equal(crnn.RNN(I, H, layers, dtype=dtype, **options), oracle)


@both_dtypes
@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_are_those_of_torch(generator, seed, dtype):
    """The state afterwards too: one module made after the other."""
    generator.manual_seed(seed)
    crnn.manual_seed(seed)
    options = {"dtype": getattr(generator, dtype)}
    for I, H in (2, 3), (5, 7):  # noqa: E741
        check_equal(crnn.RNN(I, H, dtype=dtype), generator.nn.RNN(I, H, **options))
        check_equal(
            crnn.RNNCell(I, H, dtype=dtype), generator.nn.RNNCell(I, H, **options)
        )


def test_dtypes_draw_from_one_stream(generator):
    generator.manual_seed(8)
    crnn.manual_seed(8)
    for dtype in "float32", "float64", "float32":
        oracle = generator.nn.RNN(3, 5, dtype=getattr(generator, dtype))
        check_equal(crnn.RNN(3, 5, dtype=dtype), oracle)


def test_reset_parameters_goes_on_in_the_stream(generator):
    generator.manual_seed(3)
    crnn.manual_seed(3)
    net, oracle = crnn.RNN(3, 5, 2), generator.nn.RNN(3, 5, 2)
    arrays = list(net.parameters())
    net.reset_parameters()
    oracle.reset_parameters()
    check_equal(net, oracle)
    for a, b in zip(arrays, net.parameters(), strict=True):
        assert a is b


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1, 10**30])
def test_seeds_out_of_range(torch, seed):
    for manual_seed in crnn.manual_seed, torch.manual_seed:
        with pytest.raises((ValueError, RuntimeError, OverflowError)):
            manual_seed(seed)


@pytest.mark.parametrize("seed", [None, "x", [1], 1j])
def test_seeds_that_are_no_numbers(seed):
    with pytest.raises((TypeError, ValueError)):
        crnn.manual_seed(seed)


def test_golden_values():
    """Of the contract, section 1.3."""
    crnn.manual_seed(0)
    values = crnn.RNN(2, 3).weight_ih_l0.ravel()
    expected = """-0.00432251766 0.309715837 -0.475185335
                  -0.424894601 -0.222368971 0.154820725"""
    assert [f"{v:.9g}" for v in values] == expected.split()
    crnn.manual_seed(0)
    values = crnn.RNN(2, 3, dtype="float64").weight_ih_l0.ravel()
    assert values[:2].tolist() == [0.5427704542528102, 0.23996970930833822]


def fma(a, b, c):
    """a b + c, rounded once."""
    return float(Fraction(a) * Fraction(b) + Fraction(c))


def uniform(random, size, dtype, k):
    """size values of U(-k, k) by the contract's formula, in exact arithmetic."""
    if dtype == "float32":
        raw = random.randint(0, 2**32, size, dtype=np.uint32)
        u, k = (raw & 0xFFFFFF) * 2.0**-24, float(np.float32(k))
        return (u * (2 * k) - k).astype(np.float32)  # exact in float64
    high, low = random.randint(0, 2**32, (size, 2), dtype=np.uint32).T.astype(np.uint64)
    u = (high << np.uint64(32) | low) & np.uint64(2**53 - 1)
    return np.array([fma(value, 2 * k, -k) for value in (u * 2.0**-53).tolist()])


@both_dtypes
@pytest.mark.parametrize("seed", [0, 7, -1])
def test_formula(seed, dtype):
    """The draws of numpy.random.RandomState, without torch."""
    crnn.manual_seed(seed)
    net = crnn.RNN(5, 7, 2, bidirectional=True, dtype=dtype)
    random = np.random.RandomState(seed % 2**32)
    k = 1 / math.sqrt(7)
    for name, a in net.named_parameters():
        expected = uniform(random, a.size, dtype, k).reshape(a.shape)
        assert np.array_equal(a, expected), name


def test_values_lie_in_the_interval_and_differ():
    first, second = crnn.RNN(64, 100), crnn.RNN(64, 100)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert not np.array_equal(a, b)
        assert (np.abs(a) <= 0.1).all() and a.min() < -0.08 and a.max() > 0.08
        assert abs(a.mean()) < 0.03


def test_seeding_returns_none_and_leaves_numpy_alone():
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert crnn.manual_seed(1) is None
    crnn.RNN(3, 4, 2, dropout=0.5)(draw(2, 1, 3))
    assert same_bits(np.random.random(3), expected)  # noqa: NPY002


def test_isa_does_not_matter(isa):
    crnn.manual_seed(9)
    net = crnn.RNN(5, 33)
    crnn._core.set_isa("generic")
    crnn.manual_seed(9)
    for a, b in zip(net.parameters(), crnn.RNN(5, 33).parameters(), strict=True):
        assert same_bits(a, b)
