"""Padding, cutting, vocabularies and mini-batches."""

import pickle

import numpy as np
import pytest

import crnn
from crnn.sequences import Vocabulary, batches, pad, truncate, unpad, windows


@pytest.mark.parametrize("batch_first", [False, True])
def test_pad_and_unpad(batch_first):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((n, 3), np.float32) for n in (2, 5, 1)]
    padded, lengths = pad(arrays, batch_first, value=7)
    assert padded.shape == ((3, 5, 3) if batch_first else (5, 3, 3))
    assert padded.dtype == np.float32 and lengths.tolist() == [2, 5, 1]
    assert (padded[0, 2:] == 7).all() if batch_first else (padded[2:, 0] == 7).all()
    back = unpad(padded, lengths, batch_first)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, back, strict=True))


def test_pad_of_tokens_and_of_nothing():
    padded, lengths = pad([[1, 2], [], [3]], batch_first=True)
    assert padded.tolist() == [[1, 2], [0, 0], [3, 0]]
    assert padded.dtype.kind == "i" and lengths.tolist() == [2, 0, 1]
    assert pad([[]])[0].shape == (0, 1)
    with pytest.raises(ValueError, match="no sequences"):
        pad([])
    with pytest.raises(crnn.ShapeError, match="sequence 1"):
        pad([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(crnn.ShapeError, match="do not fit"):
        unpad(padded, [2, 2], batch_first=True)


def test_truncate():
    assert truncate([[1, 2, 3], [4]], 2) == [[1, 2], [4]]
    assert truncate(["abc", "d"], 2, keep="last") == ["bc", "d"]
    for wrong in (0, "first"), (2, "middle"):
        with pytest.raises(ValueError, match="length must be"):
            truncate([[1]], *wrong)


def test_windows():
    series = np.arange(14).reshape(7, 2)
    X, y = windows(series, 3, ahead=2)
    assert X.shape == (3, 3, 2) and y.shape == (3, 2, 2)
    assert np.array_equal(X[1], series[1:4]) and np.array_equal(y[1], series[4:6])
    for wrong in (0, 1), (1, 0), (5, 3):
        with pytest.raises(ValueError, match="no stretch"):
            windows(series, *wrong)


def test_vocabulary():
    vocabulary = Vocabulary.of([["나는", "간다"], ["나는", "온다"]])
    assert vocabulary.tokens[:5] == ["<pad>", "<unk>", "<s>", "</s>", "나는"]
    assert len(vocabulary) == 7 and "간다" in vocabulary
    ids = vocabulary.encode(["나는", "잔다"], start=True, end=True)
    assert ids.tolist() == [2, 4, 1, 3] and ids.dtype == np.int64
    assert vocabulary.decode([*ids, 5, 0]) == ["나는", "<unk>"]
    assert vocabulary.decode(ids, special=True) == ["<s>", "나는", "<unk>", "</s>"]
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
    with pytest.raises(IndexError):
        vocabulary.decode([7])
    with pytest.raises(ValueError, match="twice"):
        Vocabulary(["a", "a"])


def test_vocabulary_by_counts_and_without_special_tokens():
    assert Vocabulary.of(["aab", "abc"], min_count=2).tokens[4:] == ["a", "b"]
    assert Vocabulary.of(["aab", "abc"], max_size=1).tokens[4:] == ["a"]
    bare = Vocabulary("ab", padding=None, unknown=None, start=None, end=None)
    assert bare.tokens == ["a", "b"] and bare.padding_id is bare.end_id is None
    assert bare.decode(bare.encode("ba")) == ["b", "a"]
    with pytest.raises(KeyError):
        bare.encode("c")
    with pytest.raises(KeyError):
        bare.encode("a", end=True)


@pytest.mark.parametrize("pool", [1, 4])
def test_batches_hold_each_sequence_once(pool):
    lengths = np.random.default_rng(0).integers(1, 50, 203)
    found = batches(lengths, 16, rng=1, pool=pool)
    assert sorted(np.concatenate(found).tolist()) == list(range(203))
    assert max(map(len, found)) == 16
    again = batches(lengths, 16, rng=1, pool=pool)
    assert all(map(np.array_equal, found, again))
    spread = np.mean([np.ptp(lengths[b]) for b in found])
    assert (spread < 20) == (pool > 1)
    with pytest.raises(ValueError, match="positive"):
        batches(lengths, 0)
