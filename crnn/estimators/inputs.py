"""What estimators are fed: sequences of tokens or of vectors, as arrays."""

import numpy as np

from ..sequences import Vocabulary


def is_tokens(sequence) -> bool:
    """Whether it is a string or a sequence of strings or integers, not of vectors."""
    if isinstance(sequence, str):
        return True
    if isinstance(sequence, np.ndarray):
        return sequence.ndim == 1 and sequence.dtype.kind in "iuUO"
    first = next(iter(sequence), None)
    return isinstance(first, str | int | np.integer)


class InputEncoder:
    """Learns from sequences how to turn such ones into arrays, and does.

    Tokens become ids, (T,) int64; vectors (T, I) float32, standardised where wanted. A
    sequence of numbers with a fraction, (T,), is one of vectors of one.
    """

    def __init__(self, standardize: bool = True, min_count: int = 1):
        self.standardize = standardize
        self.min_count = min_count
        self.vocabulary: Vocabulary | None = None
        self.mean = self.scale = None

    def learn(self, sequences) -> "InputEncoder":
        """Take in the tokens, or the mean and deviation of the vectors."""
        for i, sequence in enumerate(sequences):
            if not len(sequence):
                raise ValueError(f"sequence {i} is empty")
        if is_tokens(sequences[0]):
            plain = [_items(sequence) for sequence in sequences]
            self.vocabulary = Vocabulary.of(plain, self.min_count, start=None, end=None)
            return self
        frames = np.concatenate([_vectors(sequence) for sequence in sequences])
        self.mean = np.zeros(frames.shape[1], np.float32)
        self.scale = np.ones(frames.shape[1], np.float32)
        if self.standardize:
            deviation = frames.std(axis=0, dtype=np.float64)
            self.mean = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
            self.scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
        return self

    @property
    def size(self) -> int:
        """Features of a vector, or the number of tokens."""
        return len(self.mean) if self.vocabulary is None else len(self.vocabulary)

    def __call__(self, sequences) -> list[np.ndarray]:
        """The sequences as arrays.

        Raises:
            ValueError: one is empty or of another kind than those that were learned
                from; it says which.
        """
        return [self._encode(i, sequence) for i, sequence in enumerate(sequences)]

    def _encode(self, i: int, sequence) -> np.ndarray:
        if not len(sequence):
            raise ValueError(f"sequence {i} is empty")
        if self.vocabulary is not None:
            if not is_tokens(sequence):
                raise ValueError(f"sequence {i} is not of tokens")
            return self.vocabulary.encode(_items(sequence))
        vectors = _vectors(sequence)
        if vectors.shape[1] != len(self.mean):
            raise ValueError(
                f"sequence {i} must have shape (T, {len(self.mean)}), got "
                f"{vectors.shape}"
            )
        return (vectors - self.mean) / self.scale


def _items(sequence):
    """Tokens as Python objects, which can be told apart, hashed and written."""
    return sequence.tolist() if isinstance(sequence, np.ndarray) else sequence


def _vectors(sequence) -> np.ndarray:
    array = np.asarray(sequence)
    if array.dtype.kind not in "iufb" or array.ndim not in (1, 2):
        raise ValueError(
            "a sequence must be tokens, or numbers of shape (T,) or (T, features), not "
            f"{array.dtype}{array.shape}"
        )
    array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise ValueError("a sequence holds NaN or infinity")
    return array[:, None] if array.ndim == 1 else array
