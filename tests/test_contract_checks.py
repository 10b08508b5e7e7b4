"""The contract's section 2.2: what a call refuses, in torch's order and words."""

import itertools

import numpy as np
import pytest
from faults import same_bits
from shapes import draw

import crnn

T, B, I, H = 5, 3, 2, 4  # noqa: E741

# Rows of 2.2 that can be broken together, in their order.
RANK, DTYPE, FEATURES, HIDDEN, STEPS, HX_DTYPE = ROWS = 4, 6, 8, 9, 11, 12
BROKEN = [
    broken for n in range(len(ROWS)) for broken in itertools.combinations(ROWS, n + 1)
]
broken_rows = pytest.mark.parametrize("broken", BROKEN, ids=str)
batched_or_not = pytest.mark.parametrize(
    "batched", [True, False], ids=["batched", "unbatched"]
)


def arguments(broken, batched):
    """x and hx for RNN(I, H, 2) with these rows broken."""
    rows = (B,) if batched else ()
    x = np.zeros((0 if STEPS in broken else T, *rows, I + (FEATURES in broken)))
    hx_rows = () if batched and RANK in broken else (1,) if RANK in broken else rows
    hx = np.zeros((2, *hx_rows, H + (HIDDEN in broken)))
    narrow = np.float32
    return (
        x if DTYPE in broken else x.astype(narrow),
        hx if HX_DTYPE in broken else hx.astype(narrow),
    )


def message(row, batched, kind):
    """The type that torch raises and the text; kind is "array" or "tensor"."""
    rank = "batched 3-D" if batched else "unbatched 2-D"
    right, wrong = (3, 2) if batched else (2, 3)
    rows = B if batched else 1
    f32, f64, to = "float32", "float64", "astype"
    if kind == "tensor":
        f32, f64, to = "torch.float32", "torch.float64", "to"
    return {
        RANK: (
            RuntimeError,
            f"For {rank} input, hx should also be {right}-D but got {wrong}-D {kind}",
        ),
        DTYPE: (
            ValueError,
            f"RNN input dtype ({f64}) does not match weight dtype ({f32}). Convert "
            f"input: input.{to}({f32}), or convert model: model.to({f64})",
        ),
        FEATURES: (
            RuntimeError,
            f"input.size(-1) must be equal to input_size. Expected {I}, got {I + 1}",
        ),
        HIDDEN: (
            RuntimeError,
            f"Expected hidden size {(2, rows, H)}, got {[2, rows, H + 1]}",
        ),
        STEPS: (RuntimeError, "Expected sequence length to be larger than 0 in RNN"),
        HX_DTYPE: (
            RuntimeError,
            "mat1 and mat2 must have the same dtype, but got "
            + (f"{f64} and {f32}" if kind == "array" else "Double and Float"),
        ),
    }[row]


def failure(net, *arguments):
    with pytest.raises(Exception) as caught:
        net(*arguments)
    return caught.value


def make():
    crnn.manual_seed(0)
    return crnn.RNN(I, H, 2).eval()


@broken_rows
@batched_or_not
def test_first_failure_wins(batched, broken):
    net = make()
    error = failure(net, *arguments(broken, batched))
    kind, text = message(broken[0], batched, "array")
    assert isinstance(error, kind) and str(error) == text
    assert isinstance(error, crnn.DTypeError if "dtype" in text else crnn.ShapeError)
    x, hx = arguments((), batched)
    assert same_bits(net(x, hx)[0], make()(x)[0])


@broken_rows
@batched_or_not
def test_first_failure_wins_in_torch(torch, batched, broken):
    """The rows are what torch says, and what crnn says of tensors."""
    tensors = [torch.from_numpy(a) for a in arguments(broken, batched)]
    error = failure(torch.nn.RNN(I, H, 2), *tensors)
    kind, text = message(broken[0], batched, "tensor")
    assert type(error) is kind and str(error) == text
    error = failure(make(), *tensors)
    assert isinstance(error, kind)
    if broken[0] == HX_DTYPE:
        text = text.replace("Double", "torch.float64").replace("Float", "torch.float32")
    assert str(error) == text


@pytest.mark.parametrize("value", [[0.0], None, 1.0, "x", ((0.0,),), np.float32(1)])
def test_row_1_input_that_is_no_array(value):
    """torch's AttributeError is a TypeError here, or for NumPy's scalars row 2."""
    net = make()
    error = failure(net, value)
    assert isinstance(error, crnn.ShapeError if hasattr(value, "shape") else TypeError)
    if value is not None:
        error = failure(net, draw(T, B, I), value)
        assert isinstance(error, (TypeError, crnn.ShapeError))


@pytest.mark.parametrize("ndim", [0, 1, 4, 5])
def test_row_2_rank_of_input(torch, ndim):
    x = np.zeros((I,) * ndim, np.float32)
    text = "RNN: Expected input to be 2D or 3D, got {}D {} instead"
    error = failure(make(), x)
    assert isinstance(error, crnn.ShapeError)
    assert str(error) == text.format(ndim, "array")
    for net in make(), torch.nn.RNN(I, H, 2):
        error = failure(net, torch.from_numpy(x))
        assert isinstance(error, ValueError)
        assert str(error) == text.format(ndim, "tensor")


@pytest.mark.parametrize("ndim", [0, 1, 4])
@batched_or_not
def test_rows_3_and_4_rank_of_hx(torch, ndim, batched):
    x = np.zeros((T, B, I) if batched else (T, I), np.float32)
    hx = np.zeros((2,) * ndim, np.float32)
    rank = ("batched 3-D", 3) if batched else ("unbatched 2-D", 2)
    text = f"For {rank[0]} input, hx should also be {rank[1]}-D but got {ndim}-D "
    assert str(failure(make(), x, hx)) == text + "array"
    oracle = failure(torch.nn.RNN(I, H, 2), *map(torch.from_numpy, (x, hx)))
    assert type(oracle) is RuntimeError and str(oracle) == text + "tensor"


@pytest.mark.parametrize("shape", [(2, 1, H), (2, B + 1, H), (1, B, H), (4, B, H)])
def test_row_9_is_never_broadcast(torch, shape):
    x, hx = draw(T, B, I), draw(*shape)
    text = f"Expected hidden size {(2, B, H)}, got {list(shape)}"
    for net, *tensors in (
        (make(), x, hx),
        (torch.nn.RNN(I, H, 2), torch.from_numpy(x), torch.from_numpy(hx)),
    ):
        error = failure(net, *tensors)
        assert isinstance(error, RuntimeError) and str(error) == text
    net = make()
    expanded = np.broadcast_to(draw(2, 1, H), (2, B, H))
    assert same_bits(net(x, expanded)[0], net(x, expanded.copy())[0])


def test_row_9_shows_the_inserted_axis_of_unbatched_input():
    net = crnn.RNN(I, 5)
    error = failure(net, draw(T, I), draw(2, 5))
    assert str(error) == "Expected hidden size (1, 1, 5), got [2, 1, 5]"


@pytest.mark.parametrize("batch_first", [False, True], ids=["TBI", "BTI"])
@pytest.mark.parametrize("rows", [None, 0, 1, B], ids=lambda rows: f"B{rows}")
def test_row_11_no_steps(torch, rows, batch_first):
    batch = () if rows is None else (rows,)
    x = np.zeros((*batch, 0, I) if batch_first else (0, *batch, I), np.float32)
    text = "Expected sequence length to be larger than 0 in RNN"
    for error in (
        failure(crnn.RNN(I, H, batch_first=batch_first), x),
        failure(torch.nn.RNN(I, H, batch_first=batch_first), torch.from_numpy(x)),
    ):
        assert isinstance(error, RuntimeError) and str(error) == text


def test_mode_is_checked_after_nothing_else_went_wrong():
    net = make()
    net.mode = "X"
    assert isinstance(failure(net, draw(T, B, I)), AssertionError)
    net.mode = "RNN_TANH"
    assert net(draw(T, B, I))[0].shape == (T, B, H)
