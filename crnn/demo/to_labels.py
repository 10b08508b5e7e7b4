"""The demo's estimators that say numbers, or a label for each step."""

import numpy as np

from ..estimators import SequenceRegressor, SequenceTagger
from ..sequences import windows
from .block import DATA, arrays_of, chosen, lines_of, summary, title

MONTHS, AHEAD = 60, 12  # of a forecast: what it is made from, and how far it goes


def show_regressor():
    model = SequenceRegressor.load(DATA / "co2.npz")
    seen, then = windows(arrays_of("co2_samples")["ppm"], MONTHS + 1, AHEAD)
    X, last = np.diff(seen), seen[:, -1:]
    forecast = last + model.predict(X)

    title(model, "a sequence to numbers", "CO2 over Mauna Loa, from five years before")
    print("  ppm now  a month on, predicted  a year on, predicted")
    for i in range(0, len(X), 9):
        soon, late = (f"{then[i, k]:10.1f} {forecast[i, k]:10.1f}" for k in (0, -1))
        print(f"  {last[i, 0]:7.1f}  {soon}  {late}")
    error, unchanged = (abs(told - then).mean() for told in (forecast, last))
    score = f"R squared {model.score(X, then - last):.3f}, mean error {error:.2f} ppm"
    summary(f"{score} (if nothing changed: {unchanged:.2f})", model, X)


def show_tagger():
    model = SequenceTagger.load(DATA / "korean_spaces.npz")
    sentences = [line for (line,) in lines_of("korean_sentences")]
    X, y = zip(*map(tagged, sentences), strict=True)
    predicted = model.predict(X)
    right = [bool((a == b).all()) for a, b in zip(predicted, y, strict=True)]

    title(model, "each step to a label", "where are the spaces of Korean?")
    for i in chosen(right):
        print(f"  {X[i]}\n    {spaced(X[i], predicted[i])}")
        if not right[i]:
            print(f"    {sentences[i]}  is right")
    never = 1 - np.concatenate(y).mean()
    score = f"letters {model.score(X, y):.1%} (if none had a space: {never:.1%})"
    summary(f"{score}, sentences {sum(right)} of {len(X)}", model, X)


def tagged(sentence):
    """(its letters, for each whether a space follows)."""
    letters = sentence.replace(" ", "")
    follows = np.zeros(len(letters), bool)
    follows[np.cumsum([len(word) for word in sentence.split()])[:-1] - 1] = True
    return letters, follows


def spaced(letters, follows):
    pairs = zip(letters, follows, strict=True)
    return "".join(letter + " " * bool(space) for letter, space in pairs)
