"""Recurrent networks that are fitted to real sequences, by scikit-learn's conventions.

| class | maps |
| --- | --- |
| `SequenceClassifier` | a sequence, or a pair of them, to a class |
| `SequenceRegressor` | a sequence to numbers, such as the next ones of a series |
| `SequenceTagger` | each step of a sequence to a class |
"""

from .base import Estimator, NotFittedError
from .classifier import SequenceClassifier
from .regressor import SequenceRegressor
from .tagger import SequenceTagger

__all__ = [
    "Estimator",
    "NotFittedError",
    "SequenceClassifier",
    "SequenceRegressor",
    "SequenceTagger",
]
