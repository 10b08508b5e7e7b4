"""Small versions of the real tasks under notebooks/, where their data are installed."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from crnn.estimators import SequenceClassifier, SequenceRegressor, SequenceTagger

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

pytestmark = pytest.mark.skipif(not NOTEBOOKS.is_dir(), reason="needs the source tree")


@pytest.fixture
def script(monkeypatch):
    """Imports a script by its name; skips where a package that it needs is missing."""
    monkeypatch.setattr(sys, "path", [str(NOTEBOOKS), *sys.path])
    return lambda name: pytest.importorskip(name, reason="a package is missing")


def needs(package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.mark.parametrize(("language", "cut"), [("en", str.split), ("ko", list)])
def test_inference_over_pairs(torch, script, language, cut):
    """English by words: by letters it takes too long for a test."""
    needs("num2words")
    pairs, baselines = script("classify_pairs"), script("baselines")
    (X, y), (X_held, y_held) = pairs.statements(language, count=4000)
    X, X_held = ([tuple(map(cut, pair)) for pair in part] for part in (X, X_held))
    model = SequenceClassifier(48, pairs=True, epochs=8, batch_size=64).fit(X, y)
    assert model.score(X_held, y_held) > baselines.majority(y, y_held) + 0.2


def test_labels_of_pairs_are_those_of_the_intervals(torch, script):
    needs("num2words")
    label = script("classify_pairs").label
    assert label((3, 3), (0, 5)) == "entailment"
    assert label((0, 2), (3, 9)) == label((3, 9), (0, 2)) == "contradiction"
    assert label((0, 5), (3, 3)) == label((0, 5), (3, 9)) == "neutral"


def test_forecast_of_co2(torch, script):
    needs("statsmodels")
    co2 = script("forecast_co2")
    X, y = co2.windows(script("datasets").co2())
    model = SequenceRegressor(16, epochs=20).fit(X[:-48], y[:-48])
    assert model.score(X[-36:], y[-36:]) > 0.6


def test_korean_spaces(torch, script):
    spaces = script("tag_korean_spaces")
    sentences = [
        "나는 오늘 학교에 간다",
        "우리는 내일 바다에 간다",
        "너는 어제 집에 왔다",
        "우리는 오늘 집에 왔다",
    ]
    X, y = zip(*map(spaces.tagged, sentences), strict=True)
    assert X[0] == "나는오늘학교에간다" and np.flatnonzero(y[0]).tolist() == [1, 3, 6]
    model = SequenceTagger(16, bidirectional=True, epochs=100).fit(X, y)
    letters, truth = spaces.tagged("너는 내일 학교에 왔다")
    tags = model.predict([letters])
    assert spaces.f1(tags, [truth]) == 1


def test_twin_of_torch_scores_alike(torch, script):
    needs("aeon")
    twins, data = script("torch_twin"), script("datasets")
    train, held = data.japanese_vowels("TRAIN"), data.japanese_vowels("TEST")
    model = SequenceClassifier(32, epochs=15).fit(*train)
    twin, _ = twins.train(model, *train)
    assert model.score(*held) == pytest.approx(
        twins.score(model, twin, *held), abs=0.03
    )
