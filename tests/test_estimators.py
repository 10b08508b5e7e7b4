"""The estimators on real speech and on small tasks: scores, files, conventions."""

import doctest
import importlib
import inspect
import pickle

import numpy as np
import pytest

import crnn
from crnn import demo
from crnn.estimators import (
    NotFittedError,
    SequenceClassifier,
    SequenceRegressor,
    SequenceTagger,
)

KINDS = (SequenceClassifier, SequenceRegressor, SequenceTagger)
WORDS = ["abba", "bab", "aab", "b", "abab", "bbb", "aaaa", "ba"]
MODULES = ("classifier", "regressor", "tagger")
SMALL = {"hidden_size": 5, "epochs": 2, "batch_size": 3, "embedding_dim": 4}
TARGETS = {
    SequenceClassifier: [word[0] for word in WORDS],
    SequenceRegressor: [float(len(word)) for word in WORDS],
    SequenceTagger: [[letter == word[0] for letter in word] for word in WORDS],
}


@pytest.fixture(scope="module")
def speech():
    """((X, speakers) to fit, (X, speakers) held out) of the shipped utterances."""
    _, utterances, speakers = demo.load()
    order = np.random.default_rng(0).permutation(len(speakers))
    parts = order[:250], order[250:]
    return [([utterances[i] for i in part], speakers[part]) for part in parts]


def small(kind, **params):
    return kind(**SMALL | params).fit(WORDS, TARGETS[kind])


def equal(a, b):
    return all(map(np.array_equal, a, b)) and len(a) == len(b)


def outputs(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


def test_who_speaks(speech):
    fit, held = speech
    model = SequenceClassifier(num_layers=2, bidirectional=True, epochs=30)
    assert model.fit(*fit).score(*held) > 0.93
    assert model.predict_proba(held[0]).sum(axis=1) == pytest.approx(1, abs=1e-6)


def test_early_stopping(speech):
    model = SequenceClassifier(
        32, epochs=500, validation_fraction=0.2, patience=3, learning_rate=0.01
    )
    model.fit(*speech[0])
    losses = [epoch["validation_loss"] for epoch in model.history_]
    assert len(losses) < 500 and np.argmin(losses) == len(losses) - 5
    assert model.score(*speech[1]) > 0.85


def test_tags_by_what_follows():
    rng = np.random.default_rng(0)
    X = ["".join(rng.choice(list("ab"), rng.integers(1, 12))) for _ in range(300)]
    y = [["last" if i == len(x) - 1 else x[i + 1] for i in range(len(x))] for x in X]
    model = SequenceTagger(16, bidirectional=True, epochs=30).fit(X[:250], y[:250])
    assert model.score(X[250:], y[250:]) > 0.98
    assert [len(t) for t in model.predict(X[250:])] == [len(t) for t in y[250:]]


def test_parts_of_speech():
    """A word may be a noun or a verb; which one, the sentence tells."""
    words = {
        "article": ["the", "a", "every", "no"],
        "adjective": ["old", "good", "tired", "quiet"],
        "noun": ["guard", "dog", "judge", "cook", "watch", "play", "plan", "fish"],
        "verb": ["watches", "finds", "plans", "judges", "cooks", "fishes"],
        "infinitive": ["watch", "play", "plan", "fish", "cook", "judge", "guard"],
        "modal": ["will", "can", "must"],
        "adverb": ["often", "never"],
    }
    plans = [
        "article noun verb article noun",
        "article adjective noun modal infinitive article noun",
        "modal article noun infinitive",
        "article noun modal adverb infinitive article adjective noun",
        "article noun adverb verb",
    ]
    rng = np.random.default_rng(0)
    y = [rng.choice(plans).split() for _ in range(600)]
    X = [[str(rng.choice(words[tag])) for tag in tags] for tags in y]
    model = SequenceTagger(24, bidirectional=True, epochs=10).fit(X[:500], y[:500])
    assert model.score(X[500:], y[500:]) > 0.98
    tags = model.predict([["no", "watch", "can", "watch", "the", "play"]])[0]
    assert " ".join(tags) == "article noun modal infinitive article noun"


@pytest.mark.parametrize("columns", [None, 2])
def test_forecast_of_a_wave(columns):
    wave = np.sin(np.arange(200) / 4) * 3 + 50
    X = [wave[i : i + 20 + i % 5] for i in range(150)]
    y = np.array([wave[i + 20 + i % 5 :][: columns or 1] for i in range(150)])
    y = y if columns else y[:, 0]
    model = SequenceRegressor(24, epochs=40).fit(X[:120], y[:120])
    assert model.predict(X).shape == y.shape
    assert model.score(X[120:], y[120:]) > 0.97


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_pairs_are_equal_or_not(pooling):
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abc"), 3)) for _ in range(800)]
    X = [(w, w if i % 2 else words[-i]) for i, w in enumerate(words)]
    y = [a == b for a, b in X]
    model = SequenceClassifier(pairs=True, pooling=pooling, epochs=15)
    model.fit(X[:600], y[:600])
    assert model.score(X[600:], y[600:]) > 0.9


VARIANTS = [
    (kind, {"pooling": pooling, "pairs": pairs})
    for kind in KINDS[:2]
    for pooling in ("last", "mean", "max")
    for pairs in (False, True)
]


@pytest.mark.parametrize(("kind", "options"), [*VARIANTS, (SequenceTagger, {})])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_by_finite_differences(kind, options, bidirectional):
    pairs = options.get("pairs")
    options = options | {"bidirectional": bidirectional, "num_layers": 2}
    X = [(a, b) for a, b in zip(WORDS, WORDS[::-1], strict=True)] if pairs else WORDS
    model = kind(**SMALL | options).fit(X, TARGETS[kind])
    for layer in model.layers_.values():
        layer.double()
    examples, _ = model._learn(X, TARGETS[kind])
    _, gradients = model._gradients(examples)
    rng = np.random.default_rng(0)
    assert sorted(gradients) == sorted(model.state_dict())
    for name, array in model.state_dict().items():
        direction = rng.standard_normal(array.shape)
        if name == "embedding.weight":
            direction[0] = 0
        start, losses = array.copy(), []
        for step in 1e-5, -1e-5:
            array[...] = start + step * direction
            losses.append(model._loss(examples))
        array[...] = start
        numeric = (losses[0] - losses[1]) / 2e-5
        ours = (gradients[name] * direction).sum()
        assert ours == pytest.approx(numeric, rel=1e-5, abs=1e-8), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_and_pickles(kind, suffix, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    model = small(kind, bidirectional=True)
    model.save(tmp_path / f"model{suffix}")
    again = kind.load(tmp_path / f"model{suffix}")
    assert again.get_params() == model.get_params()
    for twin in again, pickle.loads(pickle.dumps(model)):
        assert equal(outputs(twin, WORDS), outputs(model, WORDS))
        assert equal(twin.predict(WORDS), model.predict(WORDS))


def test_files_of_vectors_and_wrong_files(tmp_path, speech):
    (X, y), path = speech[0], tmp_path / "model.npz"
    model = SequenceClassifier(8, epochs=1).fit(X, y)
    model.save(path)
    again = SequenceClassifier.load(path)
    assert equal(again.predict_proba(X), model.predict_proba(X))
    assert again.classes_.dtype == model.classes_.dtype
    with pytest.raises(crnn.FormatError, match="a SequenceClassifier, not a"):
        SequenceTagger.load(path)
    arrays = crnn.load(path)
    crnn.save(path, {n: a for n, a in arrays.items() if n != "crnn.estimator"})
    with pytest.raises(crnn.FormatError, match="no estimator's"):
        SequenceClassifier.load(path)
    text = arrays["crnn.estimator"].astype(np.uint8).tobytes().decode()
    for damaged in (
        text[:-9],
        text.replace('"hidden_size": 8', '"hidden_size": 1000000'),
        text.replace('"num_layers": 1', '"num_layers": 1000000'),
        text.replace('"num_layers": 1', '"num_layers": 2'),
        text.replace('"num_layers": 1', '"depth": 1'),
        text.replace('"mean"', '"man"'),
        "[]",
        '{"class": "SequenceClassifier", "params": {}, "fitted": {"encoder_": {}}}',
    ):
        data = np.frombuffer(damaged.encode(), np.uint8).astype(np.float16)
        crnn.save(path, arrays | {"crnn.estimator": data})
        with pytest.raises(crnn.FormatError, match="damaged"):
            SequenceClassifier.load(path)


@pytest.mark.parametrize("kind", KINDS)
def test_conventions(kind):
    model = kind(hidden_size=3, seed=5)
    params = model.get_params()
    assert params["hidden_size"] == 3 and model.set_params(epochs=4) is model
    assert model.epochs == 4 and kind(**params).get_params() == params
    assert repr(kind(hidden_size=3)) == f"{kind.__name__}(hidden_size=3)"
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        model.set_params(depth=3)
    with pytest.raises(NotFittedError, match="not fitted"):
        model.predict(WORDS)
    assert model.fit(WORDS, TARGETS[kind]) is model
    for name, value in inspect.getmembers(kind):
        if not name.startswith("_") and callable(value):
            assert inspect.getdoc(value), name


@pytest.mark.parametrize("kind", KINDS)
def test_scikit_learn_clones(kind):
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    model = small(kind)
    twin = base.clone(model)
    assert twin.get_params() == model.get_params() and not hasattr(twin, "layers_")
    assert base.is_classifier(model) == (kind is not SequenceRegressor)


@pytest.mark.parametrize("kind", KINDS[:2])
def test_scikit_learn_cross_validates(kind):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    from sklearn.model_selection import GridSearchCV, cross_val_score

    twin = kind(**SMALL)
    X, y = WORDS * 3, np.array(TARGETS[kind] * 3)
    assert cross_val_score(twin, X, y, cv=2, error_score="raise").shape == (2,)
    grid = GridSearchCV(twin, {"hidden_size": [2, 3]}, cv=2, error_score="raise")
    assert grid.fit(X, y).best_params_["hidden_size"] in (2, 3)


def test_tokens_that_a_file_cannot_keep(tmp_path):
    model = SequenceClassifier(3, epochs=1).fit([["a", (1, 2)], "b"], [0, 1])
    with pytest.raises(TypeError, match=r"token \(1, 2\) cannot be kept"):
        model.save(tmp_path / "model.npz")


def test_bad_data_are_named():
    with pytest.raises(ValueError, match="alike and not empty"):
        SequenceClassifier().fit(WORDS, [1])
    with pytest.raises(ValueError, match="sequence 1 is empty"):
        SequenceClassifier().fit(["a", ""], [0, 1])
    with pytest.raises(ValueError, match="sequence 1: 1 steps, 2 tags"):
        SequenceTagger().fit(["ab", "a"], ["xy", "xy"])
    with pytest.raises(ValueError, match="NaN"):
        SequenceRegressor().fit([[np.nan, 1.0]], [1])
    with pytest.raises(ValueError, match="pooling"):
        SequenceClassifier(pooling="sum").fit(WORDS, WORDS)
    model = small(SequenceClassifier)
    expected = model.predict_proba(WORDS)
    with pytest.raises(ValueError, match="leaves nothing"):
        model.set_params(validation_fraction=1.0).fit(["xyz"], [0])
    assert np.array_equal(model.predict_proba(WORDS), expected)
    with pytest.raises(ValueError, match="not of tokens"):
        model.predict([np.zeros((3, 2))])
    assert model.predict(["xyz"]).shape == (1,)  # unknown letters are no error
    model = SequenceClassifier(4, epochs=1).fit([np.ones((3, 2))] * 4, [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"shape \(T, 2\)"):
        model.predict([np.ones((3, 3))])


@pytest.mark.parametrize(
    "name", ["layers", "sequences", "training", *(f"estimators.{n}" for n in MODULES)]
)
def test_examples_in_docstrings(name):
    module = importlib.import_module(f"crnn.{name}")
    assert doctest.testmod(module, extraglobs={"np": np}).failed == 0
