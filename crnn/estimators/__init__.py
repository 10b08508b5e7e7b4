"""Recurrent networks that are fitted to real sequences, by scikit-learn's conventions.

| class | maps |
| --- | --- |
| `SequenceClassifier` | a sequence, or a pair of them, to a class |
| `SequenceRegressor` | a sequence to numbers, such as the next ones of a series |
| `SequenceTagger` | each step of a sequence to a class |
| `SequenceGenerator` | a vector or a picture to a sequence |
| `Seq2Seq` | a sequence to a sequence of another length |
| `SequenceTranscriber` | a sequence to a shorter one that nobody has aligned |
"""

from .base import Estimator, NotFittedError
from .classifier import SequenceClassifier
from .generator import SequenceGenerator
from .regressor import SequenceRegressor
from .seq2seq import Seq2Seq
from .tagger import SequenceTagger
from .transcriber import SequenceTranscriber

__all__ = [
    "Estimator",
    "NotFittedError",
    "Seq2Seq",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceRegressor",
    "SequenceTagger",
    "SequenceTranscriber",
]
