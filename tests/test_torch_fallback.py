"""What crnn.torch leaves to torch, to compute or to say why not in its own words."""

import io
import warnings

import pytest
from twins import assert_near, counted, plain_tensors, twins

I, H, T, B = 3, 4, 5, 2  # noqa: E741


def both(torch, call, **options):
    """call(net) for torch's module and ours, which must not go to the core."""
    plain, ours = twins(I, H, **options)
    right = call(plain)
    with counted() as made:
        found = call(ours)
    assert made == []
    return found, right


def assert_equal(found, right):
    for a, b in zip(plain_tensors(found), plain_tensors(right), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and type(a) is type(b)
        assert a.device == b.device
        assert a.is_meta or (a == b).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "complex128"])
def test_other_dtypes(torch, dtype):
    dtype = getattr(torch, dtype)
    x = torch.randn(T, B, I, dtype=dtype)
    assert_equal(*both(torch, lambda net: net(x), dtype=dtype))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_autocast(torch, dtype):
    x = torch.randn(T, B, I)

    def call(net):
        with torch.autocast("cpu", dtype=getattr(torch, dtype)):
            return net(x)

    found, right = both(torch, call)
    assert found[0].dtype == getattr(torch, dtype)
    assert_equal(found, right)
    _, ours = twins(I, H)
    output, _ = ours(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # backward is as forward was
        (d_x,) = torch.autograd.grad(output.sum(), ours.weight_hh_l0, create_graph=True)
    assert d_x.dtype is torch.float32


def test_meta_tensors_and_devices(torch):
    import crnn.torch

    x = torch.randn(T, B, I, device="meta")
    assert_equal(*both(torch, lambda net: net(x), device="meta"))
    with torch.device("meta"):
        assert crnn.torch.RNN(I, H).weight_hh_l0.is_meta
    _, ours = twins(I, H)
    x = torch.randn(T, B, I)
    with torch.device("cpu"), counted() as made:
        ours(x)
    with torch.device("meta"):
        assert torch.equal(ours(x)[0], ours(x)[0])
    assert len(made) == 1


def test_subclasses_of_tensor(torch):
    class Mine(torch.Tensor):
        pass

    x = torch.randn(T, B, I).as_subclass(Mine)
    found, right = both(torch, lambda net: net(x))
    assert type(found[0]) is Mine
    assert_equal(found, right)
    hx = torch.zeros(1, B, H).as_subclass(Mine)
    assert_equal(*both(torch, lambda net: net(torch.zeros(T, B, I), hx)))


def test_modes_see_operators(torch):
    from torch.utils.flop_counter import FlopCounterMode

    x = torch.randn(T, B, I)

    def call(net):
        with FlopCounterMode(display=False) as counter:
            net(x)[0].sum().backward()
        return torch.tensor(counter.get_total_flops())

    found, right = both(torch, call)
    assert found == right > 0


def function_of(torch, net, x):
    def call(parameters):
        return torch.func.functional_call(net, parameters, (x,))[0].sum()

    return call


def test_functional_call(torch):
    plain, ours = twins(I, H, 2)
    x = torch.randn(T, B, I)
    other = {n: torch.randn_like(p) for n, p in plain.named_parameters()}
    before = ours(x)[0]
    with counted() as made:
        found = torch.func.functional_call(ours, other, (x,))
    assert len(made) == 1
    assert_near(found[0], torch.func.functional_call(plain, other, (x,))[0])
    assert torch.equal(ours(x)[0], before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_transforms_of_functions(torch):
    x = torch.randn(T, B, I)
    ones = {n: torch.ones_like(p) for n, p in twins(I, H)[0].named_parameters()}

    def gradients(net):
        own = {n: p.detach() for n, p in net.named_parameters()}
        call = function_of(torch, net, x)
        found = torch.func.grad(call)(own)
        return tuple(found.values())

    def jacobians(net):
        return tuple(torch.func.jacrev(lambda x: net(x)[0])(x[:2]))

    def tangents(net):
        own = {n: p.detach() for n, p in net.named_parameters()}
        return torch.func.jvp(function_of(torch, net, x), (own,), (ones,))

    def dual(net):
        with torch.autograd.forward_ad.dual_level():
            given = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
            return tuple(torch.autograd.forward_ad.unpack_dual(net(given)[0]))

    for way in gradients, jacobians, tangents, dual:
        assert_equal(*both(torch, way))


def test_vmap_says_what_torch_says(torch):
    for net in twins(I, H):
        with pytest.raises(RuntimeError, match="Batching rule not implemented"):
            torch.vmap(net)(torch.randn(4, T, B, I))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_forward_under_ad_of_a_recorded_call(torch):
    """Forward-mode AD over the backward pass of a call that the core recorded."""
    plain, ours = twins(I, H, dtype=torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)
    found = []
    for net in plain, ours:
        output, _ = net(x)
        with torch.autograd.forward_ad.dual_level():
            d = torch.autograd.forward_ad.make_dual(output * 0, torch.ones_like(output))
            (d_x,) = torch.autograd.grad(output, x, d)
            found.append(torch.autograd.forward_ad.unpack_dual(d_x).tangent)
    assert_near(found[1], found[0], {"float64": 1e-10})


class Tagger:
    """Makes a parent module with an RNN and a cell of the given classes."""

    def __new__(cls, torch, rnn, cell):
        class Parent(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn, self.cell = rnn(I, H), cell(I, H)

            def forward(self, x):
                output, h_n = self.rnn(x)
                return output, h_n, self.cell(x[0])

        return Parent()


def tagger(torch):
    import crnn.torch

    ours = Tagger(torch, crnn.torch.RNN, crnn.torch.RNNCell)
    plain = Tagger(torch, torch.nn.RNN, torch.nn.RNNCell)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_script_and_trace(torch):
    warnings.simplefilter("ignore", torch.jit.TracerWarning)
    x = torch.randn(T, B, I)
    for compiled in (
        lambda net: torch.jit.script(net),
        lambda net: torch.jit.trace(net, x),
        lambda net: torch.jit.freeze(torch.jit.script(net.eval())),
    ):
        ours, plain = tagger(torch)
        right = plain(x)
        made = compiled(ours)
        file = io.BytesIO()
        torch.jit.save(made, file)
        file.seek(0)
        for net in made, torch.jit.load(file), ours:
            for result, value in zip(net(x), right, strict=True):
                assert_near(result, value)
    torch.jit.script(twins(I, H)[1])


@pytest.mark.parametrize("strict", [False, True])
def test_export(torch, strict):
    ours, plain = tagger(torch)
    x = torch.randn(T, B, I)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            right = torch.export.export(plain, (x,), strict=strict)
        except Exception as error:
            with pytest.raises(type(error)):
                torch.export.export(ours, (x,), strict=strict)
            return
        found = torch.export.export(ours, (x,), strict=strict)
    assert str(found.graph) == str(right.graph)
    for result, value in zip(found.module()(x), plain(x), strict=True):
        assert_near(result, value)


@pytest.mark.parametrize("allow_rnn", [False, True])
def test_compile(torch, allow_rnn):
    """The graph breaks at RNNs, and the core goes on computing them."""
    ours, plain = tagger(torch)
    x = torch.randn(T, B, I)
    with warnings.catch_warnings(), torch._dynamo.config.patch(allow_rnn=allow_rnn):
        warnings.simplefilter("ignore")
        compiled = torch.compile(ours, backend="eager")
        with counted() as made:
            for _ in range(2):
                results = compiled(x)
                results[0].sum().backward()
    assert len(made) == (0 if allow_rnn else 2)
    for result, value in zip(results, plain(x), strict=True):
        assert_near(result, value)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("kind", "rows", "H", "trains", "avx512", "avx2"),
    [
        ("RNN", (1, 1), 64, True, True, True),
        ("RNN", (1, 1), 512, False, False, False),
        ("RNN", (8, 1), 512, False, True, False),
        ("RNN", (8, 1), 512, True, True, True),
        ("RNN", (16, 1), 512, False, True, True),
        ("RNN", (1, 8), 512, True, True, False),
        ("RNN", (2, 8), 512, False, True, True),
        ("RNNCell", (1,), 64, False, False, False),
        ("RNNCell", (64,), 64, False, True, True),
        ("RNNCell", (64,), 64, True, True, False),
        ("RNNCell", (32,), 512, False, True, False),
        ("RNNCell", (64,), 512, False, True, True),
    ],
)
@pytest.mark.parametrize("isa", ["avx512", "avx2"])
def test_what_torch_is_sooner_done_with(
    torch, monkeypatch, isa, kind, rows, H, trains, avx512, avx2
):
    """Few steps through many weights, which the core would have to copy."""
    from crnn.torch import worth

    monkeypatch.setattr(worth, "HAS_AVX512", isa == "avx512")
    core = avx512 if isa == "avx512" else avx2
    plain, ours = twins(H, H, kind=kind)
    x = torch.randn(*rows, H)
    with counted() as made, torch.set_grad_enabled(trains):
        found = ours(x)
    assert bool(made) == core
    right = plain(x)
    for a, b in zip(plain_tensors(found), plain_tensors(right), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
        assert core or torch.equal(a, b)


def test_quantize_dynamic_leaves_networks(torch):
    ours, _ = tagger(torch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.ao.quantization.quantize_dynamic(ours, {torch.nn.Linear})
    x = torch.randn(T, B, I)
    assert type(quantized.rnn) is type(ours.rnn)
    assert torch.equal(quantized(x)[0], ours(x)[0])


def test_graphs_of_operators(torch):
    from torch.fx.experimental.proxy_tensor import make_fx

    x = torch.randn(T, B, I)

    def call(net):
        return make_fx(net)(x)(x)

    assert_equal(*both(torch, call))
