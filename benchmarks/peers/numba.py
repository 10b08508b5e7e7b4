"""numba: plain loops under @njit, four rows of weights at a time."""

import math

import numba
import numpy as np

from peers import Engine, drop_padding, refuse_ragged

VERSION = numba.__version__


@numba.njit(fastmath=True)
def add_product(a, x, w):
    """a (H,) += x (K,) @ w (K, H)."""
    K, H = w.shape
    k = 0
    while k + 4 <= K:
        x0, x1, x2, x3 = x[k], x[k + 1], x[k + 2], x[k + 3]
        for j in range(H):
            a[j] += (
                x0 * w[k, j] + x1 * w[k + 1, j] + x2 * w[k + 2, j] + x3 * w[k + 3, j]
            )
        k += 4
    for i in range(k, K):
        xi = x[i]
        for j in range(H):
            a[j] += xi * w[i, j]


@numba.njit(fastmath=True)
def run_step(x, h, w_ih, w_hh, b, relu, out):
    """The next states of all rows, from h (B, H) into out (B, H)."""
    B, H = out.shape
    for row in range(B):
        a = out[row]
        a[:] = b
        add_product(a, x[row], w_ih)
        add_product(a, h[row], w_hh)
        for j in range(H):
            a[j] = max(a[j], np.float32(0)) if relu else math.tanh(a[j])


@numba.njit(fastmath=True)
def run_layer(x, w_ih, w_hh, b, relu, reverse):
    """The states (T, B, H) of one direction over x (T, B, I)."""
    T, B, _ = x.shape
    out = np.empty((T, B, b.size), np.float32)
    h = np.zeros((B, b.size), np.float32)
    for i in range(T):
        t = T - 1 - i if reverse else i
        run_step(x[t], h, w_ih, w_hh, b, relu, out[t])
        h = out[t]
    return out


def sequence(job):
    refuse_ragged(job)
    layers, relu = job.layers, job.case.nonlinearity == "relu"

    def run():
        x, h_n = job.x, []
        for directions in layers:
            outs = [
                run_layer(x, *weights, relu, d == 1)
                for d, weights in enumerate(directions)
            ]
            h_n += [out[-1 if d == 0 else 0] for d, out in enumerate(outs)]
            x = outs[0] if len(outs) == 1 else np.concatenate(outs, axis=2)
        return x, np.stack(h_n)

    return Engine(run, lambda results: drop_padding(job, *results))


def stream(job):
    [[weights]] = job.layers
    x = job.x[0]
    h, new = np.zeros((2, job.case.B, job.case.H), np.float32)

    def run():
        nonlocal h, new
        run_step(x, h, *weights, False, new)
        h, new = new, h
        return h

    return Engine(run, lambda h: (h, None))
