"""Small versions of the real tasks under notebooks/, where their data are installed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from crnn import demo
from crnn.demo.block import arrays_of, lines_of
from crnn.estimators import SequenceClassifier, SequenceRegressor, SequenceTagger
from crnn.sequences import windows

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

pytestmark = pytest.mark.skipif(not NOTEBOOKS.is_dir(), reason="needs the source tree")


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


def test_forecast_of_co2():
    """From two years, for there are nine in what is shipped."""
    seen, then = windows(arrays_of("co2_samples")["ppm"], 25, 12)
    X, y = np.diff(seen), then - seen[:, -1:]
    train, held = slice(-24), slice(-12, None)  # no month is in both
    model = SequenceRegressor(16, epochs=40, batch_size=8).fit(X[train], y[train])
    assert model.score(X[held], y[held]) > 0.6


def test_forecast_of_all_co2(torch, script):
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


def test_spaces_of_sentences_about_other_things(torch, script):
    """Trained on dialogues, it separates the sentences that the demo shows."""
    needs("chatterbot_corpus")
    spaces, data = script("tag_korean_spaces"), script("datasets")
    own = [sentence for (sentence,) in lines_of("korean_sentences")]
    dialogues = data.korean_dialogues()
    assert len(dialogues) > 900 and not {*own} & {*dialogues}
    X, y = zip(*map(spaces.tagged, dialogues), strict=True)
    X_held, y_held = zip(*map(spaces.tagged, own), strict=True)
    model = SequenceTagger(32, bidirectional=True, min_count=2, epochs=15).fit(X, y)
    assert model.score(X_held, y_held) > 0.86 > 1 - np.concatenate(y_held).mean() + 0.1
    assert spaces.f1(model.predict(X_held), y_held) > 0.75


def test_sentiment_of_sentences_about_films(torch, script):
    data = script("datasets")
    if not list(data.CACHE.glob("vaderSentiment-*")):
        pytest.skip("needs what notebooks/classify_sentiment.py fetches")
    X, y = data.movie_sentences()
    train, held = data.split(np.random.default_rng(0), len(X), 0.2)
    model = SequenceClassifier(32, pooling="mean", epochs=4)
    model.fit([X[i] for i in train[:4000]], [y[i] for i in train[:4000]])
    X_held, y_held = [X[i] for i in held], [y[i] for i in held]
    assert model.score(X_held, y_held) > script("baselines").majority(y, y_held) + 0.1


def test_digits_of_voices_never_heard(torch, script):
    digits = script("classify_korean_digits")
    if not (digits.CACHE / "korean_digits.npz").exists():
        pytest.skip("needs what notebooks/classify_korean_digits.py has spoken")
    found = digits.clips()
    held = digits.joined(found[voice] for voice in digits.HELD)
    train = digits.joined(found[v] for v in digits.VOICES[::2] if v not in digits.HELD)
    model = SequenceClassifier(48, bidirectional=True, pooling="max", epochs=12)
    score = model.fit(*train).score(*held)
    assert score > script("baselines").nearest_mean(*train, *held) + 0.2


def test_twin_of_torch_scores_alike(torch, script):
    twins, (_, X, y) = script("torch_twin"), demo.load()
    model = SequenceClassifier(32, epochs=15).fit(X[::2], y[::2])
    twin, _ = twins.train(model, X[::2], y[::2])
    ours = model.score(X[1::2], y[1::2])
    theirs = twins.score(model, twin, X[1::2], y[1::2])
    assert ours == pytest.approx(theirs, abs=0.03)
