"""What a stream must survive: after each error its state is what it was before."""

import contextlib
import gc

import numpy as np
import pytest
from faults import B, H, I, network, same_bits
from shapes import draw

import crnn
from crnn import _core


def begun(batch_size=B, **options):
    """A stream that has made a step."""
    stream = network(num_layers=2, **options).eval().stream(batch_size)
    rows = () if batch_size is None else (batch_size,)
    stream.step(draw(*rows, I, dtype=stream.state.dtype))
    return stream


@contextlib.contextmanager
def unharmed(stream, error, text=""):
    """The body raises error with text; the stream goes on as if nothing had been."""
    before = stream.state
    with pytest.raises(error) as caught:
        yield
    assert text in str(caught.value)
    del caught
    assert same_bits(stream.state, before)
    shape = (I,) if stream.batch_size is None else (stream.batch_size, I)
    x = draw(*shape, dtype=before.dtype, seed=5)
    expected, h_n = stream.network(x[None], before)
    assert same_bits(stream.step(x), expected[0]) and same_bits(stream.state, h_n)


def plain(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


WRONG_INPUTS = {
    "too few features": (plain(B, I - 1), crnn.ShapeError, f"of shape {(B, I)}"),
    "other batch": (plain(B + 1, I), crnn.ShapeError, f"got {(B + 1, I)}"),
    "no batch": (plain(I), crnn.ShapeError, "x_t"),
    "a sequence": (plain(1, B, I), crnn.ShapeError, "x_t"),
    "float64": (plain(B, I, dtype="f8"), crnn.DTypeError, "float64"),
    "float16": (plain(B, I, dtype="f2"), crnn.DTypeError, "float16"),
    "integers": (plain(B, I, dtype="i4"), crnn.DTypeError, "int32"),
    "objects": (plain(B, I, dtype="O"), TypeError, "object"),
    "a list": ([[0.0] * I] * B, TypeError, "numpy.asarray"),
    "None": (None, TypeError, "NoneType"),
    "masked": (np.ma.masked_array(plain(B, I)), TypeError, "mask"),
}


@pytest.mark.parametrize("name", list(WRONG_INPUTS))
def test_wrong_inputs(name):
    x, error, text = WRONG_INPUTS[name]
    stream = begun()
    with unharmed(stream, error, text):
        stream.step(x)
    with unharmed(stream, error, text):
        stream.step(x, plain(B, H))


def wrong_outs(stream):
    read_only = plain(B, H)
    read_only.flags.writeable = False
    rows = np.zeros(H + 4, np.float32)
    overlapping = np.lib.stride_tricks.as_strided(rows, (B, H), (16, 4))
    odd = np.zeros(4 * B * H + 1, "u1")[1:].view("f4").reshape(B, H)
    return {
        "shape": (plain(B, H + 1), crnn.ShapeError, f"of shape {(B, H)}"),
        "no batch": (plain(H), crnn.ShapeError, "out"),
        "float64": (plain(B, H, dtype="f8"), crnn.DTypeError, "out"),
        "big-endian": (plain(B, H, dtype=">f4"), ValueError, "native"),
        "read-only": (read_only, ValueError, "read-only"),
        "strided": (plain(B, 2 * H)[:, ::2], ValueError, "contiguous"),
        "broadcast": (overlapping[:1].repeat(1, 0), crnn.ShapeError, "out"),
        "overlapping rows": (overlapping, ValueError, "apart"),
        "unaligned": (odd, ValueError, "aligned"),
        "parameters": (stream.network.weight_hh_l0.T[:B], ValueError, "parameters"),
        "a list": ([[0.0] * H] * B, TypeError, "out"),
        "masked": (np.ma.masked_array(plain(B, H)), TypeError, "mask"),
        "bytes": (bytes(4 * B * H), TypeError, "out"),
    }


@pytest.mark.parametrize("name", list(wrong_outs(begun())))
def test_wrong_outs(name):
    stream = begun()
    out, error, text = wrong_outs(stream)[name]
    with unharmed(stream, error, text):
        stream.step(draw(B, I), out)
    with unharmed(stream, error, text):
        stream.step(draw(B, I).astype(">f4"), out=out)


WRONG_RESETS = {
    "no such row": ({"rows": [B]}, IndexError, f"row {B} is out of bounds"),
    "no such row from the end": ({"rows": -B - 1}, IndexError, "out of bounds"),
    "huge": ({"rows": [2**63]}, IndexError, "out of bounds"),
    "floats": ({"rows": [0.0]}, crnn.DTypeError, "float64"),
    "text": ({"rows": "0"}, crnn.DTypeError, "rows"),
    "two dimensions": ({"rows": [[0]]}, crnn.ShapeError, "one dimension"),
    "mask": ({"rows": [True] * (B + 1)}, crnn.ShapeError, "mask"),
    "shape": ({"h_0": plain(2, B, H + 1)}, crnn.ShapeError, f"{(2, B, H)}"),
    "layers": ({"h_0": plain(1, B, H)}, crnn.ShapeError, "Expected hidden size"),
    "no batch": ({"h_0": plain(2, H)}, crnn.ShapeError, "Expected hidden size"),
    "rows of h_0": ({"h_0": plain(2, B, H), "rows": [0]}, crnn.ShapeError, "(2, 1"),
    "dtype": ({"h_0": plain(2, B, H, dtype="f8")}, crnn.DTypeError, "float64"),
    "list": ({"h_0": [[[0.0] * H] * B] * 2}, TypeError, "h_0"),
}


@pytest.mark.parametrize("name", list(WRONG_RESETS))
def test_wrong_resets(name):
    arguments, error, text = WRONG_RESETS[name]
    stream = begun()
    with unharmed(stream, error, text):
        stream.reset(**arguments)


def test_wrong_calls():
    stream = begun(None)
    with unharmed(stream, TypeError, r"Stream.step() missing"):
        stream.step()
    with unharmed(stream, TypeError, "Stream.step()"):
        stream.step(plain(I), None, None)
    with unharmed(stream, TypeError, "other"):
        stream.step(plain(I), other=1)
    with unharmed(stream, crnn.ShapeError, "batch_size"):
        stream.reset(rows=[0])
    with unharmed(stream, RuntimeError, "already called"):
        stream.__init__(stream.network)
    for arguments in (None, [0]), (plain(2, H), None), (plain(H), None):
        with contextlib.suppress(TypeError, ValueError):
            stream._set_state(*arguments)  # checked for the sake of memory alone
    with unharmed(stream, TypeError):
        stream._advance(plain(I + 1), None)
    other = begun(None)
    stream.reset(other.state)
    assert same_bits(stream.step(x_t=plain(I)), other.step(out=None, x_t=plain(I)))


WRONG_STREAMS = {
    "two ways": (lambda: network(bidirectional=True).stream(), ValueError, "streamed"),
    "negative": (lambda: network().stream(-1), ValueError, "negative"),
    "float": (lambda: network().stream(2.0), TypeError, "float"),
    "bool": (lambda: network().stream(True), TypeError, "bool"),
    "huge": (lambda: network().stream(2**62), OverflowError, "too large"),
    "larger": (lambda: network().stream(2**64), OverflowError, "too large"),
    "no memory": (lambda: network().stream(2**50), MemoryError, None),
    "a cell": (lambda: crnn.Stream(crnn.RNNCell(I, H)), TypeError, "RNNCell"),
    "a number": (lambda: crnn.Stream(1), TypeError, "int"),
    "unmade": (
        lambda: crnn.Stream(crnn.RNN.__new__(crnn.RNN)),
        RuntimeError,
        "not called",
    ),
}


@pytest.mark.parametrize("name", list(WRONG_STREAMS))
def test_streams_that_cannot_be(name):
    make, error, text = WRONG_STREAMS[name]
    allocations = _core.allocations()
    with pytest.raises(error, match=text):
        make()
    gc.collect()
    assert _core.allocations() <= allocations


def test_uninitialised():
    stream = crnn.Stream.__new__(crnn.Stream)
    for use in (
        lambda: stream.step(plain(I)),
        lambda: stream.reset(),
        lambda: stream.state,
        lambda: stream.batch_size,
        lambda: stream._advance(plain(I), None),
    ):
        with pytest.raises(RuntimeError, match="__init__"):
            use()
    stream.__init__(network())
    assert stream.step(plain(I)).shape == (H,)


def test_attributes_of_the_network():
    stream = begun(None, dropout=0.5)
    net = stream.network
    net.train()
    with pytest.raises(RuntimeError, match="eval"):
        stream.step(plain(I))
    net.eval()
    net.mode = "RNN_SIGMOID"
    with pytest.raises(AssertionError, match="mode"):
        stream.step(plain(I))
    net.mode = "RNN_TANH"
    net.double()
    for x in plain(I), plain(I, dtype="f8"):
        with pytest.raises(RuntimeError, match="float64"):
            stream.step(x)
    net.float()
    with unharmed(stream, crnn.DTypeError):
        stream.step(plain(I, dtype="f8"))
    net.train().dropout = 0.0
    stream.step(plain(I))


@pytest.mark.parametrize("forever", [False, True], ids=["once", "from there on"])
def test_every_failing_allocation(forever):
    net, x = network(num_layers=2), draw(40, I)
    gc.collect()
    before = _core.allocations()
    for n in range(1, 20):
        _core.fail_allocation(n, forever)
        try:
            stream = net.stream(40)
            made = True
        except MemoryError:
            made = False
        finally:
            _core.fail_allocation(0)
        gc.collect()
        if made:
            break
        assert _core.allocations() == before
    assert made and n > 3
    _core.fail_allocation(1, True)
    try:  # a step needs no memory
        for _ in range(3):
            stream.step(x)
        stream.reset(rows=[1])
    finally:
        _core.fail_allocation(0)


def test_a_step_that_finds_no_memory():
    """Kernels that need more scratch memory than those at the start had."""
    net, x = crnn.RNN(4, 1024), draw(40, 4)
    before = _core.set_isa("generic")
    try:
        stream = net.stream(40)
        stream.step(x)
        for isa in crnn.isas():
            _core.set_isa(isa)
            state = stream.state
            _core.fail_allocation(1, True)
            with contextlib.suppress(MemoryError):
                stream.step(x)
                stream.reset(state)
            _core.fail_allocation(0)
            assert same_bits(stream.state, state)
            assert same_bits(stream.step(x), net(x[None], state)[0][0])
    finally:
        _core.fail_allocation(0)
        _core.set_isa(before)
