"""NumPy by hand: the projection as one product, then step by step, all in place."""

import numpy as np

from peers import Engine, drop_padding, refuse_ragged

VERSION = np.__version__


def run_layer(x, weights, act, out, reverse):
    """x (T, B, I); writes the states into out (T, B, H) and returns the last ones."""
    w_ih, w_hh, b = weights
    np.matmul(x, w_ih, out=out)
    out += b
    h, product = None, np.empty_like(out[0])
    for a in out[::-1] if reverse else out:
        if h is not None:
            a += np.matmul(h, w_hh, out=product)
        h = act(a, out=a)
    return h


def sequence(job):
    refuse_ragged(job)
    case, layers = job.case, job.layers
    relu = case.nonlinearity == "relu"
    act = (lambda a, out: np.maximum(a, 0, out=out)) if relu else np.tanh

    def run():
        x, h_n = job.x, []
        for directions in layers:
            outs = [np.empty((case.T, case.B, case.H), np.float32) for _ in directions]
            for d, (weights, out) in enumerate(zip(directions, outs, strict=True)):
                h_n.append(run_layer(x, weights, act, out, reverse=d == 1))
            x = outs[0] if len(outs) == 1 else np.concatenate(outs, axis=2)
        return x, np.stack(h_n)

    return Engine(run, lambda results: drop_padding(job, *results))


def stream(job):
    [[(w_ih, w_hh, b)]] = job.layers
    x = job.x[0]
    h = np.zeros((job.case.B, job.case.H), np.float32)

    def run():
        a = x @ w_ih
        a += b
        a += h @ w_hh
        return np.tanh(a, out=h)

    return Engine(run, lambda h: (h, None))
