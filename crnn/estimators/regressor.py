"""SequenceRegressor: numbers for each sequence, such as a forecast."""

import numpy as np

from ..training import mean_squared_error
from .many_to_one import ManyToOne


class SequenceRegressor(ManyToOne):
    __doc__ = """Predicts numbers from a sequence, such as the next ones of a series.

    X is a list of sequences as `SequenceClassifier` takes them; y is (N,) or (N, K)
    numbers, which are standardised for training.

    Example:
        >>> t = np.arange(60) / 3
        >>> X = [np.sin(t[i : i + 12]) for i in range(40)]
        >>> model = SequenceRegressor(16, epochs=100).fit(X, np.sin(t[12:52]))
        >>> bool(abs(model.predict(X) - np.sin(t[12:52])).max() < 0.1)
        True

    """ + ManyToOne.__doc__.split("\n\n    ", 1)[1]

    _FITTED = ("encoder_", "y_mean_", "y_scale_")
    _KIND = "regressor"

    def _learn(self, X, y):
        y = np.asarray(y, np.float64)
        if y.ndim not in (1, 2) or not np.isfinite(y).all():
            raise ValueError("y must be finite numbers, (N,) or (N, K)")
        deviation = y.std(axis=0)
        self.y_mean_ = np.asarray(y.mean(axis=0))
        self.y_scale_ = np.asarray(np.where(deviation > 0, deviation, 1))
        examples, lengths = self._learn_inputs(X)
        targets = ((y - self.y_mean_) / self.y_scale_).reshape(len(y), -1)
        pairs = zip(examples, targets.astype(np.float32), strict=True)
        return [(*example, target) for example, target in pairs], lengths

    def _outputs(self):
        return self.y_mean_.size

    def _loss_of(self, outputs, targets):
        return mean_squared_error(outputs, targets)

    def predict(self, X) -> np.ndarray:
        """The numbers, of y's shape for N sequences; float64."""
        rows = self._predict_rows(X)
        rows = rows.reshape(len(rows), *self.y_mean_.shape)
        return rows * self.y_scale_ + self.y_mean_

    def score(self, X, y) -> float:
        """R squared: 1 less the squared error over that of the mean of y."""
        y = np.asarray(y, np.float64)
        error = ((y - self.predict(X)) ** 2).sum(axis=0)
        total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        return float(np.mean(1 - error / np.where(total > 0, total, np.nan)))
