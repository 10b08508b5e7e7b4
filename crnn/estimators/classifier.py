"""SequenceClassifier: a class for each sequence, or pair of them."""

import numpy as np

from ..activations import softmax
from ..training import cross_entropy
from .many_to_one import ManyToOne


class SequenceClassifier(ManyToOne):
    __doc__ = """Names the class of a sequence, or of a pair of sequences.

    X is a list of sequences of any lengths: strings, lists of tokens (strings or
    integers), or arrays (T, features); with ``pairs`` a list of pairs of such.  y has
    a class for each.

    Attributes:
        classes_: the classes, sorted; columns of `predict_proba`.

    Example:
        >>> X, y = ["la la", "ha ha ha", "la la la", "ha ha"], [0, 1, 0, 1]
        >>> SequenceClassifier(8, epochs=20).fit(X, y).predict(["ha ha ha ha"]).tolist()
        [1]

    """ + ManyToOne.__doc__.split("\n\n    ", 1)[1]

    _FITTED = ("encoder_", "classes_")
    _KIND = "classifier"

    def _learn(self, X, y):
        self.classes_, targets = np.unique(np.asarray(y), return_inverse=True)
        examples, lengths = self._learn_inputs(X)
        pairs = zip(examples, targets.tolist(), strict=True)
        return [(*example, target) for example, target in pairs], lengths

    def _outputs(self):
        return len(self.classes_)

    def _loss_of(self, outputs, targets):
        return cross_entropy(outputs, targets)

    def predict_proba(self, X) -> np.ndarray:
        """Probabilities of the classes, (N, classes)."""
        return softmax(self._predict_rows(X))

    def predict(self, X) -> np.ndarray:
        """The most probable class of each, (N,)."""
        rows = self._predict_rows(X)
        return self.classes_[rows.argmax(axis=1)]

    def score(self, X, y) -> float:
        """The share of X whose class is predicted rightly."""
        return float(np.mean(self.predict(X) == np.asarray(y)))
