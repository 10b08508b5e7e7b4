"""oneDNN's RNN primitive, called in C++ without Python: one for each layer.

Needs a C++ compiler and oneDNN's development package (Debian: libdnnl-dev).
"""

import ctypes
from pathlib import Path

import numpy as np
from native import library

from peers import Engine, Unsupported, drop_padding, refuse_ragged

lib = library(Path(__file__).with_name("onednn_layer.cpp"), "-std=c++17", "-ldnnl")
lib.make_layer.restype = ctypes.c_void_p
lib.run_layers.restype = ctypes.c_double
lib.version_text.restype = ctypes.c_char_p

VERSION = lib.version_text().decode()


class Sizes(ctypes.Structure):
    """The struct sizes of onednn_layer.cpp."""

    _fields_ = [(name, ctypes.c_ssize_t) for name in "TBIHD"]


def make_layer(job, weights, x, h_n, h_0=None):
    """(handle of a layer, what it writes its output (T, B, D*H) to).

    The arrays must be kept as long as the handle is used.
    """
    case = job.case
    y = np.empty((case.T, case.B, case.D * case.H), np.float32)
    sizes = Sizes(case.T, case.B, x.shape[2], case.H, case.D)
    arrays = [
        None if a is None else a.ctypes.data_as(ctypes.c_void_p)
        for a in (x, *weights, y, h_n, h_0)
    ]
    relu = case.nonlinearity == "relu"
    handle = lib.make_layer(ctypes.byref(sizes), relu, *arrays)
    if not handle:
        raise Unsupported("oneDNN refuses it")
    return handle, y


def stacked(directions):
    """w_ih (D, I, H), w_hh (D, H, H), b (D, H) of one layer."""
    return [np.stack(w) for w in zip(*directions, strict=True)]


def sequence(job):
    refuse_ragged(job)
    case, x = job.case, job.x
    h_n = np.empty((case.L, case.D, case.B, case.H), np.float32)
    handles, kept = (ctypes.c_void_p * case.L)(), []
    for layer, directions in enumerate(job.layers):
        weights = stacked(directions)
        kept += [x, weights]
        handles[layer], x = make_layer(job, weights, x, h_n[layer])

    def repeat(n):
        return lib.run_layers(handles, case.L, n)

    def read(_):
        return drop_padding(job, x, h_n.reshape(-1, case.B, case.H))

    return Engine(lambda: repeat(1), read, repeat, keep=kept)


def stream(job):
    """Two steps that hand the state to each other."""
    weights = stacked(job.layers[0])
    states = np.zeros((2, 1, job.case.B, job.case.H), np.float32)
    pairs = [make_layer(job, weights, job.x, states[i], states[1 - i]) for i in (1, 0)]
    handles = (ctypes.c_void_p * 2)(*(handle for handle, _ in pairs))

    def repeat(n):
        return lib.run_layers(handles, 2, n) / 2

    return Engine(
        lambda: repeat(1),
        lambda _: (pairs[0][1], None),
        repeat,
        keep=(job, weights, states),
    )
