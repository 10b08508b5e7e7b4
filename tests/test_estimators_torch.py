"""The estimators that say numbers and labels, beside the same networks in torch."""

import numpy as np
import pytest
from test_estimators_bits import TARGETS, WORDS

from crnn import demo
from crnn.estimators import SequenceClassifier, SequenceRegressor, SequenceTagger

SMALL = {"hidden_size": 5, "epochs": 20, "batch_size": 3, "embedding_dim": 4}
KINDS = [
    (SequenceClassifier, {"bidirectional": True}),
    (SequenceClassifier, {"pairs": True, "pooling": "mean", "bias": False}),
    (SequenceClassifier, {"pairs": True, "pooling": "max", "num_layers": 2}),
    (SequenceRegressor, {"nonlinearity": "relu"}),
    (SequenceRegressor, {"pairs": True, "bidirectional": True}),
    (SequenceRegressor, {"pooling": "max"}),
    (SequenceTagger, {"num_layers": 2, "bidirectional": True}),
    (SequenceTagger, {"nonlinearity": "relu"}),
]
each = pytest.mark.parametrize(("kind", "options"), KINDS)


@pytest.fixture
def twins(torch, script):
    """The module of the twins in torch."""
    return script("torch_twin")


def data(kind, options):
    pairs = list(zip(WORDS, WORDS[::-1], strict=True))
    return pairs if options.get("pairs") else WORDS, TARGETS[kind]


def twin_of(torch, twins, model):
    """A network of torch with the weights of a fitted estimator."""
    twin = twins.Twin(model)
    state = model.state_dict().items()
    twin.load_state_dict({name: torch.tensor(array) for name, array in state})
    return twin.eval()


def rows_of(torch, twins, model, X):
    """What the twin gives where the model has `_predict_rows`; one array."""
    arrays = zip(*map(model.encoder_, twins.sides(model, X)), strict=True)
    with torch.inference_mode():
        return twin_of(torch, twins, model)(list(arrays)).numpy()


@each
def test_torch_says_the_same_with_copied_weights(torch, twins, kind, options):
    X, y = data(kind, options)
    model = kind(**SMALL | options).fit(X, y)
    ours = model._predict_rows(X)
    ours = np.concatenate(ours) if kind is SequenceTagger else ours
    np.testing.assert_allclose(ours, rows_of(torch, twins, model, X), atol=1e-5)
    assert ours.std(axis=0).min() > 1e-3  # the rows differ
    score = twins.score(model, twin_of(torch, twins, model), X, y)
    assert score == pytest.approx(model.score(X, y), abs=1e-5)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("kind", [SequenceClassifier, SequenceTagger])
def test_torch_hears_the_same_speaker(torch, twins, kind, nonlinearity):
    _, X, speakers = demo.load()
    y = speakers
    if kind is SequenceTagger:
        y = [[s] * len(x) for x, s in zip(X, speakers, strict=True)]
    model = kind(16, 2, nonlinearity, bidirectional=True, epochs=2)
    model.fit(X[::2], y[::2])
    twin = twin_of(torch, twins, model)
    assert twins.score(model, twin, X[1::2], y[1::2]) == model.score(X[1::2], y[1::2])


@each
def test_torch_has_the_same_loss_and_learns_the_same(torch, twins, kind, options):
    X, y = data(kind, options)
    model = kind(**SMALL | options | {"epochs": 0}).fit(X, y)
    *inputs, targets = zip(*model._learn(X, y)[0], strict=True)
    twin = twin_of(torch, twins, model)
    expected = twins.loss_of(model, twin(list(zip(*inputs, strict=True))), targets)
    expected.backward()
    loss, gradients = model._gradients(list(zip(*inputs, targets, strict=True)))
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    for name, parameter in twin.named_parameters():
        theirs = parameter.grad.numpy()
        np.testing.assert_allclose(gradients[name], theirs, atol=1e-5, err_msg=name)
    model = kind(**SMALL | options | {"epochs": 4}).fit(X, y)
    learned, _ = twins.train(model, X, y)
    for name, array in learned.state_dict().items():
        ours = model.state_dict()[name]
        np.testing.assert_allclose(ours, array, atol=2e-3, err_msg=name)
