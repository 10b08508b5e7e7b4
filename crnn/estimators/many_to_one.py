"""From whole sequences to one row of numbers each: embedding, RNN, pooling, readout."""

import numpy as np

from ..layers import Readout
from ..sequences import valid
from .base import Estimator
from .encoder import encode, encode_vjp, make_encoder, named


class ManyToOne(Estimator):
    __doc__ = """A network that reads a sequence, or two, and says one thing.

        states = RNN(embedded or standardised sequence)
        u = the last states of both directions, or mean or maximum of all over time
        y = Readout(u), for a pair Readout(u, v, |u - v|, u * v) with the same RNN

    Args:
        pooling: "last", "mean" or "max".
        pairs: whether each of X is a pair of sequences.

    """ + Estimator.__doc__.split("\n\n    ", 2)[2]

    def __init__(self, *args, pooling="last", pairs=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.pooling = pooling
        self.pairs = pairs

    def _outputs(self) -> int:
        """How many numbers the readout gives."""
        raise NotImplementedError

    def _loss_of(self, outputs, targets) -> tuple[float, np.ndarray]:
        raise NotImplementedError

    def _sides(self, X) -> list[list]:
        """X as one list of sequences, or for pairs two."""
        if not self.pairs:
            return [list(X)]
        return [[pair[0] for pair in X], [pair[1] for pair in X]]

    def _learn_inputs(self, X) -> tuple[list, np.ndarray]:
        if self.pooling not in ("last", "mean", "max"):
            raise ValueError(
                f'pooling must be "last", "mean" or "max", not {self.pooling!r}'
            )
        sides = self._sides(X)
        self.encoder_ = self._input_encoder().learn([s for side in sides for s in side])
        examples = self._examples(X)
        return examples, np.array([max(map(len, example)) for example in examples])

    def _examples(self, X) -> list[tuple]:
        """A tuple of one or two arrays for each of X."""
        return list(zip(*map(self.encoder_, self._sides(X)), strict=True))

    def _make_layers(self) -> dict:
        layers, width = make_encoder(self)
        readout = Readout(width * (4 if self.pairs else 1), self._outputs())
        return layers | {"readout": readout}

    def _gradients(self, examples):
        *inputs, targets = zip(*examples, strict=True)
        outputs, pullback = self._vjp(inputs)
        loss, d_outputs = self._loss_of(outputs, np.array(targets))
        return loss, pullback(d_outputs)

    def _loss(self, examples):
        *inputs, targets = zip(*examples, strict=True)
        return self._loss_of(self._run(inputs), np.array(targets))[0]

    def _predict_rows(self, X, at_a_time: int = 256) -> np.ndarray:
        """The readout's outputs, (N, outputs); each has the same bits in any batch."""
        layers = self._check_fitted()
        examples = self._examples(X)
        rows = np.empty((len(examples), layers["readout"].output_size), np.float32)
        order = np.argsort([len(example[0]) for example in examples], kind="stable")
        for first in range(0, len(order), at_a_time):
            part = order[first : first + at_a_time]
            inputs = zip(*(examples[i] for i in part), strict=True)
            rows[part] = self._run(list(inputs))
        return rows

    def _run(self, inputs) -> np.ndarray:
        """The readout's outputs for one or two tuples of arrays."""
        output, h_n, lengths = encode(self.layers_, _chained(inputs))
        u, _ = self._pool(output, h_n, lengths)
        return self.layers_["readout"](_joined(u)[0] if self.pairs else u)

    def _vjp(self, inputs):
        """(what _run gives, pullback)."""
        layers, arrays = self.layers_, _chained(inputs)
        output, h_n, lengths, back_to_encoder = encode_vjp(layers, arrays)
        u, back_to_states = self._pool(output, h_n, lengths)
        features, back_to_u = _joined(u) if self.pairs else (u, lambda d: d)
        outputs, back_to_features = layers["readout"].vjp(features)

        def pullback(d_outputs):
            gradients = back_to_features(d_outputs)
            d_u = back_to_u(gradients["input"])
            return named("readout", gradients) | back_to_encoder(*back_to_states(d_u))

        return outputs, pullback

    def _pool(self, output, h_n, lengths):
        """(u, from the gradient by u to those by output and h_n)."""
        D = 2 if self.bidirectional else 1
        if self.pooling == "last":
            return np.concatenate(h_n[-D:], axis=1), lambda d: (None, _last(h_n, d, D))
        mask = valid(lengths, len(output)).T[:, :, None]
        if self.pooling == "mean":
            count = lengths.astype(output.dtype)[:, None]
            return output.sum(axis=0) / count, lambda d: (mask * (d / count), None)
        where = np.where(mask, output, -np.inf).argmax(axis=0)[None]

        def pullback(d):
            d_output = np.zeros_like(output)
            np.put_along_axis(d_output, where, d[None], axis=0)
            return d_output, None

        return np.take_along_axis(output, where, axis=0)[0], pullback


def _chained(inputs) -> list:
    return [array for side in inputs for array in side]


def _last(h_n, d_u, D: int) -> np.ndarray:
    d_h_n = np.zeros_like(h_n)
    d_h_n[-D:] = np.split(d_u, D, axis=1)
    return d_h_n


def _joined(both: np.ndarray):
    """Features of pairs, whose first halves and then second ones are the rows."""
    u, v = np.split(both, 2)
    sign, width = np.sign(u - v), u.shape[1]

    def pullback(d):
        d_u, d_v, d_gap, d_product = np.split(d, np.arange(1, 4) * width, axis=1)
        d_gap = d_gap * sign
        return np.concatenate(
            [d_u + d_gap + d_product * v, d_v - d_gap + d_product * u]
        )

    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1), pullback
