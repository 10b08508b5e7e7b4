"""Dropout of crnn.torch: torch's draws, bit for bit, from torch's generator."""

import pytest
from twins import (
    assert_near,
    assert_same_gradients,
    counted,
    loss_of,
    plain_tensors,
    twins,
)

I, H, T, B = 3, 16, 5, 2  # noqa: E741


def given(torch, net, layout, dtype):
    x = torch.randn(T, B, I, dtype=dtype)
    if layout == "packed":
        pack = torch.nn.utils.rnn.pack_padded_sequence
        return pack(x, [2, 5], enforce_sorted=False)
    if layout == "unbatched":
        return x[:, 0]
    return x.transpose(0, 1) if net.batch_first else x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["batched", "unbatched", "packed"])
@pytest.mark.parametrize("p", [0.5, 0.1, 1.0, 1, 0])
@pytest.mark.parametrize(
    "options",
    [{}, {"bidirectional": True}, {"batch_first": True, "nonlinearity": "relu"}],
    ids=str,
)
def test_the_same_draws(torch, options, p, layout, dtype):
    dtype = getattr(torch, dtype)
    plain, ours = twins(I, H, 3, dropout=p, dtype=dtype, **options)
    x = given(torch, plain, layout, dtype)
    for mode in torch.enable_grad, torch.no_grad:
        found = []
        for net in plain, ours:
            torch.manual_seed(5)
            with mode(), counted() as made:
                results = net(x)
            found.append((plain_tensors(results), torch.get_rng_state()))
            if mode is torch.enable_grad:
                loss_of(results).backward()
        assert len(made) == 1
        for result, right in zip(found[1][0], found[0][0], strict=True):
            assert_near(result, right)
        assert torch.equal(found[0][1], found[1][1])
    assert_same_gradients(ours.parameters(), plain.parameters())


@pytest.mark.parametrize("bidirectional", [False, True])
def test_masks_are_torchs_in_bits(torch, bidirectional):
    """Zeroed are the same elements, and the others are scaled alike."""
    from crnn.torch import engine

    D = 1 + bidirectional
    call = engine.Call(I, H, 4, D, True, "RNN_TANH", num_steps=T, dropout=0.3)
    torch.manual_seed(2)
    masks = engine.draw_masks(call, torch.zeros(T, B, I), None)
    torch.manual_seed(2)
    ones = torch.ones(T, B, D * H)
    for mask in masks:
        assert torch.equal(mask, torch.nn.functional.dropout(ones, 0.3, True))
    call = call._replace(batch_first=True)
    torch.manual_seed(2)
    for mask, other in zip(
        engine.draw_masks(call, torch.zeros(B, T, I), None), masks, strict=True
    ):
        assert torch.equal(mask, other)  # time first in either case


def test_nothing_is_drawn_at_rest(torch):
    for options in {"num_layers": 1}, {"num_layers": 2, "dropout": 1.0}:
        _, ours = twins(I, H, **options)
        before = torch.get_rng_state()
        ours(torch.zeros(T, B, I))
        assert torch.equal(before, torch.get_rng_state())
    _, ours = twins(I, H, 2, dropout=0.5)
    before = torch.get_rng_state()
    ours.eval()(torch.zeros(T, B, I))
    ours.train().dropout = 0
    ours(torch.zeros(T, B, I))
    assert torch.equal(before, torch.get_rng_state())


def test_a_refused_call_draws_nothing(torch):
    """Torch computes what the core does not, with the draws that it would have made."""
    plain, ours = twins(I, H, 2, dropout=0.5)
    for net in plain, ours:
        net.bias_hh_l1 = torch.nn.Parameter(torch.ones(1))  # torch broadcasts it
    x = torch.randn(T, B, I)
    results = []
    for net in plain, ours:
        torch.manual_seed(4)
        results.append(net(x)[0])
    assert torch.equal(*results)


def test_a_wrong_probability_is_torchs_to_refuse(torch):
    for value, error in (2.0, RuntimeError), ("0.5", TypeError), (-1, RuntimeError):
        for net in twins(I, H, 2):
            net.dropout = value
            with pytest.raises(error):
                net(torch.zeros(T, B, I))
            net.eval()
            if error is RuntimeError:
                net(torch.zeros(T, B, I))


@pytest.mark.parametrize("packed", [False, True])
def test_second_derivatives_use_the_same_masks(torch, packed):
    _, ours = twins(I, H, 3, dropout=0.5, dtype=torch.float64)
    x = torch.randn(T, B, I, dtype=torch.float64, requires_grad=True)
    layout = x
    if packed:
        layout = torch.nn.utils.rnn.pack_padded_sequence(x, [5, 2])
    loss = loss_of(ours(layout))
    (once,) = torch.autograd.grad(loss, x, retain_graph=True)
    (again,) = torch.autograd.grad(loss, x, create_graph=True)
    assert_near(again, once, {"float64": 1e-10})
