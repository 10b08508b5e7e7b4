"""Calls large enough to be worth several threads, and their results from one thread.

A call may be divided by rows of the batch, directions, layers, or columns of one row.
"""

import numpy as np
from faults import same_bits
from shapes import draw

import crnn


def large_calls(dtype="float32", seed=0):
    """Functions of no arguments, each of which returns the arrays of one call."""
    crnn.manual_seed(seed)
    rows = crnn.RNN(16, 128, dtype=dtype)
    ragged = crnn.RNN(16, 64, 2, batch_first=True, bidirectional=True, dtype=dtype)
    both = crnn.RNN(8, 128, bidirectional=True, dtype=dtype)
    layers = crnn.RNN(8, 128, 3, dtype=dtype)
    columns = crnn.RNN(8, 384, nonlinearity="relu", dtype=dtype)
    cell = crnn.RNNCell(256, 256, dtype=dtype)
    x, one = draw(24, 17, 16, dtype=dtype), draw(40, 1, 8, dtype=dtype)
    many = draw(33, 256, dtype=dtype)
    lengths = np.arange(24) % 17 + 1
    return [
        lambda: rows(x),
        lambda: ragged(x, lengths=lengths),
        lambda: both(one),
        lambda: layers(one),
        lambda: columns(one),
        lambda: (cell(many),),
    ]


def results_alone(calls):
    """What the calls give on one thread."""
    with crnn.threads(1):
        return [call() for call in calls]


def check_calls(calls, expected, repeats=1):
    """The calls give these bits."""
    for _ in range(repeats):
        for call, right in zip(calls, expected, strict=True):
            assert all(map(same_bits, call(), right))


# For interpreters of their own: the same calls, as if there were three CPUs.
PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
import crnn
from crnn import _core
from faults import check_usable, network, same_bits
from threaded import check_calls, large_calls, results_alone

_core.assume_cpus(3)
calls = large_calls()
expected = results_alone(calls)
"""
