"""Tensors of other layouts, and of inference mode, in crnn.torch: as in torch."""

import pytest
from twins import assert_near, assert_same_gradients, loss_of, plain_tensors, twins

I, H, T, B = 3, 4, 5, 2  # noqa: E741


def outcome(net, x, hx):
    """The results, or what the error says."""
    try:
        return plain_tensors(net(x, hx))
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize("convert", ["to_sparse", "to_mkldnn"])
@pytest.mark.parametrize("which", ["x", "hx"])
def test_layouts_that_torch_alone_may_know(torch, convert, which):
    x, hx = torch.randn(T, B, I), torch.randn(1, B, H)
    if which == "x":
        x = getattr(x, convert)()
    else:
        hx = getattr(hx, convert)()
    right, found = (outcome(net, x, hx) for net in twins(I, H))
    assert type(found) is type(right)
    if isinstance(right, str):
        assert found == right
    else:
        for a, b in zip(found, right, strict=True):
            assert_near(a, b)


@pytest.mark.parametrize("name", ["bias_hh_l0", "weight_ih_l0", "weight_hh_l0"])
@pytest.mark.parametrize("needs", [False, True])
def test_parameters_of_inference_mode(torch, name, needs):
    """Nobody counts how often those are edited."""
    pair, outcomes = twins(I, H), []
    for net in pair:
        with torch.inference_mode():
            value = torch.nn.Parameter(getattr(net, name).clone(), requires_grad=False)
        setattr(net, name, value)
        x = torch.ones(T, B, I, requires_grad=needs)
        try:
            loss_of(net(x)).backward()
            outcomes.append(None)
        except RuntimeError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())


def test_hooks_that_turn_what_is_saved(torch):
    """Backward finds hx in another order of memory."""
    pair = twins(I, H)
    hx = torch.randn(1, B, H)

    def unpack(tensor):
        return tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor

    for net in pair:
        x = torch.ones(T, B, I, requires_grad=True)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t, unpack):
            loss = loss_of(net(x, hx))
        loss.backward()
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())
