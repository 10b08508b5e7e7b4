"""An encoder: a recurrent network over tokens or vectors, and what it passes on."""

from .decoder import named
from .layers import Embedding
from .rnn import RNN


class Encoder:
    """States of a sequence of tokens or vectors.

    Sizes: T time, B batch, L layers, D directions, H hidden_size.

    Args:
        input_size: features of the vectors, or how many tokens there are.
        hidden_size: H.
        embedding_dim: features of a token's vector; None if the input is vectors.
        dtype: float32 (the default) or float64.
        rnn: more arguments of `RNN`.
    """

    def __init__(self, input_size, hidden_size, embedding_dim=None, dtype=None, **rnn):
        self.embedding, self.parts = None, {}
        if embedding_dim is not None:
            self.embedding = Embedding(input_size, embedding_dim, dtype=dtype)
            self.parts["embedding"] = self.embedding
            input_size = embedding_dim
        self.rnn = self.parts["rnn"] = RNN(input_size, hidden_size, **rnn, dtype=dtype)

    def __call__(self, input, lengths):
        """(output, h): (T, B, D*H), and (L, B, D*H), the last states of each layer."""
        x = input if self.embedding is None else self.embedding(input)
        output, h_n = self.rnn(x, lengths=lengths)
        return output, self._joined(h_n)

    def vjp(self, input, lengths):
        """A call that can be backpropagated.

        Args:
            input: (T, B) tokens or (T, B, I) vectors.
            lengths: B integers in 1 .. T.

        Returns:
            (output, h, pullback): pullback(d_output=None, d_h=None) is a dict of the
            gradients by parameter ("rnn.weight_hh_l0") and, of vectors, by "input".
        """
        x = input
        if self.embedding is not None:
            x, back_embedding = self.embedding.vjp(input)
        output, h_n, back_rnn = self.rnn.vjp(x, lengths=lengths)

        def pullback(d_output=None, d_h=None):
            found = {
                "rnn": back_rnn(d_output, None if d_h is None else self._parted(d_h))
            }
            d_x = found["rnn"].pop("input")
            if self.embedding is None:
                return named(found) | {"input": d_x}
            return named(found | {"embedding": back_embedding(d_x)})

        return output, self._joined(h_n), pullback

    def _joined(self, h_n):
        """(L*D, B, H) to (L, B, D*H)."""
        L = self.rnn.num_layers
        LD, B, H = h_n.shape
        return h_n.reshape(L, LD // L, B, H).swapaxes(1, 2).reshape(L, B, -1)

    def _parted(self, h):
        """(L, B, D*H) to (L*D, B, H)."""
        L, B, DH = h.shape
        H = self.rnn.hidden_size
        return h.reshape(L, B, DH // H, H).swapaxes(1, 2).reshape(-1, B, H)
