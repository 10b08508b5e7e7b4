"""What estimators share whose predictions are sequences of tokens."""

import numpy as np

from ..distance import error_rate
from ..sequences import Vocabulary
from .base import Estimator


def check_positive(name: str, value) -> None:
    """ValueError unless value is an integer of at least 1."""
    if not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} must be at least 1, got {value!r}")


class ToSequence(Estimator):
    """An estimator that says sequences of tokens of any lengths.

    y is a list of them: strings, or lists of tokens (strings or integers); predictions
    are of the same kind.

    Args:
        beam_width: how many hypotheses a search keeps; 1 is greedy.

    Attributes:
        vocabulary_: the tokens, a `crnn.sequences.Vocabulary`.
        is_text_: whether predictions are strings.
    """

    def __init__(self, *args, beam_width=1, **kwargs):
        super().__init__(*args, **kwargs)
        self.beam_width = beam_width

    def _learn_targets(self, y, **special) -> list[np.ndarray]:
        """The ids of the targets; special names the special tokens, None for none."""
        self.is_text_ = all(isinstance(target, str) for target in y)
        y = [t.tolist() if isinstance(t, np.ndarray) else t for t in y]
        self.vocabulary_ = Vocabulary.of(y, unknown=None, **special)
        return [self.vocabulary_.encode(target) for target in y]

    def _said(self, ids):
        """The tokens of ids, as a string where the targets were."""
        tokens = self.vocabulary_.decode(ids)
        return "".join(tokens) if self.is_text_ else tokens

    def _inputs(self, X) -> list[np.ndarray]:
        """X as the network takes it."""
        return self.encoder_(X)

    def _search(self, inputs: list) -> list[np.ndarray]:
        """The ids that the network says of some inputs."""
        raise NotImplementedError

    def predict(self, X, at_a_time: int = 256) -> list:
        """The sequence that is said of each of X: the same alone and among others.

        Args:
            X: as for `fit`.
            at_a_time: how many are computed together.
        """
        self._check_fitted()
        check_positive("beam_width", self.beam_width)
        inputs = self._inputs(X)
        order = np.argsort([len(x) for x in inputs], kind="stable")
        found = [None] * len(inputs)
        for first in range(0, len(order), at_a_time):
            part = order[first : first + at_a_time]
            for i, ids in zip(
                part, self._search([inputs[i] for i in part]), strict=True
            ):
                found[i] = self._said(ids)
        return found

    def score(self, X, y) -> float:
        """The share of X of which exactly the right sequence is said."""
        pairs = zip(self.predict(X), y, strict=True)
        return float(np.mean([list(said) == list(truth) for said, truth in pairs]))

    def error_rate(self, X, y) -> float:
        """Insertions, deletions and replacements needed, for each token of y."""
        return error_rate(self.predict(X), y)
