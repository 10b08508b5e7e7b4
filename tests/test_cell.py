"""The contract's section 6: RNNCell."""

import itertools

import numpy as np
import pytest
from faults import same_bits
from reference import assert_close, reference_of
from shapes import EDGES, ROWS, draw

import crnn

N, I, H = 3, 10, 20  # noqa: E741
both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
both_modes = pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])


def make(nonlinearity="tanh", dtype="float32", **options):
    crnn.manual_seed(0)
    return crnn.RNNCell(I, H, nonlinearity=nonlinearity, dtype=dtype, **options)


@both_dtypes
@both_modes
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "unbiased"])
@pytest.mark.parametrize("rows", [(), (0,), (1,), (N,)], ids=str)
def test_reference(rows, bias, nonlinearity, dtype, isa):
    cell = make(nonlinearity, dtype, bias=bias)
    x, hx = draw(*rows, I, dtype=dtype), draw(*rows, H, dtype=dtype, seed=1)
    before = x.tobytes(), hx.tobytes()
    for arguments in (x,), (x, None), (x, hx):
        h = cell(*arguments)
        assert type(h) is np.ndarray and h.dtype == dtype and h.shape == (*rows, H)
        assert h.flags.c_contiguous and h.flags.writeable
        assert not any(np.shares_memory(h, a) for a in (x, hx, *cell.parameters()))
        assert_close(h, reference_of(cell, *arguments))
    assert same_bits(cell(input=x, hx=hx), h) and same_bits(cell.forward(x, hx), h)
    assert (x.tobytes(), hx.tobytes()) == before


@both_dtypes
@both_modes
def test_torch(torch, nonlinearity, dtype):
    for bias in True, False:
        cell = make(nonlinearity, dtype, bias=bias)
        options = {"nonlinearity": nonlinearity, "dtype": getattr(torch, dtype)}
        oracle = torch.nn.RNNCell(I, H, bias, **options)
        state = {name: torch.from_numpy(a) for name, a in cell.state_dict().items()}
        oracle.load_state_dict(state)
        assert list(state) == list(oracle.state_dict())
        assert repr(cell) == repr(oracle)
        for rows in (), (N,):
            x, hx = draw(*rows, I, dtype=dtype), draw(*rows, H, dtype=dtype)
            for arrays in (x,), (x, hx):
                tensors = [torch.from_numpy(a) for a in arrays]
                with torch.no_grad():
                    right = oracle(*tensors).numpy()
                    assert_close(cell(*tensors), right)
                assert_close(cell(*arrays), right)


@both_dtypes
@both_modes
def test_loop_of_cells_is_an_rnn(nonlinearity, dtype, isa):
    """Bit for bit, with the one-layer network's weights."""
    for rows, size in itertools.chain(((b, H) for b in ROWS), ((2, h) for h in EDGES)):
        crnn.manual_seed(1)
        rnn = crnn.RNN(I, size, nonlinearity=nonlinearity, dtype=dtype)
        cell = crnn.RNNCell(I, size, nonlinearity=nonlinearity, dtype=dtype)
        weights = {name.removesuffix("_l0"): a for name, a in rnn.state_dict().items()}
        cell.load_state_dict(weights)
        x, h = draw(3, rows, I, dtype=dtype), draw(1, rows, size, dtype=dtype)
        y, h_n = rnn(x, h)
        h = h[0]
        for t in range(3):
            h = cell(x[t], h)
            assert same_bits(h, y[t]), (rows, size)
        assert same_bits(h, h_n[0])
        assert same_bits(cell(x[0]), rnn(x[:1])[0][0])


def test_rows_of_a_batch_are_alone(isa):
    cell, x, hx = make(), draw(17, I), draw(17, H)
    batch = cell(x, hx)
    for row in range(17):
        assert same_bits(cell(x[row], hx[row]), batch[row])
    assert same_bits(cell(x[::-1], hx[::-1]), batch[::-1])


def test_parameters():
    for bias in True, False:
        cell = make(bias=bias)
        shapes = {"weight_ih": (H, I), "weight_hh": (H, H)}
        shapes |= {"bias_ih": (H,), "bias_hh": (H,)} if bias else {}
        assert {n: a.shape for n, a in cell.named_parameters()} == shapes
        assert list(cell.state_dict()) == list(shapes)
        if not bias:
            assert cell.bias_ih is None and cell.bias_hh is None
    x = draw(N, I)
    before = cell(x)
    cell.weight_ih[:] = 0
    assert not same_bits(cell(x), before) and not cell(x).any()


def test_no_units():
    cell, x = crnn.RNNCell(3, 0), np.ones((2, 3), np.float32)
    h, pullback = cell.vjp(x)
    assert h.shape == cell(x, h).shape == (2, 0)
    found = pullback(h)
    assert found["weight_ih"].shape == (0, 3) and not found["input"].any()
    h, pullback = cell.vjp(x, h)
    assert pullback(h)["hx"].shape == (2, 0)


def test_constructor():
    cell = crnn.RNNCell(3, 4, True, "relu", None, np.float64)
    assert (cell.input_size, cell.hidden_size, cell.bias) == (3, 4, True)
    assert cell.nonlinearity == "relu" and cell.weight_ih.dtype == np.float64
    assert crnn.RNNCell(3, 4, "relu").nonlinearity == "tanh"  # the third is bias
    assert crnn.RNNCell(np.int64(3), np.int64(4)).weight_hh.shape == (4, 4)
    assert repr(crnn.RNNCell(3, 4)) == "RNNCell(3, 4)"
    cell = crnn.RNNCell(3, 4, False, "relu")
    assert repr(cell) == "RNNCell(3, 4, bias=False, nonlinearity=relu)"
    assert crnn.RNNCell(3, 4, 0).bias_ih is None
    for size in 3.0, "3", None:
        with pytest.raises(TypeError):
            crnn.RNNCell(3, size)
    for sizes in (3, -1), (-1, 3):
        with pytest.raises(RuntimeError):
            crnn.RNNCell(*sizes)


def test_nonlinearity_is_live_and_checked_at_the_call():
    cell, x = make(), draw(N, I)
    tanh = cell(x)
    cell.nonlinearity = "relu"
    assert same_bits(cell(x), make("relu")(x))
    cell.nonlinearity = "sigmoid"
    with pytest.raises(RuntimeError, match=r"^Unknown nonlinearity: sigmoid$"):
        cell(x)
    with pytest.raises(RuntimeError, match=r"^Unknown nonlinearity: sigmoid$"):
        make("sigmoid")(x)
    cell.nonlinearity = "tanh"
    assert same_bits(cell(x), tanh)


# Shapes of input and hx, then what is said, in the order of the checks.
CHECKS = [
    ((2, 3, I), None, "RNNCell: Expected input to be 1D or 2D, got 3D instead"),
    ((), (2, 3, H), "RNNCell: Expected input to be 1D or 2D, got 0D instead"),
    ((N, I), (1, N, H), "RNNCell: Expected hidden to be 1D or 2D, got 3D instead"),
    ((N, 11), (), "RNNCell: Expected hidden to be 1D or 2D, got 0D instead"),
    ((N, 11), None, "input has inconsistent input_size: got 11 expected 10"),
    ((11,), (21,), "input has inconsistent input_size: got 11 expected 10"),
    ((3, 11), (5, 21), "input has inconsistent input_size: got 11 expected 10"),
    ((3, I), (5, H), "Input batch size 3 doesn't match hidden0 batch size 5"),
    ((3, I), (1, H), "Input batch size 3 doesn't match hidden0 batch size 1"),
    ((3, I), (5, 21), "Input batch size 3 doesn't match hidden0 batch size 5"),
    ((3, I), (3, 21), "hidden0 has inconsistent hidden_size: got 21, expected 20"),
    ((I,), (21,), "hidden0 has inconsistent hidden_size: got 21, expected 20"),
]


@pytest.mark.parametrize(("x_shape", "hx_shape", "text"), CHECKS, ids=str)
def test_checks(torch, x_shape, hx_shape, text):
    arrays = [np.zeros(s, np.float32) for s in (x_shape, hx_shape) if s is not None]
    tensors = [torch.from_numpy(a) for a in arrays]
    with pytest.raises((ValueError, RuntimeError)) as oracle:
        torch.nn.RNNCell(I, H)(*tensors)
    assert str(oracle.value) == text
    cell = make().eval()
    for arguments in arrays, tensors:
        with pytest.raises(oracle.type) as caught:
            cell(*arguments)
        assert str(caught.value) == text
        assert isinstance(caught.value, crnn.ShapeError)
    assert cell(draw(N, I)).shape == (N, H)


@pytest.mark.parametrize("value", [[0.0], None, 1.0, "x", (0.0,)], ids=repr)
def test_what_is_no_array(value):
    cell = make()
    with pytest.raises(TypeError):
        cell(value)
    if value is not None:
        with pytest.raises(TypeError):
            cell(draw(N, I), value)


def test_dtypes(torch):
    x, hx = draw(N, I), draw(N, H)
    text = "mat1 and mat2 must have the same dtype, but got float64 and float32"
    for arguments in (x.astype(float), hx), (x, hx.astype(float)), (x.astype(float),):
        with pytest.raises(crnn.DTypeError) as caught:
            make()(*arguments)
        assert str(caught.value) == text
        with pytest.raises(RuntimeError, match="mat1 and mat2 must have the same dt"):
            torch.nn.RNNCell(I, H)(*map(torch.from_numpy, arguments))


def test_mixed_ranks_are_refused():
    """torch words some by accident, and returns (H, H) for one."""
    cell = make()
    for x_shape, hx_shape in ((I,), (1, H)), ((I,), (H, H)), ((N, I), (H,)):
        with pytest.raises(crnn.ShapeError):
            cell(draw(*x_shape), draw(*hx_shape))
