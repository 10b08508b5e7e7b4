"""A decoder: a recurrent network that says one token after the other."""

from collections.abc import Mapping

import numpy as np

from ..attention import DotAttention
from ..layers import Embedding, Readout
from ..rnn import RNN
from .encoder import named


def make_decoder(
    num_tokens,
    embedding_dim,
    hidden_size,
    features=0,
    attention=False,
    dtype=None,
    **rnn,
) -> dict:
    """The layers of a `Decoder`, by name.

    Args:
        num_tokens: V.
        embedding_dim: features of a token's vector.
        hidden_size: H.
        features: F that stand beside each token.
        attention: whether there is a memory to look at, of H features.
        dtype: float32 (the default) or float64.
        rnn: more arguments of `RNN`.
    """
    width = embedding_dim + features
    layers = {
        "decoder_embedding": Embedding(num_tokens, embedding_dim, dtype=dtype),
        "decoder_rnn": RNN(width, hidden_size, **rnn, dtype=dtype),
    }
    if attention:
        layers["mix"] = Readout(2 * hidden_size, hidden_size, "tanh", dtype=dtype)
    return layers | {"readout": Readout(hidden_size, num_tokens, dtype=dtype)}


class Decoder:
    """From the token before to the logits of the next one.

        e_t = [embedding(token_t); features],  h_t = rnn(e_t, h_(t-1)),
        logits_t = W h_t + b

    With attention h_t is replaced by tanh(W_c [h_t; c_t]), where c_t is what
    `DotAttention` remembers of an encoder.  Nothing of that goes back into the
    recurrence, so in training, where all tokens are known, the whole sequence is one
    call of the C core.

    Sizes: U steps, B batch, V tokens, L layers, H hidden_size, F features.

    Args:
        layers: of `make_decoder`, perhaps among others.
    """

    def __init__(self, layers: Mapping):
        self.embedding = layers["decoder_embedding"]
        self.rnn = layers["decoder_rnn"]
        self.mix = layers.get("mix")
        self.readout = layers["readout"]
        self.attend = None if self.mix is None else DotAttention()

    def vjp(self, tokens, lengths, state):
        """The logits after each of the tokens, and their backpropagation.

        Args:
            tokens: (U, B) integers, beginning with the start token.
            lengths: B integers in 1 .. U.
            state: a `State` of B rows.

        Returns:
            (logits, pullback): (N, V) of the N steps that are no padding, in the order
            of ``numpy.arange(U)[:, None] < lengths``; pullback(d_logits) is a dict of
            the gradients by parameter ("readout.bias"), "h", "memory", "features".
        """
        alive = np.arange(len(tokens))[:, None] < lengths
        vectors, back_embedding = self.embedding.vjp(tokens)
        x = _beside(vectors, state.features)
        output, _, back_rnn = self.rnn.vjp(x, state.h, lengths=lengths)
        rows = output[alive]
        if self.attend is not None:
            context, _, back_attend = self.attend.vjp(
                output, state.memory, state.lengths
            )
            rows, back_mix = self.mix.vjp(np.concatenate([rows, context[alive]], 1))
        logits, back_readout = self.readout.vjp(rows)

        def pullback(d_logits):
            of_readout = back_readout(d_logits)
            found, d_rows = named("readout", of_readout), of_readout["input"]
            d_output = np.zeros_like(output)
            if self.attend is not None:
                of_mix, d_context = back_mix(d_rows), np.zeros_like(output)
                d_rows, d_context[alive] = np.split(of_mix["input"], 2, axis=1)
                of_attend = back_attend(d_context)
                found |= named("mix", of_mix) | {"memory": of_attend["memory"]}
                d_output += of_attend["states"]
            d_output[alive] += d_rows
            of_rnn = back_rnn(d_output)
            d_vectors, d_beside = np.split(of_rnn["input"], [vectors.shape[2]], axis=2)
            of_embedding = back_embedding(np.ascontiguousarray(d_vectors))
            found |= named("decoder_rnn", of_rnn)
            found |= named("decoder_embedding", of_embedding)
            return found | {"h": of_rnn["hx"], "features": d_beside.sum(0)}

        return logits, pullback

    def step(self, tokens, state):
        """The logits (B, V) after one more token of each row, and the new state."""
        x = _beside(self.embedding(tokens[None]), state.features)
        output, h = self.rnn(x, state.h)
        rows = output[0]
        if self.attend is not None:
            context, _ = self.attend(output, state.memory, state.lengths)
            rows = self.mix(np.concatenate([rows, context[0]], 1))
        new = State(h, state.memory, state.lengths, state.features)
        return self.readout(rows), new


class State:
    """What a decoder knows of each row.

    Attributes:
        h: (L, B, H), of the recurrence.
        memory: (T, B, H) to attend to, or None; lengths: B integers, its steps.
        features: (B, F) that stand beside each token, or None.
    """

    def __init__(self, h, memory=None, lengths=None, features=None):
        self.h, self.memory, self.lengths, self.features = h, memory, lengths, features

    def take(self, rows):
        """The state of some rows, in this order."""
        memory, lengths, features = self.memory, self.lengths, self.features
        if memory is not None:
            lengths = lengths[rows]
            memory = memory[: lengths.max(initial=1), rows]
        return State(
            self.h[:, rows],
            memory,
            lengths,
            None if features is None else features[rows],
        )


def _beside(vectors, features):
    """(U, B, E) and (B, F) together: (U, B, E + F)."""
    if features is None:
        return vectors
    repeated = np.broadcast_to(features, (len(vectors), *features.shape))
    return np.concatenate([vectors, repeated], 2)
