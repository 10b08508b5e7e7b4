"""Sequences of different lengths: padding, cutting, vocabularies, mini-batches."""

from collections import Counter
from collections.abc import Iterable, Sequence
from operator import index

import numpy as np

from ._core import ShapeError


def pad(sequences, batch_first: bool = False, value=0) -> tuple[np.ndarray, np.ndarray]:
    """One array of all sequences, filled up at their ends, and their lengths.

    Args:
        sequences: B arrays or lists, each of shape (length, ...), alike but for length.
        batch_first: whether the batch comes before the time.
        value: what stands after the end of a sequence.

    Returns:
        (padded, lengths): (T, B, ...) or (B, T, ...), where T is the largest length, of
        the dtype that holds all sequences; and B integers, as `RNN` takes them.

    Raises:
        ValueError: there are no sequences.
        ShapeError: (a ValueError) one has no length or another shape than the first.

    Example:
        >>> padded, lengths = pad([[1, 2, 3], [4]], batch_first=True)
        >>> padded.tolist(), lengths.tolist()
        ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
    arrays = [np.asarray(sequence) for sequence in sequences]
    if not arrays:
        raise ValueError("there are no sequences to pad")
    for i, array in enumerate(arrays):
        if array.ndim == 0 or array.shape[1:] != arrays[0].shape[1:]:
            raise ShapeError(
                f"sequence {i} has shape {array.shape}, which does not go with "
                f"{arrays[0].shape} of sequence 0"
            )
    lengths = np.array([len(array) for array in arrays])
    filled = [array for array in arrays if len(array)] or arrays[:1]
    joined = np.concatenate(filled)  # an empty list, which is of floats, has no say
    B, T = len(arrays), int(lengths.max())
    shape = (B, T) if batch_first else (T, B)
    padded = np.full((*shape, *joined.shape[1:]), value, joined.dtype)
    rows = padded if batch_first else padded.swapaxes(0, 1)
    rows[valid(lengths, T)] = joined
    return padded, lengths


def valid(lengths, T: int | None = None) -> np.ndarray:
    """(B, T) booleans: whether a step is one of its sequence, or padding."""
    lengths = np.asarray(lengths)
    return np.arange(lengths.max() if T is None else T) < lengths[:, None]


def unpad(padded: np.ndarray, lengths, batch_first: bool = False) -> list[np.ndarray]:
    """The sequences that `pad` joined, as views of its array.

    Raises:
        ShapeError: lengths do not fit the array.
    """
    rows = padded if batch_first else np.swapaxes(padded, 0, 1)
    lengths = np.asarray(lengths)
    if lengths.shape != rows.shape[:1] or (lengths > rows.shape[1]).any():
        raise ShapeError(
            f"lengths do not fit {len(rows)} rows of {rows.shape[1]} steps"
        )
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]


def truncate(sequences, length: int, keep: str = "first") -> list:
    """The sequences, none longer than length; keep says which part: "first" or "last".

    Raises:
        ValueError: length is less than 1, or keep is neither.
    """
    if index(length) < 1 or keep not in ("first", "last"):
        raise ValueError(
            f'length must be at least 1 and keep "first" or "last", not {length} and '
            f"{keep!r}"
        )
    part = slice(length) if keep == "first" else slice(-length, None)
    return [sequence[part] for sequence in sequences]


def windows(series, length: int, ahead: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """All stretches of a series, and what follows each: examples for a forecast.

    Args:
        series: (T,) or (T, features).
        length: steps of a stretch.
        ahead: how many steps after it are to be told.

    Returns:
        (X, y): (N, length, ...) and (N, ahead, ...), where N = T - length - ahead + 1;
        read-only views of the series.

    Raises:
        ValueError: length or ahead is less than 1, or the series is shorter than both.

    Example:
        >>> X, y = windows([1, 2, 3, 4, 5], length=3)
        >>> X.tolist(), y.tolist()
        ([[1, 2, 3], [2, 3, 4]], [[4], [5]])
    """
    series = np.asarray(series)
    if min(index(length), index(ahead)) < 1 or len(series) < length + ahead:
        raise ValueError(
            f"{len(series)} steps hold no stretch of {length} with {ahead} after it"
        )
    view = np.lib.stride_tricks.sliding_window_view(series, length + ahead, axis=0)
    view = np.moveaxis(view, -1, 1)
    return view[:, :length], view[:, length:]


class Vocabulary:
    """Tokens (letters, words; anything hashable) and their numbers from 0.

    Args:
        tokens: what it holds, each once.
        padding, unknown, start, end: names of the special tokens, which come first in
            this order; None leaves one out.

    Attributes:
        tokens: all tokens, the special ones included; a token's id is its place.
        padding_id, unknown_id, start_id, end_id: ids of the special ones, or None.

    Example:
        >>> vocabulary = Vocabulary.of(["an owl", "a cat"])
        >>> ids = vocabulary.encode("a tuna", end=True)
        >>> ids.tolist(), "".join(vocabulary.decode(ids))
        ([4, 5, 11, 1, 6, 4, 3], 'a t<unk>na')
    """

    def __init__(
        self,
        tokens: Iterable,
        padding="<pad>",
        unknown="<unk>",
        start="<s>",
        end="</s>",
    ):
        self.special = {
            name: token
            for name, token in [
                *(("padding", padding), ("unknown", unknown)),
                *(("start", start), ("end", end)),
            ]
            if token is not None
        }
        self.tokens = [*self.special.values(), *tokens]
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        if len(self.ids) != len(self.tokens):
            twice = [t for t, count in Counter(self.tokens).items() if count > 1]
            raise ValueError(f"tokens occur twice: {twice[:5]}")

    @classmethod
    def of(
        cls, sequences, min_count: int = 1, max_size: int | None = None, **special
    ) -> "Vocabulary":
        """The tokens of these sequences, the most frequent first.

        Args:
            sequences: iterables of tokens; a string is one of letters.
            min_count: how often a token must occur to be taken in.
            max_size: how many tokens there may be, the special ones not counted.
            special: names of the special tokens.
        """
        counts = Counter(token for sequence in sequences for token in sequence)
        kept = [t for t, n in counts.most_common(max_size) if n >= min_count]
        return cls(kept, **special)

    @property
    def padding_id(self) -> int | None:
        return self.ids.get(self.special.get("padding"))

    @property
    def unknown_id(self) -> int | None:
        return self.ids.get(self.special.get("unknown"))

    @property
    def start_id(self) -> int | None:
        return self.ids.get(self.special.get("start"))

    @property
    def end_id(self) -> int | None:
        return self.ids.get(self.special.get("end"))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token) -> bool:
        return token in self.ids

    def __eq__(self, other) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return (self.tokens, self.special) == (other.tokens, other.special)

    __hash__ = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} tokens)"

    def encode(self, tokens, start: bool = False, end: bool = False) -> np.ndarray:
        """The ids of tokens, (n,) int64; start and end put the special ones around.

        Raises:
            KeyError: a token is not there and there is no unknown one, or start or end
                is asked for and there is none.
        """
        unknown = self.unknown_id
        if unknown is None:
            ids = [self.ids[token] for token in tokens]
        else:
            ids = [self.ids.get(token, unknown) for token in tokens]
        first = [self.ids[self.special["start"]]] if start else []
        last = [self.ids[self.special["end"]]] if end else []
        return np.array([*first, *ids, *last], np.int64)

    def decode(self, ids, special: bool = False) -> list:
        """The tokens of ids, up to the first end.

        Start and padding are left out; special keeps everything.

        Raises:
            IndexError: an id is out of range.
        """
        ids = np.asarray(ids, np.int64)
        for wrong in ids[(ids < 0) | (ids >= len(self))][:1]:
            raise IndexError(f"id {wrong} is not in 0 .. {len(self) - 1}")
        if not special:
            ends = np.flatnonzero(ids == self.end_id) if "end" in self.special else ()
            ids = ids[: ends[0]] if len(ends) else ids
            dropped = [i for i in (self.start_id, self.padding_id) if i is not None]
            ids = ids[~np.isin(ids, dropped)]
        return [self.tokens[i] for i in ids.tolist()]


def batches(
    lengths: Sequence[int], batch_size: int, rng=None, pool: int = 20
) -> list[np.ndarray]:
    """Mini-batches of sequences of like lengths, in random order.

    The sequences are shuffled, sorted by length within pools, and cut; so a batch has
    little padding, and each epoch has other batches.

    Args:
        lengths: one of each sequence.
        batch_size: how many sequences a batch has; the last of a pool may have fewer.
        rng: a numpy.random.Generator, or a seed for one.
        pool: how many batches are sorted together; 1 is plain shuffling.

    Returns:
        Arrays of indices; each sequence is in one of them.
    """
    if index(batch_size) < 1 or index(pool) < 1:
        raise ValueError(f"batch_size and pool must be positive: {batch_size}, {pool}")
    lengths, rng = np.asarray(lengths), np.random.default_rng(rng)
    order = rng.permutation(len(lengths))
    found = []
    for first in range(0, len(order), batch_size * pool):
        part = order[first : first + batch_size * pool]
        if pool > 1:
            part = part[np.argsort(lengths[part], kind="stable")]
        found += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [found[i] for i in rng.permutation(len(found))]
