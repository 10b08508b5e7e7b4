"""The lower part of every estimator's network: an embedding, for tokens, and an RNN."""

from collections.abc import Mapping

import numpy as np

from ..layers import Embedding
from ..rnn import RNN
from ..sequences import pad


def make_encoder(estimator) -> tuple[dict, int]:
    """(layers by name, features of the RNN's output), by an estimator's attributes."""
    layers, width = {}, estimator.encoder_.size
    if estimator.encoder_.vocabulary is not None:
        layers["embedding"] = Embedding(width, estimator.embedding_dim, padding_idx=0)
        width = estimator.embedding_dim
    layers["rnn"] = RNN(width, estimator.hidden_size, **estimator._rnn_options())
    return layers, estimator.hidden_size * (2 if estimator.bidirectional else 1)


def encode(layers: Mapping, arrays):
    """(output, h_n, lengths) of the RNN for arrays that the input encoder made."""
    x, lengths = pad(arrays)
    if "embedding" in layers:
        x = layers["embedding"](x)
    return *layers["rnn"](x, lengths=lengths), lengths


def encode_vjp(layers: Mapping, arrays):
    """What `encode` returns, and a pullback.

    It goes from (d_output, d_h_n), each of which may be None, to the gradients
    by the names of the whole network.
    """
    x, lengths = pad(arrays)
    back_to_vectors = None
    if "embedding" in layers:
        x, back_to_vectors = layers["embedding"].vjp(x)
    output, h_n, back_to_input = layers["rnn"].vjp(x, lengths=lengths)

    def pullback(d_output=None, d_h_n=None):
        of_rnn = back_to_input(d_output, d_h_n)
        gradients = named("rnn", of_rnn)
        if back_to_vectors is not None:
            gradients |= named("embedding", back_to_vectors(of_rnn["input"]))
        return gradients

    return output, h_n, lengths, pullback


def named(layer: str, gradients: Mapping) -> dict[str, np.ndarray]:
    """The gradients of a layer's parameters under the names of the whole network's."""
    return {
        f"{layer}.{name}": gradient
        for name, gradient in gradients.items()
        if name not in ("input", "hx")
    }


def own(layer: str, arrays: Mapping) -> dict[str, np.ndarray]:
    """The arrays of one layer, out of the whole network's."""
    prefix = f"{layer}."
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
