"""SequenceTagger: a class for each step of each sequence."""

import numpy as np

from ..activations import softmax
from ..layers import Readout
from ..sequences import valid
from ..training import cross_entropy
from .base import Estimator
from .encoder import encode, encode_vjp, make_encoder, named


class SequenceTagger(Estimator):
    __doc__ = """Names a class for each step of a sequence.

    X is a list of sequences as `SequenceClassifier` takes them; y has for each of them
    as many tags as it has steps.

    Attributes:
        classes_: the tags, sorted; columns of `predict_proba`.

    Example:
        >>> X, y = ["abba", "bab", "aab"], ["xyyx", "yxy", "xxy"]
        >>> model = SequenceTagger(8, epochs=60).fit(X, [list(tags) for tags in y])
        >>> "".join(model.predict(["baab"])[0])
        'yxxy'

    """ + Estimator.__doc__.split("\n\n    ", 2)[2]

    _FITTED = ("encoder_", "classes_")
    _KIND = "classifier"

    def _learn(self, X, y):
        tags = [np.asarray(list(t)) for t in y]
        for i, (sequence, own) in enumerate(zip(X, tags, strict=True)):
            if len(sequence) != len(own):
                raise ValueError(
                    f"sequence {i}: {len(sequence)} steps, {len(own)} tags"
                )
        self.encoder_ = self._input_encoder().learn(X)
        self.classes_, ids = np.unique(np.concatenate(tags), return_inverse=True)
        lengths = np.array([len(t) for t in tags])
        ids = np.split(ids, np.cumsum(lengths)[:-1])
        return list(zip(self.encoder_(X), ids, strict=True)), lengths

    def _make_layers(self):
        layers, width = make_encoder(self)
        return layers | {"readout": Readout(width, len(self.classes_))}

    def _gradients(self, examples):
        arrays, targets = zip(*examples, strict=True)
        outputs, pullback = self._vjp(arrays)
        loss, d_outputs = cross_entropy(outputs, np.concatenate(targets))
        return loss, pullback(d_outputs)

    def _loss(self, examples):
        arrays, targets = zip(*examples, strict=True)
        return cross_entropy(self._run(arrays), np.concatenate(targets))[0]

    def _run(self, arrays) -> np.ndarray:
        """The readout's outputs: a row for each step that is there, by sequence."""
        output, _, lengths = encode(self.layers_, arrays)
        return self.layers_["readout"](output.swapaxes(0, 1)[valid(lengths)])

    def _vjp(self, arrays):
        """(what _run gives, pullback)."""
        output, _, lengths, back_to_encoder = encode_vjp(self.layers_, arrays)
        mask = valid(lengths)
        rows = output.swapaxes(0, 1)[mask]
        outputs, back_to_rows = self.layers_["readout"].vjp(rows)

        def pullback(d_outputs):
            gradients = back_to_rows(d_outputs)
            d_output = np.zeros_like(output)
            d_output.swapaxes(0, 1)[mask] = gradients["input"]
            return named("readout", gradients) | back_to_encoder(d_output)

        return outputs, pullback

    def _predict_rows(self, X, at_a_time: int = 256) -> list[np.ndarray]:
        self._check_fitted()
        arrays = self.encoder_(X)
        lengths = np.array([len(a) for a in arrays])
        order, rows = np.argsort(lengths, kind="stable"), [None] * len(arrays)
        for first in range(0, len(order), at_a_time):
            part = order[first : first + at_a_time]
            outputs = self._run([arrays[i] for i in part])
            ends = np.cumsum(lengths[part])[:-1]
            for i, row in zip(part, np.split(outputs, ends), strict=True):
                rows[i] = row
        return rows

    def predict_proba(self, X) -> list[np.ndarray]:
        """Probabilities of the tags: for each sequence (T, classes)."""
        return [softmax(rows) for rows in self._predict_rows(X)]

    def predict(self, X) -> list[np.ndarray]:
        """The most probable tags: for each sequence (T,)."""
        return [self.classes_[rows.argmax(axis=1)] for rows in self._predict_rows(X)]

    def score(self, X, y) -> float:
        """The share of all steps whose tag is predicted rightly."""
        truth = np.concatenate([np.asarray(list(tags)) for tags in y])
        return float(np.mean(np.concatenate(self.predict(X)) == truth))
