"""What the demo's blocks are made of: data, a title, chosen samples, a score."""

from pathlib import Path

import numpy as np

from ..measure import race

DATA = Path(__file__).parent.parent / "data"


def arrays_of(name):
    """A dict of the arrays of data/name.npz."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as npz:
        return dict(npz)


def lines_of(name):
    """The lines of data/name.txt, each a list of what stands between its tabs."""
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines()]


def title(model, maps, task):
    print(f"\n{type(model).__name__}, {maps}: {task}")


def chosen(right, count=4):
    """Places of some samples spread over all, one that is wrong among them."""
    spread = range(0, len(right), -(-len(right) // count))
    return sorted({*spread, *np.flatnonzero(~np.asarray(right))[:1].tolist()})


def mark(right):
    return "" if right else "  wrong"


def summary(score, model, X):
    """The last line: the score, and the best time of three to predict all of X."""
    (times,) = race([lambda: model.predict(X)], rounds=3)
    print(f"  {score}; {len(X)} in {min(times) * 1e3:.1f} ms")
