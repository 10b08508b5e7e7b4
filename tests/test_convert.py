"""from_state_dict, from_torch and to_torch: networks from and to elsewhere."""

import sys

import checkpoints
import numpy as np
import pytest
from faults import DTYPES, check_right, check_usable, network, run_python, same_bits
from shapes import draw

import crnn

OPTIONS = (
    {},
    {"bias": False},
    {"nonlinearity": "relu", "batch_first": True},
    {"num_layers": 3, "dropout": 0.25},
    {"bidirectional": True},
    {"num_layers": 2, "bidirectional": True, "bias": False, "nonlinearity": "relu"},
    {"num_layers": 12},
)
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def told(options):
    """What a state dict cannot tell."""
    names = "nonlinearity", "batch_first", "dropout"
    return {name: options[name] for name in names if name in options}


def check_twin(net, twin):
    """Two networks of crnn are equal in options, dtype and bits, and share nothing."""
    assert type(twin) is type(net) and repr(twin) == repr(net)
    assert getattr(twin, "mode", None) == getattr(net, "mode", None)
    assert list(twin.state_dict()) == list(net.state_dict())
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert same_bits(a, b) and not np.shares_memory(a, b)
        assert a.flags.f_contiguous == b.flags.f_contiguous
    check_usable(twin.eval())


@each_dtype
@each_option
def test_a_state_dict_tells_all_but_the_options(options, dtype):
    net = network(dtype, **options)
    twin = crnn.RNN.from_state_dict(net.state_dict(), **told(options))
    assert twin.training
    check_twin(net, twin)
    prefixed = {f"encoder.rnn.{n}": a for n, a in net.state_dict().items()}
    prefixed |= {"encoder.bias": np.zeros(3), "head.weight_ih_l0": np.zeros((1, 1))}
    twin = crnn.RNN.from_state_dict(prefixed, "encoder.rnn.", **told(options))
    check_twin(net, twin)


@each_dtype
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"nonlinearity": "relu"}])
def test_cells(options, dtype):
    cell = crnn.RNNCell(3, 5, dtype=dtype, **options)
    nonlinearity = options.get("nonlinearity", "tanh")
    twin = crnn.RNNCell.from_state_dict(cell.state_dict(), nonlinearity=nonlinearity)
    check_twin(cell, twin)
    prefixed = {f"a.{name}": array for name, array in cell.state_dict().items()}
    twin = crnn.RNNCell.from_state_dict(prefixed, "a.", nonlinearity=nonlinearity)
    check_twin(cell, twin)


def test_nothing_is_drawn():
    state = network().state_dict()
    crnn.manual_seed(5)
    first = crnn.RNN(2, 3).weight_hh_l0.tobytes()
    crnn.manual_seed(5)
    crnn.RNN.from_state_dict(state)
    assert crnn.RNN(2, 3).weight_hh_l0.tobytes() == first


def test_subclasses():
    class Mine(crnn.RNN):
        pass

    assert type(Mine.from_state_dict(network().state_dict())) is Mine


def test_one_line_from_a_file(tmp_path):
    net = network(bidirectional=True)
    arrays = {f"encoder.rnn.{n}": a for n, a in net.state_dict().items()}
    arrays["head.weight"] = np.zeros((2, 10), "f4")
    path = checkpoints.write_arrays(tmp_path / "model.pt", arrays)
    twin = crnn.RNN.from_state_dict(crnn.load(path), prefix="encoder.rnn.")
    check_twin(net, twin)


def refused(error, text, kind, *arguments, **options):
    with pytest.raises(error) as caught:
        kind.from_state_dict(*arguments, **options)
    assert text in str(caught.value), caught.value


def test_errors_say_where_a_network_is():
    state = {f"a.rnn.{n}": w for n, w in network().state_dict().items()}
    refused(crnn.ShapeError, "prefix='a.rnn.'", crnn.RNN, state)
    refused(crnn.ShapeError, "prefix='a.rnn.'", crnn.RNN, state, "a.rnn")
    nested = {"epoch": 1, "model_state_dict": state}
    text = "state_dict['model_state_dict'], prefix='a.rnn.'"
    refused(crnn.ShapeError, text, crnn.RNN, nested)
    refused(crnn.ShapeError, "No other", crnn.RNN, {"fc.weight": np.zeros((2, 2))})
    refused(crnn.ShapeError, "No other", crnn.RNN, {})
    refused(crnn.ShapeError, "weight_ih", crnn.RNNCell, network().state_dict())
    many = {f"{i}.weight_ih_l0": 0 for i in range(100)}
    refused(crnn.ShapeError, "prefix='4.', ...", crnn.RNN, many)


def test_errors_name_gated_networks(torch):
    for kind, word in (torch.nn.LSTM, "an LSTM's"), (torch.nn.GRU, "a GRU's"):
        refused(crnn.ShapeError, word, crnn.RNN, kind(3, 5).state_dict())
    state = torch.nn.LSTMCell(3, 5).state_dict()
    refused(crnn.ShapeError, "an LSTM's", crnn.RNNCell, state)
    state = torch.nn.LSTM(3, 5, proj_size=2).state_dict()
    refused(crnn.ShapeError, "weight_hr_l0", crnn.RNN, state)


def test_errors_of_the_other_arguments():
    state = network().state_dict()
    for what in None, 3, "state", [1]:
        refused(TypeError, "dict-like", crnn.RNN, what)
    refused(ValueError, "nonlinearity", crnn.RNN, state, nonlinearity="sigmoid")
    refused(ValueError, "dropout", crnn.RNN, state, dropout=2.0)
    refused(TypeError, "batch_first", crnn.RNN, state, batch_first=1)
    refused(TypeError, "num_layers", crnn.RNN, state, num_layers=1)
    flat = state | {"weight_ih_l0": np.zeros(5, "f4")}
    refused(crnn.ShapeError, "(H, I)", crnn.RNN, flat)
    refused(crnn.ShapeError, "Unexpected", crnn.RNN, state | {7: np.zeros(1)})
    empty = {n: a[..., :0] for n, a in state.items() if n.startswith("weight_ih")}
    refused(ValueError, "", crnn.RNN, empty)


@each_dtype
@each_option
def test_from_torch_and_back(torch, options, dtype):
    module = torch.nn.RNN(3, 5, dtype=getattr(torch, dtype), **options).eval()
    net = crnn.RNN.from_torch(module)
    assert not net.training
    for name, parameter in module.named_parameters():
        assert same_bits(getattr(net, name), parameter.detach().numpy())
    check_right(net, draw(4, 4, 3, dtype=dtype))
    check_twin(
        net, crnn.RNN.from_state_dict(module.state_dict(), **told(options)).eval()
    )
    back = net.to_torch()
    assert type(back) is torch.nn.RNN and repr(back) == repr(module)
    assert not back.training and back.mode == module.mode
    x = torch.from_numpy(draw(4, 4, 3, dtype=dtype))
    with torch.no_grad():
        for a, b in zip(back(x), module(x), strict=True):
            assert torch.equal(a, b)


@each_dtype
def test_cells_from_torch_and_back(torch, dtype):
    for options in {}, {"bias": False}, {"nonlinearity": "relu"}:
        module = torch.nn.RNNCell(3, 5, dtype=getattr(torch, dtype), **options)
        cell = crnn.RNNCell.from_torch(module)
        assert cell.training and cell.nonlinearity == module.nonlinearity
        check_right(cell, draw(4, 3, dtype=dtype))
        back = cell.to_torch()
        assert repr(back) == repr(module) and type(back) is torch.nn.RNNCell
        for a, b in zip(back.parameters(), module.parameters(), strict=True):
            assert torch.equal(a, b) and b.requires_grad


def test_nothing_is_drawn_from_torch(torch):
    before = torch.get_rng_state()
    network(num_layers=2).to_torch()
    assert torch.equal(torch.get_rng_state(), before)


def test_to_torch_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match=r"to_torch needs torch: pip install"):
        network().to_torch()


def test_the_module_of_to_torch_trains(torch):
    net = network()
    module = net.to_torch()
    assert all(p.requires_grad and p.is_leaf for p in module.parameters())
    before = net.weight_hh_l0.copy()
    module(torch.ones(4, 2, 3))[0].sum().backward()
    with torch.no_grad():
        module.weight_hh_l0 -= module.weight_hh_l0.grad
    assert np.array_equal(net.weight_hh_l0, before)


def test_live_attributes_go_to_torch(torch):
    net = network(num_layers=2).eval()
    net.mode, net.batch_first, net.dropout = "RNN_RELU", True, 0.5
    back = net.to_torch()
    assert (back.mode, back.batch_first, back.dropout) == ("RNN_RELU", True, 0.5)


@pytest.mark.parametrize("name", ["half", "bfloat16"])
def test_half_precision_becomes_float32(torch, name):
    module = getattr(torch.nn.RNN(3, 5), name)()
    net = crnn.RNN.from_torch(module)
    for key, parameter in module.named_parameters():
        assert same_bits(getattr(net, key), parameter.detach().float().numpy())


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weights_that_are_computed(torch):
    module = torch.nn.RNN(3, 5)
    torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    with torch.no_grad():
        module.parametrizations.weight_hh_l0.original0 *= 2
    net = crnn.RNN.from_torch(module)
    assert same_bits(net.weight_hh_l0, module.weight_hh_l0.detach().numpy())
    check_usable(net)


def test_derived_torch_classes(torch):
    class Mine(torch.nn.RNN):
        pass

    check_usable(crnn.RNN.from_torch(Mine(3, 5)))


def test_what_from_torch_refuses(torch):
    modules = torch.nn.LSTM(3, 5), torch.nn.GRU(3, 5), torch.nn.Linear(3, 5), None, {}
    for module in (*modules, torch.nn.RNNCell(3, 5), torch.nn.RNN, network()):
        with pytest.raises(TypeError, match=r"torch\.nn\.RNN, not"):
            crnn.RNN.from_torch(module)
    with pytest.raises(TypeError, match=r"torch\.nn\.RNNCell, not RNN"):
        crnn.RNNCell.from_torch(torch.nn.RNN(3, 5))


def test_torch_is_imported_by_to_torch_alone(monkeypatch):
    code = """
import sys, crnn
net = crnn.RNN(2, 3)
crnn.RNN.from_state_dict(net.state_dict())
try:
    crnn.RNN.from_torch(net)
except TypeError as error:
    assert "torch.nn.RNN" in str(error)
assert "torch" not in sys.modules
"""
    run_python(code)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError):
        network().to_torch()


def test_raw_objects():
    with pytest.raises(RuntimeError, match="not called"):
        crnn.RNN.__new__(crnn.RNN).to_torch()
