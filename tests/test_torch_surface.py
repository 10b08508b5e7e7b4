"""crnn.torch's modules as modules: everything that is inherited works."""

import copy
import doctest
import io
import pickle
import subprocess
import sys
import warnings

import pytest
from twins import assert_same_gradients, counted, every_cell, loss_of, twins

I, H, T, B = 3, 4, 5, 2  # noqa: E741


def agree(torch, plain, ours, x=None, core=True):
    """Both give the same results and gradients, ours out of the core."""
    x = torch.randn(T, B, I) if x is None else x
    for net in plain, ours:
        net.zero_grad()
    with counted() as made:
        found = ours(x)
        loss_of(found).backward()
    assert bool(made) == core
    right = plain(x)
    loss_of(right).backward()
    for a, b in zip(found, right, strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    assert_same_gradients(ours.parameters(), plain.parameters())


def test_it_is_torchs_module(torch):
    import crnn.torch

    for kind in "RNN", "RNNCell":
        torch.manual_seed(0)
        plain = getattr(torch.nn, kind)(I, H)
        torch.manual_seed(0)
        ours = getattr(crnn.torch, kind)(I, H)
        assert isinstance(ours, getattr(torch.nn, kind))
        assert repr(ours) == repr(plain)
        assert str(ours.state_dict()) == str(plain.state_dict())
        assert type(ours).__module__ == "crnn.torch"
        assert type(ours).__name__ == kind
    for parameter in ours.parameters():
        assert parameter.is_contiguous() and type(parameter) is torch.nn.Parameter


def test_tied_parameters(torch):
    plain, ours = twins(I, I, 2, bidirectional=True)
    for net in plain, ours:
        net.bias_ih_l0_reverse = net.bias_ih_l0
        net.weight_hh_l1 = net.weight_hh_l0
        net.bias_hh_l1 = net.bias_ih_l1
    assert len(list(ours.parameters())) == 13
    agree(torch, plain, ours)
    x = torch.randn(1, B, I)
    plain, ours = twins(I, I)
    for net in plain, ours:  # the input is a state, too
        net.zero_grad()
        h = x.clone().requires_grad_()
        output, h_n = net(h, h)
        (d_h,) = torch.autograd.grad(loss_of((output, h_n)), h, create_graph=True)
        d_h.square().sum().backward()
    assert_same_gradients(ours.parameters(), plain.parameters())


@pytest.mark.filterwarnings("ignore::FutureWarning")  # the old weight_norm
def test_weights_that_are_computed(torch):
    from torch.nn.utils import parametrizations, prune, weight_norm

    for wrap in (
        lambda net: weight_norm(net, "weight_hh_l0"),
        lambda net: prune.l1_unstructured(net, "weight_ih_l0", amount=0.5),
        lambda net: parametrizations.weight_norm(net, "weight_hh_l0"),
        lambda net: parametrizations.orthogonal(net, "weight_hh_l0"),
    ):
        plain, ours = twins(I, H)
        torch.manual_seed(0)
        wrap(plain)
        torch.manual_seed(0)
        wrap(ours)
        ours.load_state_dict(plain.state_dict())
        for _ in range(2):
            agree(torch, plain, ours)
            for net in plain, ours:
                with torch.no_grad():
                    for parameter in net.parameters():
                        parameter.mul_(0.75)
    prune.remove(*(prune.l1_unstructured(ours, "weight_ih_l0", 0.5), "weight_ih_l0"))
    assert ours(torch.randn(T, B, I))[0].shape == (T, B, H)


@every_cell()
def test_removed_weight_norm_and_cells(torch):
    from torch.nn.utils import parametrizations, parametrize, prune

    plain, ours = twins(I, H, kind="RNNCell")
    x = torch.randn(100, I)
    for net in plain, ours:
        parametrizations.weight_norm(net, "weight_hh")
    right, found = plain(x), None
    with counted() as made:
        found = ours(x)
    assert len(made) == 1 and torch.allclose(found, right, atol=1e-6)
    for net in plain, ours:
        parametrize.remove_parametrizations(net, "weight_hh")
        prune.l1_unstructured(net, "weight_ih", amount=0.5)
    assert torch.allclose(ours(x), plain(x), atol=1e-6)
    assert len(made) == 1


def test_assigned_parameters(torch):
    plain, ours = twins(I, H)
    for net in plain, ours:
        net.weight_hh_l0 = torch.nn.Parameter(torch.eye(H))
    agree(torch, plain, ours)
    for net in plain, ours:
        state = {n: torch.ones_like(p) / 8 for n, p in net.state_dict().items()}
        net.load_state_dict(state, assign=True)
    agree(torch, plain, ours)
    plain, ours = twins(I, H)
    for net in plain, ours:
        del net.bias_hh_l0  # the old tensor stays in use
        net.extra = torch.nn.Parameter(torch.ones(1))
    x = torch.randn(T, B, I)
    assert torch.allclose(ours(x)[0], plain(x)[0], atol=1e-6)


def test_hooks(torch):
    _, ours = twins(I, H)
    seen = []
    ours.register_forward_pre_hook(lambda m, args: seen.append(len(args)))
    ours.register_forward_hook(lambda m, args, out: seen.append(type(out)))
    ours.register_full_backward_hook(lambda m, d_in, d_out: seen.append(d_out))
    x = torch.randn(T, B, I, requires_grad=True)
    ours(x)[0].sum().backward()
    assert seen[:2] == [1, tuple]
    assert seen[2][0].shape == (T, B, H) and seen[2][1] is None


def test_copies(torch):
    _, ours = twins(I, H, 2, bidirectional=True)
    x = torch.randn(T, B, I)
    right = ours(x)[0]
    file = io.BytesIO()
    torch.save(ours, file)
    copies = [
        copy.deepcopy(ours),
        copy.copy(ours),
        pickle.loads(pickle.dumps(ours)),
        torch.load(io.BytesIO(file.getvalue()), weights_only=False),
    ]
    for net in copies:
        assert type(net) is type(ours)
        assert torch.equal(net(x)[0], right)
        assert net._flat_weights[0] is net.weight_ih_l0
    with torch.no_grad():
        copies[0].weight_hh_l0.zero_()
    assert torch.equal(ours(x)[0], right)
    assert not torch.equal(copies[0](x)[0], right)


def test_a_pickle_is_read_in_a_new_process(torch, tmp_path):
    _, ours = twins(I, H)
    torch.save(ours, tmp_path / "net.pt")
    code = (
        "import sys, torch; net = torch.load(sys.argv[1], weights_only=False);"
        "print(type(net), net(torch.zeros(2, 1, 3))[0].shape)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "net.pt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("<class 'crnn.torch.RNN'>"), done.stderr


def test_conversions_and_shared_memory(torch):
    plain, ours = twins(I, H)
    for net in plain, ours:
        assert net.double() is net
    agree(torch, plain, ours, torch.randn(T, B, I).double())
    for net in plain, ours:
        net.to(torch.float32).share_memory().to(memory_format=torch.channels_last)
    agree(torch, plain, ours)
    for net in plain, ours:
        net.half()
    x = torch.randn(T, B, I).half()
    assert torch.equal(ours(x)[0], plain(x)[0])
    for net in plain, ours:
        net.float()
        for parameter in net.parameters():
            parameter.requires_grad_(True)
    agree(torch, plain, ours)


def test_data_parallel_training_state(torch):
    """What optimizers and schedulers keep refers to the same parameters throughout."""
    _, ours = twins(I, H)
    optimizer = torch.optim.Adam(ours.parameters())
    parameters = list(ours.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(ours(torch.randn(T, B, I))).backward()
        optimizer.step()
    assert all(a is b for a, b in zip(parameters, ours.parameters(), strict=True))
    assert ours.flatten_parameters() is None


def test_convert(torch):
    import crnn.torch

    class Mine(torch.nn.RNN):
        def forward(self, input, hx=None):
            return super().forward(2 * input, hx)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(I, H)
            self.more = torch.nn.ModuleList([torch.nn.RNNCell(I, H), Mine(I, H)])
            self.lstm = torch.nn.LSTM(I, H)
            self.normed = torch.nn.utils.parametrizations.weight_norm(
                torch.nn.RNN(I, H), "weight_hh_l0"
            )

        def forward(self, x):
            return self.rnn(x)[0] + self.normed(x)[0]

    model = Model()
    x = torch.randn(T, B, I)
    right, parameters = model(x), list(model.parameters())
    assert crnn.torch.convert(model) is model
    assert crnn.torch.convert(model) is model
    assert type(model.rnn) is crnn.torch.RNN
    assert type(model.more[0]) is crnn.torch.RNNCell
    assert type(model.more[1]) is Mine and type(model.lstm) is torch.nn.LSTM
    assert isinstance(model.normed, crnn.torch.RNN)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    with counted() as made:
        found = model(x)
    assert len(made) == 2 and torch.allclose(found, right, atol=1e-6)
    assert type(crnn.torch.convert(torch.nn.RNN(I, H))) is crnn.torch.RNN


def test_no_side_effects_of_importing(torch):
    code = (
        "import crnn, sys; assert 'torch' not in sys.modules;"
        "import torch; forward = torch.nn.RNN.forward;"
        "import crnn.torch; assert torch.nn.RNN.forward is forward;"
        "print(crnn.torch.RNN.__mro__[1])"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "<class 'torch.nn.modules.rnn.RNN'>\n", done.stderr


def test_without_torch():
    code = """
import sys
sys.modules["torch"] = None
import crnn
for way in lambda: crnn.torch, lambda: __import__("crnn.torch"):
    try:
        way()
    except ImportError as error:
        assert "pip install crnn[torch]" in str(error), error
        assert error.name == "torch"
    else:
        raise AssertionError
print(hasattr(crnn, "nonsense"))
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr


def test_numpy_networks_point_here(torch):
    import crnn

    with pytest.raises(RuntimeError, match=r"crnn\.torch\.RNN"):
        crnn.RNN(I, H)(torch.zeros(T, B, I, requires_grad=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert isinstance(crnn.torch.RNN(I, H), torch.nn.RNN)


def test_examples(torch):
    import crnn.torch
    from crnn.torch import patching

    for module in crnn.torch, patching:
        assert doctest.testmod(module, extraglobs={"crnn": crnn}).failed == 0
    found = doctest.DocTestFinder().find(crnn.torch.convert, globs=vars(crnn.torch))
    assert doctest.DocTestRunner().run(found[0]).failed == 0
