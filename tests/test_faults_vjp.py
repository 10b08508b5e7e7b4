"""Faults of pullbacks: rows 19, 20, 30, 42, 50, 52, 82, 83, 86, 99, 105 and 112."""

import gc
import sys
import threading

import numpy as np
import pytest
from faults import (
    DTYPES,
    LINUX,
    B,
    H,
    I,
    T,
    both_dtypes,
    check_usable,
    network,
    refused,
    run_python,
    same_bits,
)
from shapes import draw

import crnn
from crnn import _core


def recorded(dtype="float32", **options):
    net = network(dtype, num_layers=2, bidirectional=True, **options)
    x, hx = draw(T, B, I, dtype=dtype), draw(4, B, H, dtype=dtype)
    return net, x, hx, *net.vjp(x, hx)


def equal(found, right):
    return list(found) == list(right) and all(
        same_bits(found[name], right[name]) for name in right
    )


@both_dtypes
def test_fault_19_called_again_and_with_other_shapes_and_dtypes(dtype):
    net, x, hx, output, h_n, pullback = recorded(dtype)
    right = pullback(output, h_n)
    other = next(d for d in DTYPES if d != dtype)
    for bad in output[1:], output[..., 1:], output[0], h_n, output[None], np.ones(()):
        with refused(crnn.ShapeError, "d_output must have shape", net, x, hx):
            pullback(bad, h_n)
    for bad in h_n[1:], output, h_n[:, :, :1]:
        with refused(crnn.ShapeError, "d_h_n must have shape", net):
            pullback(output, bad)
    with refused(crnn.DTypeError, f"d_output must be {dtype}", net):
        pullback(output.astype(other), h_n)
    with refused(crnn.DTypeError, f"d_h_n must be {dtype}", net):
        pullback(output, h_n.astype(int))
    for bad in [1.0], "x", 1, output.tolist(), np.ma.array(output):
        with refused(TypeError, "d_output", net):
            pullback(bad)
    for arguments, names in ((output,) * 3, {}), ((output,), {"d_output": output}):
        with refused(TypeError, "gradient", net):
            pullback(*arguments, **names)
    with refused(TypeError, "d_y", net):
        pullback(d_y=output)
    assert equal(pullback(output, h_n), right)
    assert equal(pullback(d_h_n=h_n, d_output=output), right)


@both_dtypes
def test_fault_20_no_incoming_gradient_is_zeros(dtype):
    net, x, hx, output, h_n, pullback = recorded(dtype)
    zeros = pullback(np.zeros_like(output), np.zeros_like(h_n))
    assert equal(pullback(), zeros) and equal(pullback(None, None), zeros)
    assert not any(value.any() for value in zeros.values())
    assert equal(pullback(output), pullback(output, np.zeros_like(h_n)))
    assert equal(pullback(None, h_n), pullback(np.zeros_like(output), h_n))
    shapes = {"input": x, "hx": hx, **net.state_dict()}
    assert {n: a.shape for n, a in zeros.items()} == {
        n: a.shape for n, a in shapes.items()
    }
    h, pullback = crnn.RNNCell(I, H, dtype=dtype).vjp(x[0])
    assert not any(value.any() for value in pullback().values())
    assert h.shape == (B, H)


def test_fault_13_no_row():
    for dtype in DTYPES:
        net = network(dtype, num_layers=2)
        output, h_n, pullback = net.vjp(np.zeros((T, 0, I), dtype))
        found = pullback(output, h_n)
        assert found["input"].shape == (T, 0, I)
        for name, parameter in net.named_parameters():
            assert found[name].shape == parameter.shape and not found[name].any()
        check_usable(net)


def test_fault_30_33_gradients_of_any_layout():
    net, x, hx, output, h_n, pullback = recorded()
    right = pullback(output, h_n)
    for turn in (
        np.asfortranarray,
        lambda a: a[::-1].copy()[::-1],
        lambda a: np.repeat(a, 2, -1)[..., ::2],
        lambda a: a.astype(a.dtype.newbyteorder("S")),
    ):
        assert equal(pullback(turn(output), turn(h_n)), right)
    ones = pullback(np.ones_like(output))
    assert equal(pullback(np.broadcast_to(np.float32(1), output.shape)), ones)
    read_only = output.copy()
    read_only.flags.writeable = False
    assert equal(pullback(read_only, h_n), right)
    assert equal(net.vjp(x[::-1].copy()[::-1], hx)[2](output, h_n), right)
    first = np.ascontiguousarray(x.transpose(2, 0, 1)).transpose(1, 2, 0)
    assert equal(net.vjp(first, hx)[2](output, h_n), right)


@both_dtypes
def test_fault_30_gradients_of_one_unit_in_two_directions(dtype):
    """The features of states are one and have any stride; those of outputs are two."""
    net = crnn.RNN(I, 1, bidirectional=True, dtype=dtype)
    output, h_n, pullback = net.vjp(draw(T, B, I, dtype=dtype))
    right = pullback(output, h_n)
    for turn in np.asfortranarray, lambda a: np.repeat(a, 3, -1)[..., ::3]:
        assert equal(pullback(turn(output), turn(h_n)), right)
    ones = pullback(np.ones_like(output))
    assert equal(pullback(np.broadcast_to(output.dtype.type(1), output.shape)), ones)


def test_fault_42_aliases():
    net = crnn.RNN(H, H)
    x = draw(1, 1, H)
    output, h_n, pullback = net.vjp(x, x)
    right = net.vjp(x.copy(), x.copy())[2](output, h_n)
    assert equal(pullback(output, h_n), right)
    assert equal(pullback(x, x), net.vjp(x.copy(), x.copy())[2](x.copy(), x.copy()))


def test_results_share_nothing_and_edits_do_not_reach_back():
    net, _, hx, output, h_n, pullback = recorded()
    d_output, d_h_n = output.copy(), h_n.copy()
    right = {name: a.copy() for name, a in pullback(d_output, d_h_n).items()}
    first = pullback(d_output, d_h_n)
    arrays = [output, h_n, *net.parameters(), *first.values()]
    for i, a in enumerate(arrays):
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
    output[...] = np.nan
    h_n[...] = np.nan
    for a in first.values():
        a[...] = np.nan
    for parameter in net.parameters():
        parameter[...] = np.nan
    assert equal(pullback(d_output, d_h_n), right)
    net.double()
    del net
    gc.collect()
    assert equal(pullback(d_output, d_h_n), right)
    assert hx.shape == (4, B, H)


@both_dtypes
def test_fault_52_nan_stays_in_its_row(dtype):
    net = network(dtype, num_layers=2)
    x = draw(T, 9, I, dtype=dtype)
    output, _, pullback = net.vjp(x)
    right = pullback(output)["input"]
    gradient = output.copy()
    gradient[2, 4] = np.nan
    found = pullback(gradient)["input"]
    others = np.arange(9) != 4
    assert same_bits(found[:, others], right[:, others])
    assert np.isnan(found[:3, 4]).all() and same_bits(found[3:, 4], right[3:, 4])


@pytest.mark.parametrize("forever", [False, True], ids=["once", "from there on"])
def test_fault_50_112_every_failing_allocation(forever):
    net, x = network(num_layers=2), draw(40, 30, I)
    lengths = np.arange(30) % 40 + 1
    cell = crnn.RNNCell(I, H)
    output, h_n, pullback = net.vjp(x, lengths=lengths)
    functions = [
        lambda: net.vjp(x),
        lambda: net.vjp(x, lengths=lengths),
        lambda: pullback(output, h_n),
        lambda: cell.vjp(x[0])[1](np.ones((30, H), np.float32)),
    ]
    for function in functions:
        gc.collect()
        before = _core.allocations()
        for n in range(1, 100):
            _core.fail_allocation(n, forever)
            try:
                function()
                failed = False
            except MemoryError:
                failed = True
            finally:
                _core.fail_allocation(0)
            gc.collect()
            assert _core.allocations() == before
            check_usable(net)
            if not failed:
                break
        assert not failed and n > 1


def test_fault_50_states_too_large():
    x = np.broadcast_to(np.float32(1), (2**40, 8, I))
    with pytest.raises((MemoryError, OverflowError)):
        network().vjp(x)
    with pytest.raises((MemoryError, OverflowError)):
        network(num_layers=2).vjp(np.broadcast_to(np.float32(1), (2**56, 8, I)))
    check_usable(network())


def test_references_and_cycles():
    net, x, hx, output, h_n, pullback = recorded()
    objects = [net, x, hx, output, h_n]
    gc.collect()
    before, allocations = [sys.getrefcount(o) for o in objects], _core.allocations()
    for _ in range(20):
        results = net.vjp(x, hx)
        results[2](output, h_n)
    del results
    gc.collect()
    assert [sys.getrefcount(o) for o in objects] == before
    assert _core.allocations() == allocations
    net.loop = pullback
    del net, pullback, objects, output, h_n
    gc.collect()
    assert _core.allocations() < allocations


def test_fault_82_pullbacks_of_many_threads():
    net = crnn.RNN(16, 96, 2, bidirectional=True)
    output, h_n, pullback = net.vjp(draw(30, 12, 16))
    right, wrong = pullback(output, h_n), []

    def work():
        for _ in range(10):
            if not equal(pullback(output, h_n), right):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not LINUX, reason="sends itself a signal")
@pytest.mark.parametrize(
    "threads, rows, units", [(1, 32, 512), (2, 32, 512), (2, 1, 4096)]
)
def test_fault_86_keyboard_interrupt(threads, rows, units):
    code = """
import os, signal, sys, threading, time
import numpy as np, crnn
from faults import check_usable
threads, rows, units = map(int, sys.argv[1:])
crnn.set_num_threads(threads)
net = crnn.RNN(64, units, 1024 // units or 1)
x = np.ones((600, rows, 64), np.float32)
output, _, pullback = net.vjp(x)
latencies = []
for _ in range(3):
    def send():
        time.sleep(0.2)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)
    sent, thread = [], threading.Thread(target=send)
    thread.start()
    try:
        while True:
            pullback(output)
    except KeyboardInterrupt:
        latencies.append(time.perf_counter() - sent[0])
    thread.join()
check_usable(net)
assert min(latencies) < 0.1, latencies
"""
    run_python(code, threads, rows, units, timeout=120)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_fault_99_backward_after_fork():
    code = """
import os, warnings
import numpy as np, crnn
warnings.simplefilter("ignore")
net = crnn.RNN(64, 256)
output, h_n, pullback = net.vjp(np.ones((64, 32, 64), np.float32))
right = pullback(output, h_n)
child = os.fork()
found = pullback(output, h_n)
same = all(found[n].tobytes() == right[n].tobytes() for n in right)
if child == 0:
    os._exit(0 if same else 1)
assert same and os.waitpid(child, 0)[1] == 0
"""
    run_python(code)
