"""The contract's section 5, as far as it applies to arrays."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from faults import same_bits
from shapes import draw

import crnn

I, H = 3, 4  # noqa: E741
OPTIONS = {
    "num_layers": 2,
    "nonlinearity": "relu",
    "batch_first": True,
    "dropout": 0.5,
    "bidirectional": True,
}


def make(seed=0, **options):
    crnn.manual_seed(seed)
    return crnn.RNN(I, H, **options)


def make_cell(seed=0, **options):
    crnn.manual_seed(seed)
    return crnn.RNNCell(I, H, **options)


def equal(results, expected):
    return all(map(same_bits, results, expected))


both_kinds = pytest.mark.parametrize("build", [make, make_cell], ids=["RNN", "RNNCell"])


@both_kinds
def test_state_dict(build):
    net = build()
    state = net.state_dict()
    assert isinstance(state, OrderedDict)
    assert list(state) == [name for name, _ in net.named_parameters()]
    for array, parameter in zip(state.values(), net.parameters(), strict=True):
        assert array is parameter  # shares memory, as torch's does
    assert list(net.state_dict(prefix="rnn.")) == [f"rnn.{name}" for name in state]
    assert [n for n, _ in net.named_parameters("rnn")] == [f"rnn.{n}" for n in state]


@both_kinds
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_load_state_dict_of_arrays(build, dtype):
    """Values of any strides, order and floating dtype are copied in place."""
    source, target = build(1), build(2)
    before = list(target.parameters())
    state = {name: a.astype(dtype) for name, a in source.state_dict().items()}
    state = {name: np.repeat(a, 2, 0)[::2] for name, a in reversed(state.items())}
    result = target.load_state_dict(state)
    assert repr(result) == "<All keys matched successfully>"
    assert result == ([], []) and result.missing_keys == result.unexpected_keys == []
    for parameter, old in zip(target.parameters(), before, strict=True):
        assert parameter is old
    for name, parameter in target.named_parameters():
        assert np.array_equal(parameter, state[name].astype(np.float32))
        assert not np.shares_memory(parameter, state[name])


def test_load_state_dict_between_crnn_and_torch(torch):
    for dtype in torch.float32, torch.float64, torch.float16, torch.bfloat16:
        oracle = torch.nn.RNN(I, H, dtype=dtype, **OPTIONS)
        net = make(**OPTIONS)
        assert "All keys matched" in repr(net.load_state_dict(oracle.state_dict()))
        for name, parameter in oracle.named_parameters():
            right = parameter.detach().float().numpy()
            assert np.array_equal(net.state_dict()[name], right)
            setattr(net, name, torch.zeros_like(parameter))
            assert not getattr(net, name).any()
            setattr(net, name, parameter)  # a Parameter that requires grad
            assert np.array_equal(getattr(net, name), right)
    state = {name: torch.from_numpy(a) for name, a in net.state_dict().items()}
    oracle.load_state_dict(state)


def test_load_state_dict_of_a_parent():
    """A prefix picks the network's names; others are left alone."""
    source, net = make(1), make(2)
    state = {"encoder.weight": np.zeros((2, 2)), **source.state_dict(prefix="rnn.")}
    result = net.load_state_dict(state, prefix="rnn.")
    assert repr(result) == "<All keys matched successfully>"
    assert equal(net.parameters(), source.parameters())
    del state["rnn.bias_hh_l0"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\).*"rnn.bias_hh_l0"'):
        net.load_state_dict(state, prefix="rnn.")


# What is done to a state, and the line that torch says.
PROBLEMS = {
    "missing": 'Missing key(s) in state_dict: "bias_hh_l0". ',
    "two missing": 'Missing key(s) in state_dict: "bias_ih_l0", "bias_hh_l0". ',
    "unexpected": 'Unexpected key(s) in state_dict: "foo". ',
    "shape": "size mismatch for weight_ih_l0: copying a param with shape {}([5, 5]) "
    "from checkpoint, the shape in current model is {}([4, 3]).",
    "bias shape": "size mismatch for bias_ih_l0: copying a param with shape {}([1]) "
    "from checkpoint, the shape in current model is {}([4]).",
}


def spoil(state, problems):
    state = dict(state)
    if "missing" in problems or "two missing" in problems:
        del state["bias_hh_l0"]
    if "two missing" in problems:
        del state["bias_ih_l0"]
    if "unexpected" in problems:
        state["foo"] = np.zeros(1, np.float32)
    if "shape" in problems:
        state["weight_ih_l0"] = np.zeros((5, 5), np.float32)
    if "bias shape" in problems:
        state["bias_ih_l0"] = np.zeros(1, np.float32)
    return state


@pytest.mark.parametrize(
    "problems",
    [*((name,) for name in PROBLEMS), ("missing", "unexpected", "shape", "bias shape")],
    ids=" + ".join,
)
def test_problems_are_all_listed_and_nothing_is_loaded(torch, problems):
    net, oracle = make(1), torch.nn.RNN(I, H)
    before = [p.tobytes() for p in net.parameters()]
    state = spoil(make(2).state_dict(), problems)
    lines = ["Error(s) in loading state_dict for RNN:"]
    lines += [PROBLEMS[name] for name in problems]
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert plain(str(caught.value)) == plain("\n\t".join(lines))
    assert [p.tobytes() for p in net.parameters()] == before
    with pytest.raises(RuntimeError) as right:
        oracle.load_state_dict({n: torch.from_numpy(a) for n, a in state.items()})
    expected = "\n\t".join(lines).format(*["torch.Size"] * 4)
    assert str(right.value) == expected


def plain(text):
    """Without the words that say what kind of thing a shape is."""
    for word in "torch.Size", "{}", "([", "])", "(", ")", ",":
        text = text.replace(word, "")
    return text


def test_strict_false_forgives_names_only():
    net, source = make(1), make(2)
    state = spoil(source.state_dict(), ("missing", "unexpected"))
    result = net.load_state_dict(state, strict=False)
    assert result == (["bias_hh_l0"], ["foo"])
    assert repr(result) == (
        "_IncompatibleKeys(missing_keys=['bias_hh_l0'], unexpected_keys=['foo'])"
    )
    assert same_bits(net.weight_ih_l0, source.weight_ih_l0)
    assert same_bits(net.bias_hh_l0, make(1).bias_hh_l0)
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict(spoil(state, ("shape",)), strict=False)


@pytest.mark.parametrize("state", [[], None, "x", 1], ids=repr)
def test_no_dict(state):
    text = f"Expected state_dict to be dict-like, got {type(state)}."
    with pytest.raises(TypeError) as caught:
        make().load_state_dict(state)
    assert str(caught.value) == text


@pytest.mark.parametrize("value", [np.zeros((H, I), int), [[0.0] * I] * H, None, 1.0])
def test_values_that_are_no_floats(value):
    net = make()
    before = [p.tobytes() for p in net.parameters()]
    with pytest.raises(RuntimeError, match="weight_ih_l0"):
        net.load_state_dict({**net.state_dict(), "weight_ih_l0": value})
    with pytest.raises((TypeError, ValueError)):
        net.weight_ih_l0 = value
    assert [p.tobytes() for p in net.parameters()] == before


@both_kinds
def test_assignment_and_deletion(build):
    net = build()
    for name, array in list(net.named_parameters()):
        values = draw(*array.shape, dtype="float64")
        setattr(net, name, values)
        assert getattr(net, name) is array
        assert np.array_equal(array, values.astype(np.float32))
        values[:] = 7  # copied, not kept
        assert not (array == 7).any()
        for shape in (1,), (7,), (H + 1, *array.shape[1:]), (*array.shape, 1):
            with pytest.raises(crnn.ShapeError, match=name):
                setattr(net, name, np.zeros(shape, np.float32))
        with pytest.raises(AttributeError):
            delattr(net, name)
        assert getattr(net, name) is array


@both_kinds
def test_methods_that_return_the_network(build):
    net = build()
    assert net.training
    assert net.eval() is net and not net.training
    assert net.train() is net and net.training
    assert net.train(False) is net and not net.training
    for mode in "x", 1, None:
        with pytest.raises(ValueError, match=r"^training mode is expected"):
            net.train(mode)
    assert net.to("cpu") is net and net.float() is net and net.double() is net
    assert net.reset_parameters() is None
    if isinstance(net, crnn.RNN):
        assert net.flatten_parameters() is None


@both_kinds
def test_conversion_of_the_dtype(build):
    net, x = build(), draw(5, I)
    before = [p.copy() for p in net.parameters()]
    for convert in (
        net.double,
        net.float,
        lambda: net.to(np.float64),
        lambda: net.to("float32"),
        lambda: net.to(dtype=np.float64),
        lambda: net.to("cpu", np.float32),
    ):
        convert()
        dtype = next(net.parameters()).dtype
        for parameter, old in zip(net.parameters(), before, strict=True):
            assert parameter.dtype == dtype and np.array_equal(parameter, old)
            assert parameter.flags.f_contiguous
        result = net(x.astype(dtype))
        assert (result[0] if isinstance(result, tuple) else result).dtype == dtype
    for wrong in np.int64, "float16", np.complex64, "bogus":
        with pytest.raises((TypeError, RuntimeError)):
            net.to(wrong)
    with pytest.raises(RuntimeError):
        net.to("cuda")
    assert equal(net.parameters(), before)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
}


@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies_share_nothing(way, dtype):
    net = make(dtype=dtype, **OPTIONS).eval()
    net.mode = "RNN_TANH"
    twin, x = COPIES[way](net), draw(2, 5, I, dtype=dtype)
    assert type(twin) is crnn.RNN and repr(twin) == repr(net)
    assert (twin.training, twin.mode, twin.dropout) == (False, "RNN_TANH", 0.5)
    assert equal(twin(x), net(x))
    twin.weight_ih_l0 += 1
    assert not same_bits(twin(x)[0], net(x)[0])
    single = make_cell(dtype=dtype, bias=False, nonlinearity="relu")
    assert same_bits(COPIES[way](single)(x[0]), single(x[0]))
    assert COPIES[way](single).bias_ih is None
