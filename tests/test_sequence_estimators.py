"""The estimators that say sequences: small tasks, gradients, searches, files, bits."""

import datetime
import pickle

import numpy as np
import pytest

from crnn import search
from crnn.estimators import Seq2Seq, SequenceGenerator, SequenceTranscriber
from crnn.estimators.decoder import Decoder

WORDS = ["abba", "bab", "aab", "b", "abab", "bbb", "aaaa", "ba"]
SMALL = {"hidden_size": 5, "epochs": 2, "batch_size": 3, "embedding_dim": 4}
VECTORS = np.random.default_rng(0).normal(size=(8, 2, 3))
KINDS = [
    (Seq2Seq, {"bidirectional": True}),
    (Seq2Seq, {"attention": True, "num_layers": 2}),
    (Seq2Seq, {"attention": True, "bidirectional": True, "nonlinearity": "relu"}),
    (SequenceGenerator, {"num_layers": 2}),
    (SequenceGenerator, {"conditioning": "input"}),
    (SequenceGenerator, {"conditioning": "both", "bias": False}),
    (SequenceTranscriber, {"bidirectional": True, "upsample": 2}),
]
each = pytest.mark.parametrize(("kind", "options"), KINDS)


def data(kind):
    """Inputs, and what to say of them."""
    X = list(VECTORS) if kind is SequenceGenerator else WORDS
    return X, [word[::-1] + "c" for word in WORDS]


def small(kind, options, **more):
    return kind(**SMALL | options | more).fit(*data(kind))


def digits(count):
    rng = np.random.default_rng(0)
    return [
        "".join(map(str, rng.integers(0, 10, rng.integers(1, 7)))) for _ in range(count)
    ]


def test_digits_reversed_with_attention():
    X = digits(1500)
    y = [x[::-1] for x in X]
    model = Seq2Seq(64, attention=True, bidirectional=True, epochs=12)
    assert model.fit(X[:1300], y[:1300]).score(X[1300:], y[1300:]) > 0.9
    assert model.error_rate(X[1300:], y[1300:]) < 0.03
    model.beam_width = 4
    assert model.score(X[1300:], y[1300:]) > 0.9


def test_words_copied_without_attention():
    rng = np.random.default_rng(0)
    X = [list(rng.choice(["do", "re", "mi"], rng.integers(1, 5))) for _ in range(1000)]
    model = Seq2Seq(48, epochs=15).fit(X[:900], X[:900])
    assert model.score(X[900:], X[900:]) > 0.95
    assert model.predict([["mi", "re"]]) == [["mi", "re"]]


def test_dates_as_python_writes_them():
    rng = np.random.default_rng(0)
    days = [datetime.date.fromordinal(int(n)) for n in rng.integers(7e5, 7.4e5, 1500)]
    X = [
        day.strftime("%d.%m.%Y" if i % 2 else "%Y/%m/%d") for i, day in enumerate(days)
    ]
    y = [day.isoformat() for day in days]
    model = Seq2Seq(64, attention=True, epochs=10).fit(X[:1300], y[:1300])
    assert model.score(X[1300:], y[1300:]) > 0.95


def test_numbers_said_of_their_bits():
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight"]
    X = np.array([[n >> k & 1 for k in range(4)] for n in range(9)], float)
    for conditioning in "state", "input", "both":
        model = SequenceGenerator(32, conditioning=conditioning, epochs=300)
        assert model.fit(X, names).score(X, names) == 1
        assert model.sample(X, temperature=0.05) == names


def test_samples_are_seeded_and_dare_more_when_hot():
    model = SequenceGenerator(16, epochs=60).fit(np.ones((4, 1)), ["a", "bb", "a", "b"])
    X = np.ones((300, 1))
    drawn = model.sample(X, seed=3)
    assert drawn == model.sample(X, seed=3) != model.sample(X, seed=4)
    assert drawn[:40] == model.sample(X[:40], seed=3)
    assert 0.35 < drawn.count("a") / 300 < 0.65
    assert len(set(model.sample(X, 5.0))) > len(set(model.sample(X, 0.5)))
    with pytest.raises(ValueError, match="temperature"):
        model.sample(X, 0)


def test_runs_transcribed():
    """Each tone of a melody is held as long as the player likes."""
    rng = np.random.default_rng(0)
    tones, X, y = rng.normal(size=(4, 3)), [], []
    for _ in range(400):
        melody = rng.integers(0, 4, rng.integers(1, 6))
        held = np.concatenate([np.repeat(m, rng.integers(2, 6)) for m in melody])
        X.append(tones[held] + 0.2 * rng.normal(size=(len(held), 3)))
        changes = np.diff(melody, prepend=-1) != 0
        y.append("".join("CDEG"[m] for m in melody[changes]))
    model = SequenceTranscriber(32, bidirectional=True, epochs=60).fit(X[:350], y[:350])
    assert model.score(X[350:], y[350:]) > 0.9
    model.beam_width = 5
    assert model.score(X[350:], y[350:]) > 0.9


@each
def test_gradients_by_finite_differences(kind, options):
    model = small(kind, options)
    for layer in model.layers_.values():
        layer.double()
    X, y = data(kind)
    examples, _ = model._learn(X, y)
    if kind is SequenceGenerator:
        examples = [(x.astype(np.float64), target) for x, target in examples]
    _, gradients = model._gradients(examples)
    assert sorted(gradients) == sorted(model.state_dict())
    rng = np.random.default_rng(0)
    for name, array in model.state_dict().items():
        direction = rng.standard_normal(array.shape)
        if name == "embedding.weight":
            direction[0] = 0  # of the padding, which no sequence has
        start, losses = array.copy(), []
        for step in 1e-6, -1e-6:
            array[...] = start + step * direction
            losses.append(model._loss(examples))
        array[...] = start
        numeric = (losses[0] - losses[1]) / 2e-6
        ours = (gradients[name] * direction).sum()
        assert ours == pytest.approx(numeric, rel=1e-4, abs=1e-7), name


@pytest.fixture
def twins(torch, script):
    """The module of the twins in torch."""
    return script("torch_sequence_twin")


@each
def test_torch_has_the_same_loss_and_learns_the_same(twins, kind, options):
    twin = twins.Twin(kind(**SMALL | options), *data(kind))
    loss, gradients = twin.model._gradients(twin.examples)
    expected = twin.loss(twin.examples)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, parameter in twin.net.named_parameters():
        theirs = parameter.grad.numpy()
        np.testing.assert_allclose(gradients[name], theirs, atol=1e-5, err_msg=name)
    learned, _ = twin.fit()
    ours = kind(**SMALL | options).fit(*data(kind)).state_dict()
    for name, array in learned.state_dict().items():
        np.testing.assert_allclose(ours[name], array, atol=2e-3, err_msg=name)


@each
def test_torch_says_the_same_with_copied_weights(twins, kind, options):
    twin = twins.Twin(kind(**SMALL | options | {"epochs": 40}), *data(kind))
    learned, _ = twin.fit()
    X, _ = data(kind)
    said = ["".join(twin.said(x)) for x in learned._inputs(X)]
    assert said == learned.predict(X) and len(set(said)) > 1


@pytest.mark.parametrize(("kind", "options"), KINDS[:-1])
def test_a_beam_of_one_is_greedy(kind, options, monkeypatch):
    model = small(kind, options)
    X, _ = data(kind)
    expected = model.predict(X)
    monkeypatch.setattr(
        "crnn.estimators.seq2seq.greedy",
        lambda *args: search.beam_search(*args, beam_width=1),
    )
    assert model.predict(X) == expected


@each
@pytest.mark.parametrize("beam_width", [1, 3])
def test_predictions_do_not_depend_on_the_batch(kind, options, beam_width):
    model = small(kind, options, beam_width=beam_width, epochs=5)
    X, _ = data(kind)
    together = model.predict([*X, *X, *X[:3]])
    assert together[:8] == together[8:16]
    assert [model.predict([x])[0] for x in X] == together[:8]
    assert model.predict([*X, *X, *X[:3]], at_a_time=5) == together


def test_a_transcription_has_the_same_bits_alone():
    model = small(*KINDS[-1])
    inputs = model._inputs(WORDS)
    logits, lengths = model._logits(inputs)
    for i, x in enumerate(inputs):
        alone, _ = model._logits([x])
        np.testing.assert_array_equal(alone[:, 0], logits[: lengths[i], i])


@pytest.mark.parametrize(("kind", "options"), KINDS[:-1])
def test_a_first_token_has_the_same_bits_alone(kind, options, monkeypatch):
    model, (X, _) = small(kind, options), data(kind)
    logits, step = [], Decoder.step

    def noted(self, tokens, state):
        result = step(self, tokens, state)
        logits.append(result[0])
        return result

    monkeypatch.setattr(Decoder, "step", noted)
    inputs = model._inputs(X)
    model._search(inputs)
    together = logits[0]
    for i, x in enumerate(inputs):
        logits.clear()
        model._search([x])
        np.testing.assert_array_equal(logits[0][0], together[i])


@each
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_and_pickles(kind, options, suffix, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors is not installed")
    model = small(kind, options, beam_width=2)
    X, _ = data(kind)
    model.save(tmp_path / f"model{suffix}")
    again = kind.load(tmp_path / f"model{suffix}")
    assert again.get_params() == model.get_params()
    for twin in again, pickle.loads(pickle.dumps(model)):
        assert twin.predict(X) == model.predict(X)
        for name, array in twin.state_dict().items():
            np.testing.assert_array_equal(array, model.state_dict()[name])


@each
def test_same_seed_same_bits(kind, options):
    options = options | {"dropout": 0.3, "num_layers": 2}
    first, second = (small(kind, options).state_dict() for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


@each
def test_scikit_learn_clones(kind, options):
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    model = small(kind, options)
    twin = base.clone(model)
    assert twin.get_params() == model.get_params() and not hasattr(twin, "layers_")


@pytest.mark.parametrize("kind", [Seq2Seq, SequenceGenerator, SequenceTranscriber])
def test_targets_of_integers_and_empty_ones(kind):
    X, _ = data(kind)
    y = [[7, 8], [], [9], [7], [8, 9], [9], [7, 7], []]
    model = kind(**SMALL).fit(X, y)
    for said in model.predict(X):
        assert isinstance(said, list) and set(said) <= {7, 8, 9}


def test_bad_data_are_named():
    X, y = data(SequenceTranscriber)
    with pytest.warns(UserWarning, match="8 of 9 sequences are too short"):
        SequenceTranscriber(**SMALL).fit([*X, "aaaaaa"], [*y, "ab"])
    with pytest.raises(ValueError, match="upsample"):
        SequenceTranscriber(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="upsample must be at least 1"):
        SequenceTranscriber(upsample=0).fit(X, y)
    with pytest.raises(ValueError, match="beam_width must be at least 1"):
        small(Seq2Seq, {}, beam_width=0).predict(X)
    with pytest.raises(ValueError, match="conditioning"):
        SequenceGenerator(conditioning="end").fit(VECTORS, y)
    with pytest.raises(ValueError, match="one direction"):
        SequenceGenerator(bidirectional=True).fit(VECTORS, y)
    with pytest.raises(ValueError, match="features"):
        SequenceGenerator(**SMALL).fit([1.0] * 8, y)
    model = small(SequenceGenerator, {})
    with pytest.raises(ValueError, match="6 features, got 2"):
        model.predict(VECTORS[:, 0, :2])
    with pytest.raises(ValueError, match="sequence 1 is empty"):
        small(Seq2Seq, {}).predict(["ab", ""])
