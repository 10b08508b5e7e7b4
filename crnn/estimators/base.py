"""What all estimators share: parameters, the loop that fits, and files."""

import inspect
import math
import os

import numpy as np

from .. import random
from ..files import FormatError
from ..sequences import batches
from ..training import Adam, EarlyStopping, fit
from .encoder import own
from .inputs import InputEncoder
from .storage import read_model, write_model


class NotFittedError(ValueError, AttributeError):
    """The estimator has not been fitted yet."""


class Estimator:
    """A model of sequences with scikit-learn's methods.

    What a class adds: `_learn` looks at the data before training and sets the
    attributes named in _FITTED; `_make_layers` builds the layers from those and the
    parameters; `_gradients` is a training step.

    Args:
        hidden_size, num_layers, nonlinearity: of `crnn.RNN`.
        bias, dropout, bidirectional: of `crnn.RNN`.
        embedding_dim: features of a token's vector.
        standardize: whether vectors are shifted and scaled to mean 0, deviation 1.
        min_count: how often a token must occur to be told from unknown ones.
        epochs: at most how often the data are gone through.
        batch_size: sequences of a mini-batch.
        learning_rate: Adam's first one; it falls to zero along a cosine.
        max_norm: to which gradients are clipped; None for not at all.
        validation_fraction: share of the sequences that training is judged by; where
            there is one, training stops after `patience` epochs without improvement,
            and the best parameters stay.
        patience: see there.
        seed: of the initial parameters, the order and dropout: the same seed gives the
            same model, in bits, whatever crnn.set_num_threads says.
        verbose: whether to show a bar (by tqdm, where installed).

    Attributes:
        layers_: the network, by name: `crnn.RNN` and `crnn.layers`.
        history_: a dict of losses for each epoch.
    """

    # Attributes besides the layers that make a fitted estimator, kept in files.
    _FITTED: tuple[str, ...] = ()

    def __init__(
        self,
        hidden_size=64,
        num_layers=1,
        nonlinearity="tanh",
        bias=True,
        dropout=0.0,
        bidirectional=False,
        *,
        embedding_dim=32,
        standardize=True,
        min_count=1,
        epochs=30,
        batch_size=32,
        learning_rate=4e-3,
        max_norm=1.0,
        validation_fraction=0.0,
        patience=5,
        seed=0,
        verbose=False,
    ):
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.nonlinearity = nonlinearity
        self.bias = bias
        self.dropout = dropout
        self.bidirectional = bidirectional
        self.embedding_dim = embedding_dim
        self.standardize = standardize
        self.min_count = min_count
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_norm = max_norm
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.seed = seed
        self.verbose = verbose

    # What a class of estimators defines.

    def _learn(self, X, y) -> tuple[list, np.ndarray]:
        """The examples as training takes them, and the length of each."""
        raise NotImplementedError

    def _make_layers(self) -> dict:
        """The layers by name, with initial parameters."""
        raise NotImplementedError

    def _gradients(self, examples: list) -> tuple[float, dict]:
        """The loss of examples and its gradients, by names like "rnn.bias_hh_l0"."""
        raise NotImplementedError

    def _loss(self, examples: list) -> float:
        """The loss of examples, without dropout."""
        return self._gradients(examples)[0]

    # Parameters.

    @classmethod
    def _parameter_names(cls) -> list[str]:
        """Of the constructors of the class and of those that it derives from."""
        names = {}
        for kind in cls.__mro__:
            if "__init__" in vars(kind) and kind is not object:
                for name, p in inspect.signature(kind.__init__).parameters.items():
                    if name != "self" and p.default is not p.empty:
                        names[name] = p.default
        return sorted(names)

    def get_params(self, deep: bool = True) -> dict:
        """The constructor's arguments, by name."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params):
        """Set constructor's arguments; returns self."""
        names = self._parameter_names()
        for name in params:
            if name not in names:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self!r}. Valid "
                    f"parameters are: {names}."
                )
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        default = type(self)().get_params()
        changed = {k: v for k, v in self.get_params().items() if v != default[k]}
        text = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        return f"{type(self).__name__}({text})"

    _KIND: str | None = None  # "classifier" or "regressor"

    def __sklearn_tags__(self):
        """What scikit-learn asks before it cross-validates."""
        from sklearn.utils import (
            ClassifierTags,
            InputTags,
            RegressorTags,
            Tags,
            TargetTags,
        )

        return Tags(
            estimator_type=self._KIND,
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags() if self._KIND == "classifier" else None,
            regressor_tags=RegressorTags() if self._KIND == "regressor" else None,
            input_tags=InputTags(two_d_array=False, three_d_array=True),
        )

    # Fitting.

    def fit(self, X, y):
        """Train on sequences X and targets y, one of each; returns self.

        An error leaves the estimator as it was.
        """
        before = dict(vars(self))
        try:
            self._fit(X, y)
        except BaseException:
            self.__dict__ = before
            raise
        return self

    def _fit(self, X, y) -> None:
        X, y = list(X), list(y)
        if len(X) != len(y) or not X:
            raise ValueError(f"X and y must be alike and not empty: {len(X)}, {len(y)}")
        examples, lengths = self._learn(X, y)
        with random.seeded(self.seed):
            self.layers_ = self._make_layers()
            self._train(examples, np.asarray(lengths))
        for layer in self.layers_.values():
            layer.eval()

    def _train(self, examples: list, lengths: np.ndarray) -> None:
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(examples))
        held = math.ceil(self.validation_fraction * len(examples))
        if not 0 <= held < len(examples):
            raise ValueError("validation_fraction leaves nothing to train on")
        kept, held = order[held:], order[:held]

        def chosen(epoch):
            for batch in batches(lengths[kept], self.batch_size, rng):
                yield [examples[i] for i in kept[batch]]

        judged = {}
        if len(held):
            held = [examples[i] for i in held]
            judged["validate"] = lambda: self._validate(held)
            judged["stopping"] = EarlyStopping(self.patience)
        self.history_ = fit(
            self._gradients,
            chosen,
            Adam(self._parameters(), self.learning_rate),
            self.epochs,
            max_norm=self.max_norm,
            decay=True,
            verbose=self.verbose,
            **judged,
        )

    def _validate(self, examples: list, at_a_time: int = 256) -> float:
        for layer in self.layers_.values():
            layer.eval()
        total = 0.0
        for first in range(0, len(examples), at_a_time):
            part = examples[first : first + at_a_time]
            total += self._loss(part) * len(part)
        for layer in self.layers_.values():
            layer.train()
        return total / len(examples)

    def _parameters(self) -> dict[str, np.ndarray]:
        """All live arrays, by the names that a torch module of the layers has."""
        return {
            f"{layer}.{name}": array
            for layer, module in self.layers_.items()
            for name, array in module.named_parameters()
        }

    def _check_fitted(self) -> dict:
        if "layers_" not in self.__dict__:
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' "
                "with appropriate arguments before using this estimator."
            )
        return self.layers_

    def state_dict(self) -> dict[str, np.ndarray]:
        """All live arrays: what a torch module of the same layers can load."""
        self._check_fitted()
        return self._parameters()

    # Files.

    def save(self, path) -> None:
        """Write the fitted estimator to one ``.npz`` or ``.safetensors`` file."""
        arrays = self.state_dict()
        fitted = {name: getattr(self, name) for name in self._FITTED}
        write_model(path, type(self).__name__, self.get_params(), fitted, arrays)

    @classmethod
    def load(cls, path):
        """The estimator of a file that `save` wrote; no code in it is ever run.

        Raises:
            FormatError: (a ValueError) it is no such file, or another class's.
            OSError: it cannot be read.
        """
        params, fitted, arrays = read_model(path, cls.__name__, cls._FITTED)
        try:
            estimator = cls().set_params(**params)
            vars(estimator).update(fitted)
            with random.seeded(0):
                estimator.layers_ = estimator._make_layers()
            for name, layer in estimator.layers_.items():
                layer.eval().load_state_dict(own(name, arrays))
        except Exception as error:  # whatever comes of values that do not fit together
            path = os.fsdecode(path)
            raise FormatError(path, f"a damaged estimator: {error}") from error
        return estimator

    def _rnn_options(self) -> dict:
        """The arguments of `crnn.RNN` but for its sizes."""
        names = ("num_layers", "nonlinearity", "bias", "dropout", "bidirectional")
        return {name: getattr(self, name) for name in names}

    def _input_encoder(self) -> InputEncoder:
        return InputEncoder(self.standardize, self.min_count)
