"""Libraries built on torch.nn.RNN, unmodified, patched: the losses that torch gives.

They are run as their own users run them; every loss of every step is recorded where the
libraries call backward().
"""

import contextlib
import pickle

import numpy as np
import pytest
from twins import counted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # theirs
]


@contextlib.contextmanager
def recorded_losses(torch):
    """The value of every tensor whose backward() is called in the block."""
    losses, backward = [], torch.Tensor.backward

    def record(self, *args, **kwargs):
        losses.append(self.item())
        return backward(self, *args, **kwargs)

    torch.Tensor.backward = record
    try:
        yield losses
    finally:
        torch.Tensor.backward = backward


def compare(torch, train):
    """train() twice, plain and patched: the same losses; what both runs returned.

    The first steps agree as float32 does; later ones less, for the libraries' usual
    optimizers divide by gradients, which makes much of a rounding.
    """
    import crnn.torch

    results, curves = [], []
    for way in contextlib.nullcontext, crnn.torch.patched:
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 the libraries' own generator
        with way(), recorded_losses(torch) as losses, counted() as made:
            results.append(train())
        assert bool(made) == (way is crnn.torch.patched)
        curves.append(np.array(losses))
    assert len(curves[0]) == len(curves[1]) > 10
    np.testing.assert_allclose(curves[1][:3], curves[0][:3], rtol=1e-5)
    np.testing.assert_allclose(curves[1], curves[0], rtol=1e-3)
    return results


def sktime(what):
    return pytest.importorskip(
        f"sktime.{what}", reason="sktime is missing (crnn[clients])"
    )


@pytest.mark.parametrize(
    "options",
    [
        {"n_layers": 2, "bidirectional": True, "activation_hidden": "Tanh"},
        {"n_layers": 2, "dropout": 0.3, "fc_dropout": 0.1},
        {"bias": False},
    ],
    ids=str,
)
def test_sktime_classifier(torch, options):
    """RNN(6, 32) on BasicMotions, (8, 100, 6) at a time, batch first, from h_n."""
    rnn = sktime("classification.deep_learning.rnn")
    datasets = sktime("datasets")
    x, y = datasets.load_basic_motions(split="train", return_type="numpy3D")
    test, labels = datasets.load_basic_motions(split="test", return_type="numpy3D")
    scale = x.std(axis=(0, 2), keepdims=True)

    def train():
        net = rnn.SimpleRNNClassifierTorch(
            hidden_dim=32, num_epochs=4, batch_size=8, random_state=1, **options
        )
        return net.fit(x / scale, y).predict_proba(test / scale)

    plain, patched = compare(torch, train)
    np.testing.assert_allclose(patched, plain, rtol=0, atol=1e-3)
    assert len(labels) == len(plain)


def test_sktime_regressor(torch):
    rnn = sktime("regression.deep_learning.rnn")
    data = np.random.default_rng(0).standard_normal((48, 3, 40))
    target = data[:, 0].mean(-1) - data[:, 1, -5:].mean(-1)

    def train():
        net = rnn.SimpleRNNRegressorTorch(
            hidden_dim=24, n_layers=2, num_epochs=4, batch_size=12, random_state=1
        )
        return net.fit(data, target).predict(data)

    plain, patched = compare(torch, train)
    np.testing.assert_allclose(patched, plain, rtol=0, atol=1e-3)


def module_of(torch):
    """A module of a skorch user, importable for pickle and clone."""

    class Classifier(torch.nn.Module):
        def __init__(self, hidden=16, layers=1, bidirectional=False):
            super().__init__()
            self.rnn = torch.nn.RNN(
                8, hidden, layers, batch_first=True, bidirectional=bidirectional
            )
            self.head = torch.nn.Linear(hidden * (1 + bidirectional), 10)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    Classifier.__qualname__ = "Classifier"
    globals()["Classifier"] = Classifier
    return Classifier


def digits():
    load = pytest.importorskip(
        "sklearn.datasets", reason="scikit-learn is missing (crnn[clients])"
    ).load_digits
    images, labels = load(return_X_y=True)
    return (images.reshape(-1, 8, 8) / 16).astype("float32")[:600], labels[:600]


def test_skorch_training(torch):
    """The rows of digits as steps; fit, predict, pickle, go on fitting."""
    skorch = pytest.importorskip("skorch", reason="skorch is missing (crnn[clients])")
    x, y = digits()

    def train():
        net = skorch.NeuralNetClassifier(
            module_of(torch),
            module__layers=2,
            module__bidirectional=True,
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            max_epochs=4,
            batch_size=32,
            verbose=0,
        ).fit(x, y)
        again = pickle.loads(pickle.dumps(net))
        np.testing.assert_array_equal(again.predict_proba(x), net.predict_proba(x))
        again.partial_fit(x, y)
        return again.history[:, ("train_loss", "valid_loss", "valid_acc")]

    plain, patched = compare(torch, train)
    np.testing.assert_allclose(patched, plain, rtol=1e-3)


def test_skorch_grid_search(torch):
    skorch = pytest.importorskip("skorch", reason="skorch is missing (crnn[clients])")
    selection = pytest.importorskip("sklearn.model_selection")
    x, y = digits()

    def train():
        net = skorch.NeuralNetClassifier(
            module_of(torch),
            criterion=torch.nn.CrossEntropyLoss,
            optimizer=torch.optim.Adam,
            max_epochs=2,
            train_split=None,
            verbose=0,
        )
        grid = {"module__hidden": [8, 16], "module__layers": [1, 2]}
        search = selection.GridSearchCV(net, grid, cv=2, scoring="accuracy")
        return search.fit(x[:200], y[:200]).cv_results_["mean_test_score"]

    plain, patched = compare(torch, train)
    np.testing.assert_allclose(patched, plain, atol=0.01)


@pytest.mark.parametrize("name", ["RNNModel", "BlockRNNModel"])
def test_darts(torch, name, tmp_path, monkeypatch):
    """Forecasts of a series, state by state; the model saved, and read again."""
    pytest.importorskip(
        "darts.models.forecasting.rnn_model",
        reason="darts is missing, or what it needs of torch: pip install darts[torch]",
        exc_type=ImportError,
    )
    from darts import TimeSeries, models

    monkeypatch.chdir(tmp_path)  # darts leaves logs where it runs
    steps = np.arange(160)
    values = np.sin(steps / 3) + 0.1 * np.cos(steps / 7) + steps / 160
    series = TimeSeries.from_values(values.astype("float32"))
    options = {
        "RNNModel": {"training_length": 36, "hidden_dim": 32},
        "BlockRNNModel": {"output_chunk_length": 6, "hidden_dim": 32},
    }[name]

    def train():
        model = getattr(models, name)(
            model="RNN",
            input_chunk_length=24,
            n_rnn_layers=2,
            dropout=0.1,
            batch_size=32,
            n_epochs=3,
            random_state=0,
            pl_trainer_kwargs={"accelerator": "cpu", "enable_progress_bar": False},
            **options,
        )
        model.fit(series)
        forecast = model.predict(12).values()
        model.save("model.pt")
        again = getattr(models, name).load("model.pt")
        np.testing.assert_allclose(again.predict(12).values(), forecast, atol=1e-5)
        return forecast

    plain, patched = compare(torch, train)
    np.testing.assert_allclose(patched, plain, atol=1e-3)
