"""The contract's section 2: shapes, memory, values; test_contract_checks has 2.2."""

import itertools

import numpy as np
import pytest
from faults import same_bits
from reference import assert_close, reference_of
from shapes import draw

import crnn

T, B, I, H = 5, 3, 2, 4  # noqa: E741
STACKS = [
    (layers, directions) for layers, directions in itertools.product((1, 2, 3), (1, 2))
]
stacks = pytest.mark.parametrize(("layers", "directions"), STACKS)


def make(layers=1, directions=1, **options):
    crnn.manual_seed(0)
    return crnn.RNN(I, H, layers, bidirectional=directions == 2, **options)


@stacks
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [None, 0, 1, B], ids=lambda rows: f"B{rows}")
@pytest.mark.parametrize("batch_first", [False, True], ids=["TBI", "BTI"])
def test_shapes_and_memory(batch_first, rows, dtype, layers, directions):
    """2.1, and 2.3 for B = 0: results are new, contiguous, writable, native."""
    net = make(layers, directions, batch_first=batch_first, dtype=dtype)
    batch = () if rows is None else (rows,)
    steps = (*batch, T) if batch_first else (T, *batch)
    x = draw(*steps, I, dtype=dtype)
    hx = draw(layers * directions, *batch, H, dtype=dtype)
    before = x.tobytes(), hx.tobytes()
    for arguments in (x,), (x, None), (x, hx):
        results = net(*arguments)
        assert type(results) is tuple and len(results) == 2
        assert results[0].shape == (*steps, directions * H)
        assert results[1].shape == hx.shape
        for a in results:
            assert type(a) is np.ndarray and a.dtype == dtype and a.dtype.isnative
            assert a.flags.c_contiguous and a.flags.writeable and a.flags.aligned
            others = [b for b in (x, hx, *results, *net.parameters()) if b is not a]
            assert not any(np.shares_memory(a, b) for b in others)
    assert (x.tobytes(), hx.tobytes()) == before


@stacks
def test_names_of_the_arguments(layers, directions):
    net, x = make(layers, directions), draw(T, B, I)
    hx = draw(layers * directions, B, H)
    expected = net(x, hx)
    for results in net(input=x, hx=hx), net(x, hx=hx), net.forward(x, hx):
        assert all(map(same_bits, results, expected))
    for wrong in ({"h0": hx}, {"x": x}, {"hx": hx, "extra": 1}):
        with pytest.raises(TypeError):
            net(x, **wrong)


@stacks
def test_h_n_is_in_the_output(layers, directions):
    net = make(layers, directions)
    output, h_n = net(draw(T, B, I))
    if directions == 1:
        assert same_bits(h_n[-1], output[-1])
    else:
        assert same_bits(h_n[-2], output[-1, :, :H].copy())
        assert same_bits(h_n[-1], output[0, :, H:].copy())


@stacks
def test_calls_that_are_the_same(layers, directions):
    """Unbatched is a batch of one, no hx is zeros, and a call repeats its bits."""
    net = make(layers, directions)
    x, zeros = draw(T, B, I), np.zeros((layers * directions, B, H), np.float32)
    output, h_n = net(x)
    assert all(map(same_bits, net(x), (output, h_n)))
    assert all(map(same_bits, net(x, zeros), (output, h_n)))
    alone = net(x[:, 1])
    assert same_bits(alone[0], output[:, 1]) and same_bits(alone[1], h_n[:, 1])
    net.batch_first = True
    turned, states = net(x.swapaxes(0, 1))
    assert same_bits(turned, output.swapaxes(0, 1)) and same_bits(states, h_n)
    assert all(map(same_bits, net(x[:, 1]), alone))


def test_index_of_hx():
    """layer * D + direction: only that state changes with hx."""
    net, x, hx = make(2, 2), draw(1, B, I), np.zeros((4, B, H), np.float32)
    net.eval()
    _, before = net(x, hx)
    changed = []
    for index in range(4):
        other = hx.copy()
        other[index] += 1
        _, h_n = net(x, other)
        changed.append([i for i in range(4) if not same_bits(h_n[i], before[i])])
    assert changed == [[0, 2, 3], [1, 2, 3], [2], [3]]


def test_degenerate_sizes():
    net = crnn.RNN(1, 1, dtype="float64")
    x, hx = draw(1, 1, 1, dtype="float64"), draw(1, 1, 1, dtype="float64", seed=1)
    for result, right in zip(net(x, hx), reference_of(net, x, hx), strict=True):
        assert_close(result, right)
    net, empty = make(2, 2, batch_first=True), np.zeros((0, T, I), np.float32)
    results = net(empty, np.zeros((4, 0, H), np.float32), lengths=[])
    assert [a.shape for a in results] == [(0, T, 2 * H), (4, 0, H)]


def identity(nonlinearity, dtype="float32"):
    net = crnn.RNN(1, 1, nonlinearity=nonlinearity, bias=False, dtype=dtype)
    net.weight_ih_l0[:] = 1
    net.weight_hh_l0[:] = 0
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_of_the_functions(dtype, isa):
    tiny = np.finfo(dtype).smallest_subnormal
    values = [np.inf, -np.inf, np.nan, 0.0, -2.0, 3.0, tiny, -tiny]
    x = np.array(values, dtype).reshape(1, -1, 1)
    y = identity("tanh", dtype)(x)[0].ravel()
    t2, t3 = np.tanh([-2.0, 3.0])
    expected = [1, -1, np.nan, 0, t2, t3, tiny, -tiny]
    np.testing.assert_allclose(y, np.array(expected, dtype), rtol=4e-7, atol=0)
    y = identity("relu", dtype)(x)[0].ravel()
    np.testing.assert_array_equal(y, [np.inf, 0, np.nan, 0, 0, 3, tiny, 0])


def test_infinity_times_zero_is_nan(isa):
    net = identity("tanh")
    net.weight_ih_l0[:] = 0
    assert np.isnan(net(np.full((1, 1, 1), np.inf, np.float32))[0]).all()


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_nan_reaches_later_steps_of_its_sample(nonlinearity, isa):
    for layers, directions in STACKS:
        net = make(layers, directions, nonlinearity=nonlinearity)
        x = draw(T, B, I)
        clean, _ = net(x)
        x[2, 1] = np.nan
        output, _ = net(x)
        nan = np.isnan(output)
        assert not nan[:, [0, 2]].any()
        assert same_bits(output[:, [0, 2]], clean[:, [0, 2]])
        if layers == 1 or directions == 1:
            assert (nan[:, 1, :H] == (np.arange(T) >= 2)[:, None]).all()
            assert (nan[:, 1, H:] == (np.arange(T) <= 2)[:, None]).all()
        else:
            assert nan[:, 1].all()


def test_float32_is_near_float64(isa):
    crnn.manual_seed(0)
    net = crnn.RNN(64, 128, 2, bidirectional=True)
    x = draw(40, 2, 64)
    results = net(x)
    expected = net.double()(x.astype(np.float64))
    for a, b in zip(results, expected, strict=True):
        assert np.abs(a - b).max() < 1.5e-6


def test_edits_in_place_are_seen(isa):
    net, x = make(2, 2), draw(T, B, I)
    for name, array in net.named_parameters():
        before = net(x)
        array += 0.25
        after = net(x)
        assert not same_bits(before[0], after[0]), name
        assert_close(after[0], reference_of(net, x)[0])
    net.weight_hh_l0 *= 0
    net.weight_ih_l1_reverse = np.ones((H, 2 * H))  # float64 values, copied
    assert_close(net(x)[1], reference_of(net, x)[1])
