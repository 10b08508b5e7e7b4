"""Memory under crnn.torch: failing allocations, leaks, threads that share a module."""

import gc
import sys
import threading
import time

import pytest
from twins import counted, loss_of, twins

import crnn

I, H, T, B = 3, 4, 5, 2  # noqa: E741


def step(net, x):
    """Forward and backward; the gradients."""
    net.zero_grad()
    loss_of(net(x)).backward()
    return [parameter.grad for parameter in net.parameters()]


@pytest.mark.parametrize("H", [4, 96])
@pytest.mark.parametrize("forever", [False, True])
def test_every_allocation_may_fail(torch, forever, H):
    """MemoryError, wherever it comes; the module goes on as if nothing had been."""
    _, ours = twins(I, H, 2)
    x = torch.randn(T, B, I)
    right = step(ours, x)
    gc.collect()
    before = crnn._core.allocations()
    failures = 0
    for n in range(1, 60):
        crnn._core.fail_allocation(n, forever)
        try:
            found = step(ours, x)
        except MemoryError:
            failures += 1
        else:
            break
        finally:
            crnn._core.fail_allocation(0)
            gc.collect()
        assert crnn._core.allocations() == before
    assert failures >= 3 and all(map(torch.equal, found, right))
    assert all(map(torch.equal, step(ours, x), right))


def test_nothing_leaks(torch):
    _, ours = twins(I, H, 2, dropout=0.5)
    x = torch.randn(T, B, I, requires_grad=True)

    def work():
        step(ours, x)
        step(ours, torch.nn.utils.rnn.pack_padded_sequence(x, [5, 2]))
        (d_x,) = torch.autograd.grad(ours(x)[0].sum(), x, create_graph=True)
        d_x.sum().backward()
        with torch.no_grad():
            ours(x)
        with pytest.raises(RuntimeError):
            ours(x[:, :, :2])

    for _ in range(3):
        work()
    gc.collect()
    before = crnn._core.allocations(), sys.getrefcount(x), len(gc.get_objects())
    for _ in range(10):
        work()
    gc.collect()
    after = crnn._core.allocations(), sys.getrefcount(x), len(gc.get_objects())
    assert after[:2] == before[:2] and after[2] - before[2] < 20


def test_one_module_in_many_threads(torch):
    _, ours = twins(8, 32, 2, bidirectional=True)
    x = torch.randn(20, 16, 8)
    right = ours(x)[0].detach()
    parameters = list(ours.parameters())
    gradients = torch.autograd.grad(ours(x)[0].sum(), parameters)
    found = []

    def work():
        for _ in range(10):
            output, _ = ours(x)
            again = torch.autograd.grad(output.sum(), parameters)
            found.append(torch.equal(output, right))
            found.append(all(map(torch.equal, again, gradients)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 80


def test_bits_do_not_depend_on_the_batch(torch):
    _, ours = twins(8, 32, 2, bidirectional=True)
    x = torch.randn(20, 16, 8)
    with counted() as made, torch.no_grad():
        output, h_n = ours(x)
        for row in 0, 7, 15:
            alone = ours(x[:, row])
            assert torch.equal(alone[0], output[:, row])
            assert torch.equal(alone[1], h_n[:, row])
    assert len(made) == 4


def test_torchs_number_of_threads_counts(torch):
    """Who asks torch for one thread gets no others from the core either."""
    from crnn.torch import engine

    plain, ours = twins(128, 128)
    x = torch.randn(64, 64, 128)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        step(ours, x)
        all_threads, own = time.process_time(), time.thread_time()
        for _ in range(3):
            step(ours, x)
        own = time.thread_time() - own
        assert time.process_time() - all_threads < 1.1 * own + 0.01
        torch.set_num_threads(3)
        call = engine.Call(128, 128, 1, 1, True, "RNN_TANH")
        with torch.no_grad():
            net = engine.Network(call, torch.float32, list(plain.parameters()))
        assert net.core._most_threads == 3
    finally:
        torch.set_num_threads(before)


def test_memory_of_tensors_stays_resizable(torch):
    """A call must leave no mark on what it reads."""
    _, ours = twins(I, H)
    x, hx = torch.randn(T, B, I), torch.randn(1, B, H)
    ours(x, hx)[0].sum().backward()
    with torch.no_grad():
        ours(x, hx)
    for tensor in x, hx, *ours.parameters():
        assert tensor.untyped_storage().resizable()
    x.resize_(2 * T, B, I)
