"""The contract's section 1: the constructor, attributes, parameters and repr."""

import itertools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import crnn

I, H = 3, 4  # noqa: E741
ZEROED = (
    "dropout should be a number in range [0, 1] representing the probability of an "
    "element being zeroed"
)
NO_INTEGER = "'float' object cannot be interpreted as an integer"
ONLY_LSTM = "proj_size argument is only supported for LSTM, not RNN or GRU"
ONLY_FLOATS = "Only Tensors of floating point and complex dtype can require gradients"


def unknown(nonlinearity):
    text = f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
    return {"nonlinearity": nonlinearity}, ValueError, text


def wrong_type(name, kind, value):
    text = f"{name} should be of type {kind}, got: {type(value).__name__}"
    return {name: value}, TypeError, text


def too_small(name, value):
    return {name: value}, ValueError, f"{name} must be greater than zero"


# Row of 1.1: arguments, the type that torch raises, its message (None: Python's own).
ROWS = [
    (1, {"proj_size": 0}, ValueError, ONLY_LSTM),
    (1, {"proj_size": 2}, ValueError, ONLY_LSTM),
    *((2, *unknown(value)) for value in ("TANH", None, b"tanh", True, "", 1)),
    (3, {"extra": 1}, TypeError, None),
    (3, {"mode": "RNN_TANH"}, TypeError, None),
    (4, {"dropout": "abc"}, ValueError, None),
    *((4, {"dropout": value}, TypeError, None) for value in (None, 1j, [0.5])),
    *(
        (5, {"dropout": value}, ValueError, ZEROED)
        for value in (True, False, "0.5", -0.1, 1.1, float("inf"), float("nan"))
    ),
    *((7, *wrong_type("bias", "bool", value)) for value in (0, 1, None, np.True_)),
    *((8, *wrong_type("batch_first", "bool", v)) for v in (0, 1, None, np.True_)),
    *((9, *wrong_type("input_size", "int", v)) for v in (3.0, "10", None, np.int64(3))),
    *((10, *too_small("input_size", value)) for value in (0, -1, False)),
    *((11, *wrong_type("hidden_size", "int", v)) for v in (4.0, "4", None)),
    *((12, *too_small("hidden_size", value)) for value in (0, -1, False)),
    *((13, {"num_layers": value}, TypeError, None) for value in ("2", None, 1j)),
    *((14, *too_small("num_layers", value)) for value in (0, -1, -1.0)),
    (15, {"num_layers": 2.0}, TypeError, NO_INTEGER),
    (15, {"num_layers": 0.5}, TypeError, NO_INTEGER),
    (16, {"hidden_size": True}, TypeError, None),
    *((18, {"dtype": v}, RuntimeError, ONLY_FLOATS) for v in ("int64", "bool", "i1")),
    (19, {"device": "bogus"}, RuntimeError, None),
]
rows = pytest.mark.parametrize(
    ("row", "arguments", "kind", "text"),
    ROWS,
    ids=[f"row {row} {arguments}" for row, arguments, *_ in ROWS],
)


def failure(make, arguments):
    """What is raised when one module is made."""
    with pytest.raises(Exception) as caught:
        make(**{"input_size": I, "hidden_size": H, **arguments})
    return caught.value


def for_torch(torch, arguments):
    """The same arguments, dtypes as torch's."""
    names = {"i1": "int8"}
    return {
        name: getattr(torch, names.get(value, value)) if name == "dtype" else value
        for name, value in arguments.items()
    }


@rows
def test_refused(row, arguments, kind, text):
    error = failure(crnn.RNN, arguments)
    assert isinstance(error, kind)
    assert text is None or str(error) == text


@rows
def test_torch_refuses(torch, row, arguments, kind, text):
    """The rows above say what torch does."""
    error = failure(torch.nn.RNN, for_torch(torch, arguments))
    assert type(error) is kind
    assert text is None or str(error) == text


# Rows 18 and 19 together: both are RuntimeErrors, and torch's parser sees 19 first.
PAIRS = [
    (first, second)
    for first, second in itertools.combinations(ROWS, 2)
    if first[0] < second[0] and not first[1].keys() & second[1].keys()
    if (first[0], second[0]) != (18, 19)
]


def test_first_failure_wins():
    for (row, arguments, kind, text), (other, more, *_) in PAIRS:
        error = failure(crnn.RNN, {**more, **arguments})
        assert isinstance(error, kind), (row, other, error)
        assert text is None or str(error) == text, (row, other)


def test_first_failure_wins_in_torch(torch):
    for (row, arguments, kind, text), (other, more, *_) in PAIRS:
        both = for_torch(torch, {**more, **arguments})
        error = failure(torch.nn.RNN, both)
        assert isinstance(error, kind), (row, other, error)
        assert text is None or str(error) == text, (row, other)


def dropout_warning(dropout, num_layers):
    return (
        "dropout option adds dropout after all but last recurrent layer, so non-zero "
        "dropout expects num_layers greater than 1, but got "
        f"dropout={dropout} and num_layers={num_layers}"
    )


@pytest.mark.parametrize(
    "dropout", [1, 0.5, 1.0, np.float32(0.25), Fraction(1, 3)], ids=str
)
def test_row_6_warns_with_dropout_as_given(dropout):
    with pytest.warns(UserWarning) as caught:
        rnn = crnn.RNN(I, H, dropout=dropout)
    assert [str(w.message) for w in caught] == [dropout_warning(dropout, 1)]
    assert caught[0].category is UserWarning
    assert caught[0].filename == __file__
    assert rnn.dropout == float(dropout)


def test_row_6_is_what_torch_says(torch):
    with pytest.warns(UserWarning) as caught:
        torch.nn.RNN(I, H, dropout=1)
    assert [str(w.message) for w in caught] == [dropout_warning(1, 1)]


@pytest.mark.parametrize("arguments", [r[1] for r in ROWS if 7 <= r[0] <= 18], ids=str)
def test_row_6_warns_before_rows_7_to_19(arguments):
    if "num_layers" not in arguments:
        with pytest.warns(UserWarning, match="dropout=0.5 and num_layers=1"):
            failure(crnn.RNN, {"dropout": 0.5, **arguments})


@pytest.mark.parametrize(
    "dropout",
    [0, 1, 0.5, np.float32(0.5), np.float64(0.5), np.int64(1), Decimal("0.5")],
    ids=repr,
)
def test_dropout_is_stored_as_float(dropout):
    rnn = crnn.RNN(I, H, 2, dropout=dropout)
    assert type(rnn.dropout) is float and rnn.dropout == float(dropout)


def test_positionals():
    rnn = crnn.RNN(3, 4, 2, "relu", False, True, 0.5, True)
    expected = {
        "input_size": 3,
        "hidden_size": 4,
        "num_layers": 2,
        "nonlinearity": "relu",
        "mode": "RNN_RELU",
        "bias": False,
        "batch_first": True,
        "dropout": 0.5,
        "bidirectional": True,
        "proj_size": 0,
        "training": True,
    }
    assert {name: getattr(rnn, name) for name in expected} == expected
    with pytest.raises(ValueError, match=r"^Unknown nonlinearity 'True'"):
        crnn.RNN(10, 20, 2, True)  # bias, as for LSTM and GRU


@pytest.mark.parametrize("ninth", ["cpu", None, 0, 2])
def test_device_and_dtype_are_keywords(ninth):
    with pytest.raises(TypeError):
        crnn.RNN(3, 4, 2, "relu", False, True, 0.5, True, ninth)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {}),
        ((3,), {}),
        ((), {"hidden_size": 4}),
        ((3, 4), {"input_size": 3}),
        ((3, 4, 1, "relu"), {"nonlinearity": "relu"}),
    ],
    ids=str,
)
def test_missing_and_repeated_arguments(torch, arguments, keywords):
    for kind in crnn.RNN, torch.nn.RNN:
        with pytest.raises(TypeError):
            kind(*arguments, **keywords)


def test_sizes_that_are_accepted():
    assert crnn.RNN(True, H).weight_ih_l0.shape == (H, 1)
    assert len(crnn.RNN(I, H, np.int64(2)).state_dict()) == 8
    rnn = crnn.RNN(I, H, True)
    with pytest.raises(TypeError):
        rnn(np.zeros((2, 1, I), np.float32))


@pytest.mark.parametrize("value", [0, 1, None, "yes"])
def test_bidirectional_is_truth_that_fails_at_the_call(value):
    rnn = crnn.RNN(I, H, bidirectional=value)
    assert ("weight_ih_l0_reverse" in rnn.state_dict()) == bool(value)
    with pytest.raises(TypeError):
        rnn(np.zeros((2, 1, I), np.float32))


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (None, "float32"),
        (np.float32, "float32"),
        ("float32", "float32"),
        (np.dtype(">f4"), "float32"),
        (np.float64, "float64"),
        ("float64", "float64"),
        (float, "float64"),
    ],
)
def test_dtypes(dtype, name):
    for rnn in crnn.RNN(I, H, dtype=dtype), crnn.RNNCell(I, H, dtype=dtype):
        assert all(p.dtype == name and p.dtype.isnative for p in rnn.parameters())


def test_dtypes_and_devices_of_torch(torch):
    for dtype, name in (torch.float32, "float32"), (torch.double, "float64"):
        rnn = crnn.RNN(I, H, device=torch.device("cpu"), dtype=dtype)
        assert rnn.weight_ih_l0.dtype == name
    for dtype in torch.float16, torch.bfloat16, torch.complex64, torch.int64:
        with pytest.raises(crnn.DTypeError):
            crnn.RNN(I, H, dtype=dtype)
    for device in torch.device("cuda"), torch.device("meta"), "cuda:0":
        with pytest.raises(RuntimeError):
            crnn.RNN(I, H, device=device)
    assert crnn.RNN(I, H, device="cpu").weight_ih_l0.shape == (H, I)
