"""Streams: equal in bits to the whole sequence, and what else they promise."""

import itertools

import numpy as np
import pytest
from faults import both_dtypes, same_bits
from shapes import draw

import crnn
from crnn import _core

T = 6
BATCHES = (None, 1, 2, 8, 17)


def make(I, H, layers=1, **options):  # noqa: E741
    crnn.manual_seed(H)
    return crnn.RNN(I, H, layers, **options).eval()


def inputs(batch_size, I, dtype="float32", seed=0):  # noqa: E741
    rows = () if batch_size is None else (batch_size,)
    return draw(T, *rows, I, dtype=dtype, seed=seed)


def check_stream(stream, x, hx=None):
    """Steps over x from hx give what one call gives; hx None goes on from zeros."""
    expected, h_n = stream.network(x) if hx is None else stream.network(x, hx)
    for x_t, y_t in zip(x, expected, strict=True):
        assert same_bits(stream.step(x_t), y_t)
    assert same_bits(stream.state, h_n)


@both_dtypes
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_steps_and_the_whole_sequence(nonlinearity, layers, dtype, isa):
    for batch_size, H in itertools.product(BATCHES, (1, 7, 16, 33)):
        options = {"nonlinearity": nonlinearity, "dtype": dtype, "bias": H != 7}
        rnn = make(5, H, layers, **options)
        stream, x = rnn.stream(batch_size), inputs(batch_size, 5, dtype)
        check_stream(stream, x)
        hx = draw(*stream.state.shape, dtype=dtype, seed=1)
        stream.reset(hx)
        assert same_bits(stream.state, hx)
        check_stream(stream, x, hx)
        stream.reset()
        assert not stream.state.any()
        check_stream(stream, x)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_steps_that_a_team_shares(count, isa):
    rnn = make(300, 512, 2)
    x = inputs(24, 300)[:3]
    _core.assume_cpus(count)
    try:
        check_stream(rnn.stream(24), x)
    finally:
        _core.assume_cpus(0)


def test_packed_matrices():
    """Rows that lie badly in a cache are copied into panels at each step."""
    check_stream(make(4, 1024).stream(40), inputs(40, 4))


@both_dtypes
def test_layouts_of_inputs(dtype, isa):
    rnn, x = make(5, 7, 2, dtype=dtype), inputs(4, 5, dtype)
    expected, _ = rnn(x)
    layouts = [
        np.asfortranarray(x),
        x[:, ::-1, ::-1].copy()[:, ::-1, ::-1],
        np.repeat(x, 3, 2)[:, :, ::3],
        np.lib.stride_tricks.sliding_window_view(x, 5, axis=2)[..., 0, :],
        x.astype(x.dtype.newbyteorder()),
        [np.frombuffer(b"_" + a.tobytes(), "u1")[1:].view(dtype) for a in x],
    ]
    for layout in layouts:
        stream = rnn.stream(4)
        for x_t, y_t in zip(layout, expected, strict=True):
            assert same_bits(stream.step(np.reshape(x_t, (4, 5))), y_t)
    row = np.broadcast_to(x[0, :1], (4, 5))
    assert same_bits(rnn.stream(4).step(row), rnn(row[None])[0][0])


@both_dtypes
@pytest.mark.parametrize("batch_size", [None, 3])
def test_out(batch_size, dtype, isa):
    rnn = make(7, 7, 2, dtype=dtype)
    x = inputs(batch_size, 7, dtype)
    expected, _ = rnn(x)
    stream, shape = rnn.stream(batch_size), expected.shape[1:]
    spread = np.full((3, 2, 9), np.nan, dtype)
    out = spread[::-1, 1, 1:8] if batch_size else spread[1, 1, 1:8]
    for t, target in enumerate([np.empty(shape, dtype), out] * (T // 2)):
        by_name = t % 3 == 0
        y = stream.step(x[t], out=target) if by_name else stream.step(x[t], target)
        assert y is target and same_bits(target.copy(), expected[t])
    out[...] = np.nan
    assert np.isnan(spread).all()  # nothing beside it was written


@pytest.mark.parametrize("batch_size", [None, 3])
def test_out_that_is_the_input(batch_size):
    """A network that reads its own output, in place."""
    rnn = make(7, 7)
    stream, other = rnn.stream(batch_size), rnn.stream(batch_size)
    y = inputs(batch_size, 7)[0].copy()
    for _ in range(T):
        right = other.step(y.copy())
        assert stream.step(y, out=y) is y
        assert same_bits(y, right)
    memory = np.zeros(60, np.float32)
    x, out = memory[:21].reshape(3, 7), memory[14:35].reshape(3, 7)
    if batch_size is None:
        x, out = x[0], memory[3:10]
    x[...] = y
    right = other.step(x.copy())
    assert same_bits(stream.step(x, out).copy(), right)


def test_out_is_returned_also_from_the_slow_way(torch):
    rnn = make(7, 7)
    x = inputs(3, 7)
    expected, _ = rnn(x)
    stream = rnn.stream(3)
    out = np.zeros((3, 7), np.float32)
    assert stream.step(torch.from_numpy(x[0]), out) is out
    assert same_bits(out, expected[0])
    tensor = torch.zeros(3, 7)
    assert stream.step(x[1], tensor) is tensor
    assert same_bits(tensor.numpy(), expected[1])
    assert stream.step(tensor.copy_(torch.from_numpy(x[2])), tensor) is tensor
    assert same_bits(tensor.numpy(), expected[2])


def test_tensors(torch):
    rnn, x = make(5, 7, 2), inputs(3, 5)
    expected, h_n = rnn(x)
    stream = rnn.stream(3)
    for x_t, y_t in zip(torch.from_numpy(x), expected, strict=True):
        y = stream.step(x_t)
        assert type(y) is torch.Tensor and same_bits(y.numpy(), y_t)
    assert same_bits(stream.state, h_n)
    stream.reset(torch.from_numpy(h_n[:, :1]), torch.tensor([2]))
    assert same_bits(stream.state[:, 2], h_n[:, 0])
    needs = torch.ones(3, 5, requires_grad=True)
    with pytest.raises(RuntimeError, match="records no gradients"):
        stream.step(needs)
    with pytest.raises(RuntimeError, match="records no gradients"):
        stream.step(x[0], torch.ones(3, 7, requires_grad=True))
    with torch.no_grad():
        stream.step(needs)


ROWS = {
    "list": [1, 4],
    "negative": [-5, -2],
    "tuple": (4, 1, 4),
    "array": np.array([4, 1], np.uint8),
    "mask": np.arange(6) % 3 == 1,
    "list of booleans": [False, True, False, False, True, False],
    "one": 4,
    "NumPy's one": np.int32(-2),
    "none": [],
    "no mask": np.zeros(6, bool),
}


@both_dtypes
@pytest.mark.parametrize("name", list(ROWS))
def test_reset_of_rows(name, dtype):
    rnn, rows = make(5, 7, 2, dtype=dtype), ROWS[name]
    stream, x = rnn.stream(6), inputs(6, 5, dtype)
    for x_t in x:
        stream.step(x_t)
    index = np.arange(6)[np.asarray(rows, None if np.size(rows) else int)]
    index = np.atleast_1d(index)
    expected = stream.state
    expected[:, index] = 0
    stream.reset(rows=rows)
    assert same_bits(stream.state, expected)
    h_0 = draw(2, len(index), 7, dtype=dtype, seed=3)
    expected[:, index] = h_0
    stream.reset(h_0, rows)
    assert same_bits(stream.state, expected)
    stream.reset(np.broadcast_to(h_0[:1, :1, :1] * 0, h_0.shape), rows=rows)
    expected[:, index] = 0
    assert same_bits(stream.state, expected)
    check_stream(stream, x, expected)


def test_many_streams_that_begin_and_end():
    """Each row equals its own sequences, whatever its neighbours do."""
    B, rng = 1000, np.random.default_rng(0)
    rnn = make(3, 9, 2)
    stream, x = rnn.stream(B), draw(30, B, 3)
    begun, outputs = np.zeros((30, B), bool), np.empty((30, B, 9), np.float32)
    for t in range(30):
        begun[t] = rng.random(B) < 0.1
        stream.reset(rows=begun[t] if t % 2 else np.flatnonzero(begun[t]))
        stream.step(x[t], outputs[t])
    for b in range(0, B, 37):
        cuts = [0, *np.flatnonzero(begun[1:, b]) + 1, 30]
        for first, last in itertools.pairwise(cuts):
            assert same_bits(outputs[first:last, b].copy(), rnn(x[first:last, b])[0])


def test_attributes():
    rnn = make(3, 4, 2)
    for batch_size, shape in (None, (2, 4)), (0, (2, 0, 4)), (5, (2, 5, 4)):
        stream = rnn.stream(batch_size)
        assert isinstance(stream, crnn.Stream) and stream.network is rnn
        assert stream.batch_size == batch_size and stream.state.shape == shape
        assert repr(stream) == f"Stream(RNN(3, 4, num_layers=2), {batch_size=})"
    assert rnn.stream(np.int64(3)).batch_size == 3
    state = stream.state
    state[...] = 1
    assert not stream.state.any()
    for name in "network", "batch_size", "state":
        with pytest.raises(AttributeError):
            setattr(stream, name, 1)
    assert rnn.stream(0).step(np.zeros((0, 3), np.float32)).shape == (0, 4)
    empty = np.zeros((0, 4), np.float32)
    assert rnn.stream(0).step(np.zeros((0, 3), np.float32), empty) is empty
    swapped = np.zeros((0, 3), ">f4")
    assert rnn.eval().stream(0).step(swapped, out=empty) is empty
    batch_first = make(3, 4, batch_first=True)
    check_stream(batch_first.stream(), inputs(None, 3))


@both_dtypes
def test_parameters_are_live(dtype):
    rnn, x = make(3, 7, 2, dtype=dtype), inputs(2, 3, dtype)
    stream = rnn.stream(2)

    def edit():
        rnn.weight_hh_l0[:] = 0.5

    def scale():
        rnn.weight_ih_l1 *= 2

    def load():
        rnn.load_state_dict(make(3, 7, 2, bias=True).state_dict())

    def convert():
        rnn.to({"float32": "float64", "float64": "float32"}[dtype]).to(dtype)

    def use_relu():
        rnn.mode = "RNN_RELU"

    for change in edit, scale, load, convert, use_relu, rnn.reset_parameters:
        hx = stream.state
        change()
        check_stream(stream, x, hx)


def test_other_kernels_between_steps():
    rnn, x = make(4, 256), inputs(40, 4)
    for first, second in itertools.permutations(crnn.isas(), 2):
        before = _core.set_isa(first)
        stream = rnn.stream(40)
        try:
            check_stream(stream, x)
            _core.set_isa(second)
            check_stream(stream, x, stream.state)
        finally:
            _core.set_isa(before)
