"""The contract's sections 1.2 to 1.4: attributes, parameters and repr."""

import itertools

import numpy as np
import pytest
from faults import same_bits
from reference import assert_close, reference_of
from shapes import draw

import crnn

I, H = 3, 4  # noqa: E741
CHOICES = {
    "num_layers": (2, 3),
    "nonlinearity": ("tanh", "relu"),
    "bias": (True, False),
    "batch_first": (False, True),
    "dropout": (0.0, 0.5, 1),
    "bidirectional": (False, True),
}
OPTIONS = [
    dict(zip(CHOICES, values, strict=True))
    for values in itertools.product(*CHOICES.values())
]
OPTIONS += [{**options, "num_layers": 1, "dropout": 0} for options in OPTIONS[::6]]
ATTRIBUTES = (
    *("mode", "nonlinearity", "input_size", "hidden_size", "num_layers", "bias"),
    *("batch_first", "dropout", "bidirectional", "proj_size", "training"),
)


def test_attributes_are_those_of_torch(torch):
    for options in OPTIONS:
        rnn, oracle = crnn.RNN(I, H, **options), torch.nn.RNN(I, H, **options)
        for name in ATTRIBUTES:
            value, expected = getattr(rnn, name), getattr(oracle, name)
            assert value == expected and type(value) is type(expected), name


def test_parameters_are_those_of_torch(torch):
    for options in OPTIONS:
        rnn, oracle = crnn.RNN(I, H, **options), torch.nn.RNN(I, H, **options)
        shapes = {n: a.shape for n, a in rnn.named_parameters()}
        expected = {n: tuple(p.shape) for n, p in oracle.named_parameters()}
        assert list(shapes.items()) == list(expected.items())
        assert list(rnn.state_dict()) == list(oracle.state_dict())
        assert rnn._flat_weights_names == oracle._flat_weights_names
        assert rnn._all_weights == oracle._all_weights


def test_repr_is_that_of_torch(torch):
    for options in OPTIONS:
        rnn, oracle = crnn.RNN(I, H, **options), torch.nn.RNN(I, H, **options)
        assert repr(rnn) == repr(oracle) == f"RNN({rnn.extra_repr()})"


def test_repr():
    assert repr(crnn.RNN(3, 4)) == repr(crnn.RNN(3, 4, 1, "relu")) == "RNN(3, 4)"
    text = "3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.5"
    text += ", bidirectional=True"
    rnn = crnn.RNN(3, 4, 2, "tanh", False, True, 0.5, True)
    assert repr(rnn) == f"RNN({text})" and rnn.extra_repr() == text
    assert "dropout=1.0" in repr(crnn.RNN(3, 4, 2, dropout=1))
    mine = type("Mine", (crnn.RNN,), {})
    assert repr(mine(3, 4)) == "Mine(3, 4)"


def test_parameters_of_a_known_network():
    rnn = crnn.RNN(10, 20, 2, bidirectional=True)
    assert sum(p.size for p in rnn.parameters()) == 3760
    kinds = "weight_ih", "weight_hh", "bias_ih", "bias_hh"
    ends = "_l0", "_l0_reverse", "_l1", "_l1_reverse"
    names = [kind + end for end in ends for kind in kinds]
    assert [name for name, _ in rnn.named_parameters()] == names
    assert rnn.weight_ih_l0.shape == rnn.weight_ih_l0_reverse.shape == (20, 10)
    assert rnn.weight_ih_l1.shape == (20, 40) and rnn.bias_hh_l1.shape == (20,)
    assert [[id(p) for p in group] for group in rnn.all_weights] == [
        [id(getattr(rnn, kind + end)) for kind in kinds] for end in ends
    ]
    assert [id(p) for p in rnn._flat_weights] == [id(p) for p in rnn.parameters()]


def test_without_bias_the_names_do_not_exist():
    rnn = crnn.RNN(I, H, 2, bias=False)
    assert len(rnn.state_dict()) == 4
    for name in "bias_ih_l0", "bias_hh_l1":
        assert not hasattr(rnn, name)
    x = draw(5, 2, I)
    for result, right in zip(rnn(x), reference_of(rnn, x), strict=True):
        assert_close(result, right)


def test_parameters_are_live_fortran_arrays():
    """Rule R2: memory is [I][H], the array never changes, edits are seen."""
    for rnn, name in (
        (crnn.RNN(I, H), "weight_ih_l0"),
        (crnn.RNNCell(I, H), "weight_ih"),
    ):
        weight = getattr(rnn, name)
        assert weight is getattr(rnn, name) is dict(rnn.named_parameters())[name]
        assert weight.flags.f_contiguous and weight.flags.writeable
        assert weight.flags.aligned and type(weight) is np.ndarray
        with pytest.raises(ValueError):
            weight.resize((1, 1), refcheck=False)
        setattr(rnn, name, weight + 1)
        assert getattr(rnn, name) is weight


def output(rnn, x=None):
    return rnn(draw(5, 2, I) if x is None else x)[0]


def test_mode_is_live_and_nonlinearity_is_not():
    rnn = crnn.RNN(I, H)
    tanh = output(rnn)
    rnn.nonlinearity = "relu"
    assert same_bits(output(rnn), tanh)
    rnn.mode = "RNN_RELU"
    relu = output(rnn)
    assert (relu >= 0).all() and not same_bits(relu, tanh)
    rnn.mode = "X"
    text = "mode must be RNN_TANH or RNN_RELU, got X"
    with pytest.raises(AssertionError, match=f"^{text}$"):
        output(rnn)
    rnn.mode = "RNN_TANH"
    assert same_bits(output(rnn), tanh)


def test_batch_first_is_live():
    rnn, x = crnn.RNN(I, H), draw(5, 2, I)
    y = output(rnn, x)
    rnn.batch_first = True
    assert same_bits(output(rnn, x.swapaxes(0, 1)), y.swapaxes(0, 1))
    assert repr(rnn) == "RNN(3, 4, batch_first=True)"


def test_dropout_and_training_are_live():
    rnn = crnn.RNN(I, H, 2)
    whole = output(rnn)
    for value in 0.5, 1:
        rnn.dropout = value
        assert not same_bits(output(rnn), whole)
        rnn.training = False
        assert same_bits(output(rnn), whole)
        rnn.training = True
    rnn.dropout = 0
    assert same_bits(output(rnn), whole)


def test_dropout_out_of_range_fails_at_the_call():
    rnn, x = crnn.RNN(I, H, 2), draw(5, 2, I)
    whole = output(rnn.eval(), x)
    rnn.train().dropout = 2.0
    text = "dropout probability has to be between 0 and 1, but got 2"
    with pytest.raises(RuntimeError, match=f"^{text}$"):
        rnn(x)
    rnn.dropout = "0.5"
    with pytest.raises(TypeError):
        rnn(x)
    assert same_bits(output(rnn.eval(), x), whole)


@pytest.mark.parametrize(
    "name",
    ["input_size", "hidden_size", "num_layers", "bias", "bidirectional", "proj_size"],
)
def test_sizes_are_read_only(name):
    """torch raises RuntimeError at the next call; here the assignment does."""
    rnn = crnn.RNN(I, H)
    before, y = getattr(rnn, name), output(rnn)
    for kind in AttributeError, RuntimeError:
        with pytest.raises(kind, match=name):
            setattr(rnn, name, 2)
    assert getattr(rnn, name) == before and same_bits(output(rnn), y)


def test_live_attributes_raise_what_torch_raises(torch):
    def module(kind):
        return kind(I, H, 2)

    changes = {"mode": "X", "dropout": 2.0}
    for name, value in changes.items():
        rnn, oracle = module(crnn.RNN), module(torch.nn.RNN)
        setattr(rnn, name, value)
        setattr(oracle, name, value)
        with pytest.raises((AssertionError, RuntimeError)) as right:
            oracle(torch.zeros(5, 2, I))
        with pytest.raises(right.type) as caught:
            rnn(draw(5, 2, I))
        assert str(caught.value) == str(right.value)
