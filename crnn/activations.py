"""What is done to the numbers of a readout: softmax, its logarithm, and the others."""

import numpy as np


def softmax(x: np.ndarray) -> np.ndarray:
    """Probabilities exp(x) / sum(exp(x)) along the last axis, of any finite x."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Logarithms of the probabilities along the last axis, of any finite x."""
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)) without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _softmax_gradient(y, d_y):
    return y * (d_y - (y * d_y).sum(axis=-1, keepdims=True))


# An activation, and from its result and the gradient by it to that by its argument.
ACTIVATIONS = {
    None: (lambda x: x, lambda y, d_y: d_y),
    "softmax": (softmax, _softmax_gradient),
    "sigmoid": (sigmoid, lambda y, d_y: d_y * (y * (1 - y))),
    "tanh": (np.tanh, lambda y, d_y: d_y * (1 - y * y)),
    "relu": (lambda x: np.maximum(x, 0), lambda y, d_y: np.where(y > 0, d_y, 0)),
}
