"""crnn.distance: edit distances against their definition."""

from functools import cache

import numpy as np
import pytest

from crnn.distance import edit_distance, error_rate


@cache
def by_definition(a, b):
    if not a or not b:
        return len(a) + len(b)
    replaced = by_definition(a[1:], b[1:]) + (a[0] != b[0])
    return min(replaced, by_definition(a[1:], b) + 1, by_definition(a, b[1:]) + 1)


def test_equals_the_definition():
    rng = np.random.default_rng(0)
    words = [tuple(rng.integers(0, 3, n).tolist()) for n in rng.integers(0, 7, 60)]
    for a, b in zip(words[:30], words[30:], strict=True):
        assert edit_distance(a, b) == by_definition(a, b)


def test_error_rate():
    assert error_rate(["abc", ""], ["abd", "x"]) == pytest.approx(2 / 4)
    with pytest.raises(ValueError, match="no tokens"):
        error_rate([""], [""])
    with pytest.raises(ValueError, match="argument 2"):
        error_rate([], ["a"])
