"""crnn.torch under autograd: what torch.nn.RNN's gradients do, ours do."""

import gc
import threading

import pytest
from twins import assert_near, assert_same_gradients, loss_of, twins

import crnn

I, H, T, B = 3, 4, 5, 2  # noqa: E741


def test_gradients_without_influence_are_zeros(torch):
    _, ours = twins(I, H, 2)
    x = torch.randn(T, B, I)
    ours(x)[1][0].sum().backward()
    for name, parameter in ours.named_parameters():
        assert parameter.grad.any() == name.endswith("l0"), name
    ours.zero_grad()
    gradients = torch.autograd.grad(ours(x)[1][0].sum(), list(ours.parameters()))
    assert all(g is not None and g.is_contiguous() for g in gradients)
    ours(torch.randn(T, 0, I))[0].sum().backward()
    assert all(not p.grad.any() for p in ours.parameters())


@pytest.mark.parametrize("used", ["output", "h_n", "one element"])
def test_any_part_of_the_results(torch, used):
    plain, ours = twins(I, H, 2, bidirectional=True)
    x = torch.randn(T, B, I)
    for net in plain, ours:
        output, h_n = net(x)
        part = {"output": output, "h_n": h_n, "one element": output[2, 1, 0]}[used]
        part.sum().backward()  # an expanded gradient
    assert_same_gradients(ours.parameters(), plain.parameters())


@pytest.mark.parametrize("frozen", ["ih", "hh", "bias", "l0", "reverse", "l", "weight"])
@pytest.mark.parametrize("input_needs", [False, True])
def test_frozen_parameters(torch, frozen, input_needs):
    pair = twins(I, H, 2, bidirectional=True)
    x = torch.randn(T, B, I, requires_grad=input_needs)
    found = []
    for net in pair:
        for name, parameter in net.named_parameters():
            parameter.requires_grad_(frozen not in name)
        output, h_n = net(x)
        found.append((output.requires_grad, h_n.requires_grad))
        if output.requires_grad:
            x.grad = None
            loss_of((output, h_n)).backward()
            found[-1] += (x.grad,)
    assert found[0][:2] == found[1][:2]
    assert_same_gradients(pair[1].parameters(), pair[0].parameters())
    if input_needs:
        assert_near(found[1][2], found[0][2], {"float32": 1e-4})


def test_requires_grad_of_results(torch):
    _, ours = twins(I, H)
    x = torch.randn(T, B, I)
    with torch.no_grad():
        assert not any(r.requires_grad for r in ours(x))
    with torch.inference_mode():
        for result in ours(x):
            assert result.is_inference() and not result.requires_grad
        given = torch.randn(T, B, I)
    with torch.no_grad():
        assert torch.equal(ours(given)[0], ours(given.clone())[0])
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        ours(given)
    ours.requires_grad_(False)
    assert not any(r.requires_grad for r in ours(x))
    assert all(r.requires_grad for r in ours(x.requires_grad_()))


def test_backward_again(torch):
    _, ours = twins(I, H, 2, dropout=0.5)
    loss = loss_of(ours(torch.randn(T, B, I)))
    grads = [
        torch.autograd.grad(loss, list(ours.parameters()), retain_graph=keep)
        for keep in (True, True, False)
    ]
    for others in grads[1:]:
        assert all(map(torch.equal, grads[0], others))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_gradients_accumulate_over_a_stateful_loop(torch):
    plain, ours = twins(I, H, 2)
    x = torch.randn(3, T, B, I)
    for net in plain, ours:
        h, total = None, 0
        for part in x:
            output, h = net(part, h)
            total = total + loss_of(output)
        total.backward()
        loss_of(net(x[0], h.detach())).backward()
    assert_same_gradients(ours.parameters(), plain.parameters())


def test_memory_is_freed(torch):
    """Without retain_graph backward lets go of what was recorded, and nothing leaks."""
    _, ours = twins(I, H)
    x = torch.randn(T, B, I, requires_grad=True)
    gc.disable()
    try:
        before = crnn._core.allocations()
        output, _ = ours(x)
        recorded = crnn._core.allocations()
        loss = output.sum()
        loss.backward(retain_graph=True)
        assert crnn._core.allocations() == recorded > before
        loss.backward()
        assert crnn._core.allocations() == before
        ours(x)
        assert crnn._core.allocations() == before
    finally:
        gc.enable()


def test_backward_in_threads(torch):
    _, ours = twins(I, H, 2)
    x = torch.randn(T, 8, I)
    loss = loss_of(ours(x))
    parameters = list(ours.parameters())
    right = torch.autograd.grad(loss, parameters, retain_graph=True)
    found = []

    def work():
        for _ in range(20):
            grads = torch.autograd.grad(loss, parameters, retain_graph=True)
            found.append(all(map(torch.equal, grads, right)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80


def test_hooks_and_accumulators(torch):
    """Hooks on tensors, and gradients of several losses at once."""
    plain, ours = twins(I, H)
    x = torch.randn(T, B, I)
    for net in plain, ours:
        output, h_n = net(x)
        output.register_hook(lambda g: 2 * g)
        torch.autograd.backward([output.sum(), h_n.sum()])
    assert_same_gradients(ours.parameters(), plain.parameters())


def test_vectorized_jacobian(torch):
    """Batched gradients go through torch's operators."""
    plain, ours = twins(I, H, dtype=torch.float64)
    x = torch.randn(2, 1, I, dtype=torch.float64)
    for vectorize in False, True:
        right, found = (
            torch.autograd.functional.jacobian(
                lambda x, net=net: net(x)[0], x, vectorize=vectorize
            )
            for net in (plain, ours)
        )
        assert_near(found, right, {"float64": 1e-10})


def test_anomaly_mode_and_saving_hooks(torch):
    plain, ours = twins(I, H, 2, dropout=0.5)
    x = torch.randn(T, B, I, requires_grad=True)
    packed = []

    def pack(tensor):
        packed.append(tensor)
        return tensor.clone()

    def checkpointed(net):
        return torch.utils.checkpoint.checkpoint(net, x, use_reentrant=False)

    def saved_elsewhere(net):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            return net(x)

    def watched(net):
        with torch.autograd.set_detect_anomaly(True):
            return net(x)

    for way in checkpointed, saved_elsewhere, watched:
        for net in plain, ours:
            net.zero_grad()
            torch.manual_seed(3)
            loss_of(way(net)).backward()
        assert_same_gradients(ours.parameters(), plain.parameters())
    assert packed


def test_input_moved_to_shared_memory(torch):
    """What the tape reads has gone: backward computes anew."""
    plain, ours = twins(I, H)
    x, hx = torch.randn(T, B, I), torch.randn(1, B, H)
    for net in plain, ours:
        given, h = x.clone(), hx.clone()
        results = net(given, h)
        given.share_memory_()
        h.share_memory_()
        loss_of(results).backward()
    assert_same_gradients(ours.parameters(), plain.parameters())


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("packed", [False, True])
def test_heavy_weights(torch, dropout, packed):
    """A loop of short calls of a wide network: tapes do not hold its weights."""
    plain, ours = twins(I, 96, 2, bidirectional=True, dropout=dropout)
    x = torch.randn(4, 3, I, requires_grad=True)
    hx = torch.randn(4, 3, 96, requires_grad=True)
    found, h0 = [], hx
    before = crnn._core.allocations()
    for net in plain, ours:
        torch.manual_seed(0)
        x.grad = hx.grad = None
        h, total = h0, 0
        for step in x.split(1):
            given = step
            if packed:
                given = torch.nn.utils.rnn.pack_sequence(list(step.transpose(0, 1)))
            output, h = net(given, h)
            total = total + loss_of(output)
        if net is ours:  # states and offsets, and nothing of the size of the weights
            assert crnn._core.allocations() - before <= 4 * 4
        total.backward(retain_graph=True)
        first = x.grad.clone()
        total.backward()
        assert torch.equal(x.grad, 2 * first)
        found.append((x.grad, hx.grad))
    for a, b in zip(*found, strict=True):
        assert_near(b, a, {"float32": 1e-4})
    assert_same_gradients(ours.parameters(), plain.parameters())
    total = loss_of(ours(x[:1], h0))
    with torch.no_grad():
        ours.weight_hh_l0.add_(1)
        ours.bias_hh_l0.add_(1)
    with pytest.raises(RuntimeError, match="inplace"):
        total.backward()
