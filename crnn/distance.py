"""How far predicted sequences are from the true ones."""

import numpy as np


def edit_distance(first, second) -> int:
    """The least number of insertions, deletions and replacements between sequences.

    Source: Wagner, Fischer 1974, row by row.

    Example:
        >>> edit_distance("kitten", "sitting")
        3
    """
    columns = np.arange(len(second) + 1)
    row = columns
    for token in first:
        differs = np.array([token != other for other in second], int)
        above = np.minimum(row[1:] + 1, row[:-1] + differs)
        row = np.concatenate([row[:1] + 1, above])
        # An insertion after the best of what is left of it.
        row = np.minimum.accumulate(row - columns) + columns
    return int(row[-1])


def error_rate(predicted, truth) -> float:
    """Edits that all predictions need, for each token of the truth.

    Of phones it is called the phone error rate, of words the word error rate.

    Raises:
        ValueError: the lists have different lengths, or the truth has no tokens.
    """
    pairs = list(zip(predicted, truth, strict=True))
    count = sum(len(tokens) for _, tokens in pairs)
    if not count:
        raise ValueError("the true sequences have no tokens")
    return sum(edit_distance(*pair) for pair in pairs) / count
