"""Faults, group E: arrays touched during and after calls (rows 70 and 71)."""

import contextlib
import gc
import threading
import time
import warnings

import numpy as np
import pytest
from faults import (
    B,
    H,
    I,
    T,
    check_usable,
    network,
    same_bits,
)
from shapes import draw

import crnn


def in_another_thread(function):
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def long_call(net, milliseconds=150):
    """An array that keeps net busy for about so long."""
    x = np.zeros((64, 16, net.input_size), np.float32)
    start = time.perf_counter()
    net(x)
    seconds = time.perf_counter() - start
    repeats = int(min(milliseconds / 1000 / seconds, 4096)) + 1
    return np.zeros((64 * repeats, 16, net.input_size), np.float32)


def test_fault_70_71_weights_and_arguments_touched_during_a_call():
    """Whatever another thread does, the call reads memory that is there."""
    net = crnn.RNN(16, 128)
    x = long_call(net)
    h0 = np.zeros((1, 16, 128), np.float32)
    results, entered = [], threading.Event()

    def compute():
        entered.set()
        results.append(net(x, h0))

    thread = in_another_thread(compute)
    entered.wait()
    while thread.is_alive():
        net.weight_hh_l0 = np.zeros((128, 128), np.float32)
        net.load_state_dict(net.state_dict())
        for array in net.weight_ih_l0, net.bias_hh_l0:
            with pytest.raises(ValueError):
                array.resize((1,), refcheck=False)
        for array in x, h0:
            if not results:
                with contextlib.suppress(ValueError):  # when the call has just ended
                    array.resize((1,), refcheck=False)
    thread.join()
    assert np.isfinite(results[0][0]).all()
    check_usable(net)


def test_fault_71_arguments_of_a_running_call_cannot_be_resized():
    net = crnn.RNN(16, 128)
    x = long_call(net, 400)
    shape, refused_once, started = x.shape, False, threading.Event()

    def compute():
        started.set()
        net(x)

    thread = in_another_thread(compute)
    started.wait()
    while thread.is_alive() and not refused_once:
        try:
            x.resize((*shape[:2], 17), refcheck=False)
        except ValueError:
            refused_once = True
        else:
            x.resize(shape, refcheck=False)
    thread.join()
    assert refused_once
    x.resize((1,), refcheck=False)  # nothing holds it any longer
    check_usable(net)


def test_fault_71_arguments_that_a_pullback_reads_cannot_be_resized():
    net, x, hx = network(), draw(T, B, I), draw(1, B, H)
    output, _, pullback = net.vjp(x, hx)
    expected = pullback(output)
    for array in x, hx:
        with pytest.raises(ValueError, match="resize"):
            array.resize((1,), refcheck=False)
    assert all(
        same_bits(*pair)
        for pair in zip(pullback(output).values(), expected.values(), strict=True)
    )
    del pullback
    for array in x, hx:
        array.resize((1,), refcheck=False)


def test_fault_71_arrays_outlive_their_network_and_the_reverse():
    net = network()
    weight, parameters = net.weight_ih_l0, net.state_dict()
    with pytest.raises(ValueError):
        weight.resize((1,), refcheck=False)
    before = weight.tobytes()
    del net
    gc.collect()
    assert weight.tobytes() == before
    weight[:] = 1
    assert parameters["weight_ih_l0"] is weight
    net = network()
    old = net.weight_ih_l0
    net.double().float()
    old[:] = np.nan
    check_usable(net)


def test_fault_71_array_objects_may_be_bent():
    """What users do to the shape of a parameter's array does not reach the kernels."""
    net, x = network(), draw(T, B, I)
    expected = net(x)
    bends = [("shape", (I * H,)), ("strides", (0, 0)), ("dtype", np.int32)]
    for name, value in bends:
        bent = network()
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            setattr(bent.weight_ih_l0, name, value)
        assert all(map(same_bits, bent(x), expected))
        with contextlib.suppress(Exception):
            bent.weight_ih_l0 = np.zeros((H, I), np.float32)
        assert np.isfinite(bent(x)[0]).all()
