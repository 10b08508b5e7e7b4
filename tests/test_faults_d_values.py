"""Faults, group D: values and the floating-point environment.

The number in a test's name is its row.  Row 62 is test_tanh.py; rows 64 and 67 belong
to threads and to the backward pass; 58 to 61 are in test_faults_d_environment.py.
"""

import itertools

import numpy as np
import pytest
from faults import B, H, I, T, both_dtypes, check_right, draw, network, same_bits

import crnn

both_modes = pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])


def identity(size, dtype, nonlinearity="relu"):
    """One that hands its input on: W_ih = 1, W_hh = 0, no bias."""
    net = crnn.RNN(size, size, nonlinearity=nonlinearity, bias=False, dtype=dtype)
    net.weight_ih_l0 = np.eye(size, dtype=dtype)
    net.weight_hh_l0 = np.zeros((size, size), dtype)
    return net


@both_dtypes
@both_modes
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
def test_fault_52_53_nan_stays_in_its_row(bidirectional, nonlinearity, dtype, isa):
    options = {"nonlinearity": nonlinearity, "bidirectional": bidirectional}
    net = network(dtype, num_layers=2, **options)
    x, row, step = draw(T, 9, I, dtype=dtype), 4, 2
    clean, clean_states = net(x)
    x[step, row, 1] = np.nan
    y, hn = check_right(net, x)
    others = np.arange(9) != row
    assert same_bits(y[:, others], clean[:, others])
    assert same_bits(hn[:, others], clean_states[:, others])
    if bidirectional:
        assert np.isnan(y[:, row]).all()
    else:
        assert same_bits(y[:step, row], clean[:step, row])
        assert np.isnan(y[step:, row]).all()
    assert np.isnan(hn[-1, row]).all()


@both_dtypes
def test_fault_53_relu_keeps_nan_and_clears_negative_numbers(dtype, isa):
    values = [np.nan, -np.nan, -1, -np.inf, np.inf, 2, 0, -0.0]
    expected = [np.nan, np.nan, 0, 0, np.inf, 2, 0, 0]
    net = identity(1, dtype)
    for value, right in zip(values, expected, strict=True):
        y, hn = net(np.full((1, 1), value, dtype))
        np.testing.assert_array_equal(y, np.full((1, 1), right, dtype))
        assert same_bits(y, hn)


@both_dtypes
@both_modes
def test_fault_54_infinite_x(nonlinearity, dtype, isa):
    net = crnn.RNN(2, H, nonlinearity=nonlinearity, dtype=dtype)
    net.weight_ih_l0 = np.ones((H, 2), dtype)
    net.weight_hh_l0 = np.full((H, H), 0.5, dtype)
    top = 1 if nonlinearity == "tanh" else np.inf
    bottom = -1 if nonlinearity == "tanh" else 0
    for x, expected in [
        ((np.inf, np.inf), top),
        ((-np.inf, 1), bottom),
        ((np.inf, -np.inf), np.nan),
    ]:
        y, _ = net(np.array([[x]], dtype))
        np.testing.assert_array_equal(y, np.full((1, 1, H), expected, dtype))


@both_dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_fault_55_56_weights_of_one_unit(value, dtype, isa):
    """What happens in one vector lane, or in the padding behind it, stays there."""
    for size, unit in itertools.product((9, 17), (0, 7, 8)):
        net = crnn.RNN(I, size, dtype=dtype)
        net.weight_hh_l0 = np.zeros((size, size), dtype)
        x = np.zeros((T, B, I), dtype)
        clean, _ = net(x)
        net.weight_ih_l0[unit] = value
        y, _ = net(x)
        others = np.arange(size) != unit
        assert np.isnan(y[..., unit]).all() == (not np.isfinite(dtype_of(value, dtype)))
        # A NaN unit reaches the others' sums through the state, 0 times NaN.
        assert same_bits(y[0][:, others], clean[0][:, others])


def dtype_of(value, dtype):
    return np.asarray(value).astype(dtype)


@both_dtypes
@both_modes
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_fault_56_padding_in_time_reaches_no_result(value, nonlinearity, dtype, isa):
    options = {"nonlinearity": nonlinearity, "bidirectional": True, "num_layers": 2}
    net, lengths = network(dtype, **options), np.array([2, 4, 1, 3, 4])
    x = draw(T, 5, I, dtype=dtype)
    clean = net(x, lengths=lengths)
    x[np.arange(T)[:, None] >= lengths] = value
    results = net(x, lengths=lengths)
    assert all(map(same_bits, results, clean))
    assert not results[0][np.arange(T)[:, None] >= lengths].any()


@both_dtypes
@both_modes
def test_fault_57_subnormals(nonlinearity, dtype, isa):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.abs(draw(T, B, 17, dtype=dtype) * 1e4).astype(np.int64).astype(dtype) * tiny
    assert ((x > 0) & (x < np.finfo(dtype).tiny)).any()
    y, hn = identity(17, dtype, nonlinearity)(x)
    assert same_bits(y, x) and same_bits(hn, x[-1:])
    doubled = identity(17, dtype, nonlinearity)
    doubled.weight_ih_l0 *= 2
    assert same_bits(doubled(x)[0], x * 2)


@both_dtypes
@both_modes
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
def test_fault_63_any_batch_and_any_row_order(bidirectional, nonlinearity, dtype, isa):
    options = {"nonlinearity": nonlinearity, "bidirectional": bidirectional}
    net = network(dtype, num_layers=2, **options)
    rows = 19
    x = draw(T, rows, I, dtype=dtype)
    h0 = draw(4 if bidirectional else 2, rows, H, dtype=dtype)
    y, hn = net(x, h0)
    order = np.random.default_rng(2).permutation(rows)
    turned, turned_states = net(x[:, order], h0[:, order])
    assert same_bits(turned, y[:, order]) and same_bits(turned_states, hn[:, order])
    for row in range(rows):
        alone, state = net(x[:, row], h0[:, row])
        assert same_bits(alone, y[:, row]) and same_bits(state, hn[:, row])
    for count in range(1, rows):
        assert same_bits(net(x[:, :count], h0[:, :count])[0], y[:, :count])


@both_dtypes
@both_modes
def test_fault_65_every_isa_gives_the_same_bits(nonlinearity, dtype, isa):
    results = {}
    for name in "generic", isa:
        crnn._core.set_isa(name)
        for inputs, hidden, rows in (1, 1, 1), (3, 9, 7), (17, 33, 8), (40, 70, 26):
            crnn.manual_seed(3)
            options = {"bidirectional": True, "dtype": dtype}
            net = crnn.RNN(inputs, hidden, 2, nonlinearity, **options)
            x = draw(5, rows, inputs, dtype=dtype)
            x[1, 0, 0], x[2, -1, -1] = np.inf, np.nan
            results.setdefault(hidden, []).append(net(x))
    for first, second in results.values():
        assert all(map(same_bits, first, second))


@both_modes
def test_fault_66_long_sequences_do_not_drift(nonlinearity, isa):
    """Errors of 1e5 steps do not add up where the state forgets."""
    net = network("float32", nonlinearity=nonlinearity)
    x = draw(100_000, 1, I)
    y, _ = net(x)
    exact, _ = net.double()(x.astype(np.float64))
    scale = np.abs(exact).max()
    assert np.abs(y - exact).max() <= 16 * np.finfo(np.float32).eps * scale
