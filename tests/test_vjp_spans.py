"""Gradients of wide layers, and of batches that go back in several spans of steps."""

import itertools

import numpy as np
import pytest
from reference import assert_gradient, gradients_of
from shapes import draw

import crnn
from crnn import _core


def test_wide_layers():
    """Rows that would share few sets of a cache, or lines; by all instruction sets."""
    for H, two in (401, False), (256, True):
        crnn.manual_seed(7)
        net, width = crnn.RNN(5, H, bidirectional=two), H * (1 + two)
        x, d_output = draw(30, 10, 5), draw(30, 10, width)
        found = net.vjp(x)[2](d_output)
        d_h_n = np.zeros((1 + two, 10, H))
        right = gradients_of(net, x, None, None, d_output, d_h_n)
        for name, value in found.items():
            assert_gradient(value, right[name])
            assert value.flags.c_contiguous
        for isa in crnn.isas():
            before = _core.set_isa(isa)
            with crnn.threads(1):
                again = net.vjp(x)[2](d_output)
            _core.set_isa(before)
            assert all(found[n].tobytes() == again[n].tobytes() for n in found), isa


def case_of_several_spans(H, two, batch_first, dtype, kind):
    """A network, the arguments of a call that goes back in several spans, gradients."""
    T, B = 61, 512 * 1024 // (4 * H) // 10 + 1
    crnn.manual_seed(7)
    net = crnn.RNN(5, H, 2, bidirectional=two, batch_first=batch_first, dtype=dtype)
    x = draw(T, B, 5, dtype=dtype)
    d_output = draw(T, B, H * (1 + two), dtype=dtype, seed=1)
    if batch_first:
        x, d_output = x.swapaxes(0, 1), d_output.swapaxes(0, 1).copy()
    hx, d_h_n = (draw(2 * (1 + two), B, H, dtype=dtype, seed=n) for n in (2, 3))
    lengths = None if kind == "full" else np.arange(B) * 7 % T + 1
    return net, (x, hx, lengths), (d_output, d_h_n)


@pytest.mark.parametrize("kind", ["full", "ragged"])
@pytest.mark.parametrize(
    "H, two, batch_first, dtype",
    [
        (256, True, False, "float32"),
        (401, False, True, "float32"),
        (520, False, True, "float32"),
        (370, True, False, "float64"),
    ],
)
def test_several_spans(H, two, batch_first, dtype, kind):
    """Right, and the same bits by every instruction set and number of threads."""
    net, (x, hx, lengths), gradients = case_of_several_spans(
        H, two, batch_first, dtype, kind
    )
    pullback = net.vjp(x, hx, lengths=lengths)[2]
    found = pullback(*gradients)
    right = gradients_of(net, x, hx, lengths, *gradients)
    for name, value in found.items():
        assert_gradient(value, right[name])
        assert value.flags.c_contiguous
    for isa, threads in itertools.product(crnn.isas()[1:], (1, 2)):
        before = _core.set_isa(isa)
        with crnn.threads(threads):
            again = net.vjp(x, hx, lengths=lengths)[2](*gradients)
        _core.set_isa(before)
        assert all(found[n].tobytes() == again[n].tobytes() for n in found), isa


@pytest.mark.parametrize("two", [False, True])
def test_many_rows_of_inputs_wherever_they_lie(two):
    """Sums that are turned back at last have the bits of those that are not."""
    crnn.manual_seed(8)
    net = crnn.RNN(40, 24, bidirectional=two)
    x, d_output = draw(80, 30, 40), draw(80, 30, 24 * (1 + two), seed=1)
    right = net.vjp(x)[2](d_output)
    aligned = np.empty(x.size + 32, np.float32)
    for offset in 0, 1, 16:
        start = (-aligned.ctypes.data // 4 + offset) % 16
        same = aligned[start : start + x.size].reshape(x.shape)
        same[...] = x
        found = net.vjp(same)[2](d_output)
        assert all(found[n].tobytes() == right[n].tobytes() for n in right), offset


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("inputs, two", [(3, False), (40, True)])
def test_sums_of_many_rows(inputs, two, ragged):
    """As exact as torch's where all terms have one sign, which many additions lose."""
    crnn.manual_seed(9)
    T, B = 61, 300
    net = crnn.RNN(inputs, 24, bidirectional=two)
    x, d_output = np.abs(draw(T, B, inputs)), np.ones((T, B, 24 * (1 + two)), "f4")
    lengths = np.arange(B) * 7 % T + 1 if ragged else None
    found = net.vjp(x, lengths=lengths)[2](d_output)
    d_h_n = np.zeros((1 + two, B, 24))
    right = gradients_of(net, x, None, lengths, d_output, d_h_n)
    for name, value in found.items():
        error = np.abs(value - right[name]).max() / np.abs(right[name]).max()
        assert error < 2e-6, name
    for isa, threads in itertools.product(crnn.isas(), (1, 2)):
        before = _core.set_isa(isa)
        with crnn.threads(threads):
            again = net.vjp(x, lengths=lengths)[2](d_output)
        _core.set_isa(before)
        assert all(found[n].tobytes() == again[n].tobytes() for n in found), isa


@pytest.mark.parametrize("schedule", [("columns", 2)], indirect=True)
def test_chains_that_threads_go_through_in_pieces(schedule):
    """So that they look at the watch: a wide layer's steps by ones and twos."""
    crnn.manual_seed(10)
    net = crnn.RNN(3, 1536)
    x, d_output = draw(12, 32, 3), draw(12, 32, 1536, seed=1)
    found = net.vjp(x)[2](d_output)
    with crnn.threads(1):
        right = net.vjp(x)[2](d_output)
    assert all(found[n].tobytes() == right[n].tobytes() for n in found)
