"""First and second derivatives of crnn.torch, against differences and against torch."""

import pytest
from twins import (
    GRADIENT_TOLERANCE,
    assert_near,
    assert_same_gradients,
    counted,
    every_cell,
    loss_of,
    twins,
)

I, H, T, B = 3, 4, 5, 2  # noqa: E741


def doubles(torch, *shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def function_of(net, packed):
    """The module as a function of its input, hx and parameters."""

    def call(x, hx, *parameters):
        output, h_n = net(x if packed is None else packed._replace(data=x), hx)
        return output if packed is None else output.data, h_n

    return call


OPTIONS = [
    {},
    {"nonlinearity": "relu"},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 2, "nonlinearity": "relu", "bias": False},
    {"bidirectional": True, "batch_first": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("layout", ["batched", "unbatched", "packed"])
def test_gradcheck_and_gradgradcheck(torch, options, layout):
    _, ours = twins(I, H, **options, dtype=torch.float64)
    states = ours.num_layers * (1 + ours.bidirectional)
    x, hx, packed = doubles(torch, 3, B, I), doubles(torch, states, B, H), None
    if layout == "batched" and ours.batch_first:
        x = doubles(torch, B, 3, I)
    if layout == "unbatched":
        x, hx = doubles(torch, 3, I), doubles(torch, states, H)
    if layout == "packed":
        pack = torch.nn.utils.rnn.pack_padded_sequence
        packed = pack(x, [1, 3], enforce_sorted=False)
        x = packed.data.detach().requires_grad_()
    inputs = x, hx, *ours.parameters()
    call = function_of(ours, packed)
    with counted() as made:
        assert torch.autograd.gradcheck(call, inputs)
    assert made
    assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_gradcheck_of_a_cell(torch, nonlinearity):
    _, ours = twins(
        I, H, kind="RNNCell", nonlinearity=nonlinearity, dtype=torch.float64
    )
    inputs = doubles(torch, B, I), doubles(torch, B, H), *ours.parameters()
    with counted() as made, every_cell():
        assert torch.autograd.gradcheck(lambda x, h, *_: ours(x, h), inputs)
        assert torch.autograd.gradgradcheck(lambda x, h, *_: ours(x, h), inputs)
    assert made


def test_gradient_penalty_reaches_every_parameter(torch):
    plain, ours = twins(I, H, 2, bidirectional=True, dtype=torch.float64)
    x = doubles(torch, T, B, I)
    for net in plain, ours:
        (d_x,) = torch.autograd.grad(loss_of(net(x)), x, create_graph=True)
        assert d_x.requires_grad
        d_x.square().sum().backward()
    assert_same_gradients(ours.parameters(), plain.parameters())


@pytest.mark.parametrize("layout", ["batched", "unbatched", "packed", "batch_first"])
def test_second_derivatives_without_hx(torch, layout):
    pair = twins(I, H, 2, batch_first=layout == "batch_first", dtype=torch.float64)
    x = torch.randn(T, *[B] * (layout != "unbatched"), I, dtype=torch.float64)
    if layout == "packed":
        x = torch.nn.utils.rnn.pack_padded_sequence(x, [5, 2])
    for net in pair:
        output, h_n = net(x)
        total = loss_of((output, h_n))
        found = torch.autograd.grad(total, list(net.parameters()), create_graph=True)
        sum(g.square().sum() for g in found).backward()
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())


def test_third_derivatives(torch):
    plain, ours = twins(I, H, dtype=torch.float64)
    x = doubles(torch, 2, 1, I)
    found = []
    for net in plain, ours:
        d = net(x)[0].sum()
        for _ in range(3):
            (d_x,) = torch.autograd.grad(d, x, create_graph=True)
            d = d_x.square().sum()
        found.append(d_x)
    assert_near(found[1], found[0], {"float64": 1e-8})


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("kind", ["RNN", "RNNCell"])
def test_requires_grad_set_after_the_call(torch, kind, before):
    """What was needed then counts, also for gradients of gradients."""
    found = []
    with every_cell():
        for net in twins(I, H, kind=kind):
            torch.manual_seed(0)
            x = torch.randn(B, I, requires_grad=True)
            net.requires_grad_(before)
            loss = loss_of(net(x))
            net.requires_grad_(not before)
            (d_x,) = torch.autograd.grad(loss, x, create_graph=True)
            d_x.square().sum().backward()
            found.append((x.grad, [p.grad for p in net.parameters()]))
    assert_near(found[1][0], found[0][0], {"float32": 1e-4})
    if not before:
        assert found[1][1] == found[0][1] == [None] * 4


@pytest.mark.parametrize("again", [False, True])
def test_vmap_over_the_backward_of_a_recorded_call(torch, again):
    """The rows of a Jacobian, as torch.autograd.functional's vectorized ones."""
    found = []
    for net in twins(I, H, 2, bidirectional=True, dropout=0.3):
        torch.manual_seed(1)
        x = torch.randn(T, B, I, requires_grad=True)
        output, _ = net(x)

        inputs = [x, *net.parameters()]

        def row(v, output=output, inputs=inputs):
            options = {"retain_graph": True, "create_graph": again}
            return torch.autograd.grad(output, inputs, v, **options)

        rows = torch.vmap(row)(torch.eye(output.numel()).view(-1, *output.shape))
        assert all(jacobian.requires_grad == again for jacobian in rows)
        if again:
            rows += torch.autograd.grad(rows[0].square().sum(), [*net.parameters()])
        found.append(rows)
    for ours, right in zip(found[1], found[0], strict=True):
        assert_near(ours, right, GRADIENT_TOLERANCE)


@pytest.mark.parametrize("kind", ["RNN", "RNNCell"])
def test_grad_mode_inside_inference_mode(torch, kind):
    """It records nothing, whether its input was made inside or outside."""
    with every_cell():
        for net in twins(I, H, kind=kind):
            shape = (B, I) if kind == "RNNCell" else (T, B, I)
            outside = torch.ones(shape)
            with torch.inference_mode(), torch.enable_grad():
                for x in outside, torch.ones(shape):
                    result = net(x)
                    result = result if kind == "RNNCell" else result[0]
                    assert not result.requires_grad and result.grad_fn is None
