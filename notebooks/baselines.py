"""What every model must beat: the most frequent class, and counts of tokens."""

from collections import Counter

import numpy as np


def majority(y, y_held):
    """The share of y_held that is y's most frequent class."""
    most = Counter(y).most_common(1)[0][0]
    return float(np.mean([target == most for target in y_held]))


def bag_of_tokens(X, y, X_held, y_held):
    """The score of naive Bayes: a class by the tokens that are there, in any order."""
    classes = sorted(set(y))
    counts = {c: Counter() for c in classes}
    for sequence, target in zip(X, y, strict=True):
        counts[target].update(set(sequence))
    size = Counter(y)

    def of(sequence):
        tokens = set(sequence)
        return max(
            classes,
            key=lambda c: (
                np.log(size[c])
                + sum(np.log((counts[c][t] + 1) / (size[c] + 2)) for t in tokens)
            ),
        )

    pairs = zip(X_held, y_held, strict=True)
    return float(np.mean([of(sequence) == target for sequence, target in pairs]))


def nearest_mean(X, y, X_held, y_held):
    """The score of the class whose mean frame is nearest to a sequence's own."""
    scale = np.concatenate(X).std(axis=0)
    means = np.array([x.mean(axis=0) / scale for x in X])
    classes, y = sorted(set(y)), np.array(y)
    centres = np.array([means[y == c].mean(axis=0) for c in classes])
    held = np.array([x.mean(axis=0) / scale for x in X_held])
    nearest = ((held[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    return float(np.mean(np.array(classes)[nearest] == np.array(y_held)))
