"""Training on arrays: losses with their gradients, optimisers, clipping, a loop.

A model is a mapping from names to live arrays, such as ``rnn.state_dict()``; gradients
are a mapping from the same names, such as what a pullback returns.
"""

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ._core import ShapeError
from .activations import log_softmax, sigmoid


def cross_entropy(
    logits: np.ndarray, targets: np.ndarray, ignore_index: int = -100
) -> tuple[float, np.ndarray]:
    """Mean of -log softmax(logits)[target], and its gradient by the logits.

    Args:
        logits: (..., C), any finite numbers.
        targets: (...), integers in 0 .. C-1, or ignore_index where there is none, as at
            padding.

    Raises:
        ShapeError: the shapes do not fit.
        ValueError: a target is out of range, or every one is ignored.
    """
    targets = np.asarray(targets)
    if targets.shape != logits.shape[:-1]:
        raise ShapeError(
            f"targets must have shape {logits.shape[:-1]}, got {targets.shape}"
        )
    C = logits.shape[-1]
    flat = targets.ravel()
    kept = np.flatnonzero(flat != ignore_index)
    chosen = flat[kept]
    if not len(kept):
        raise ValueError("cross_entropy has no targets: all are ignored")
    if chosen.min() < 0 or chosen.max() >= C:
        raise ValueError(f"targets must be in 0 .. {C - 1} or {ignore_index}")
    log_p = log_softmax(logits.reshape(-1, C)[kept])
    rows = np.arange(len(kept))
    loss = -float(log_p[rows, chosen].mean())
    d_kept = np.exp(log_p)
    d_kept[rows, chosen] -= 1
    d_kept /= len(kept)
    if len(kept) == len(flat):
        return loss, d_kept.reshape(logits.shape)
    gradient = np.zeros((len(flat), C), logits.dtype)
    gradient[kept] = d_kept
    return loss, gradient.reshape(logits.shape)


def binary_cross_entropy(
    logits: np.ndarray, targets: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean of -log of sigmoid(logits)'s probability of targets, and its gradient.

    Args:
        logits: any shape, any finite numbers.
        targets: of the same shape, in [0, 1].
    """
    targets = _same_shape(logits, targets)
    losses = np.maximum(logits, 0) - logits * targets
    losses += np.log1p(np.exp(-np.abs(logits)))
    return float(losses.mean()), (sigmoid(logits) - targets) / logits.size


def mean_squared_error(
    predictions: np.ndarray, targets: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean of (predictions - targets)^2, and its gradient by the predictions."""
    difference = predictions - _same_shape(predictions, targets)
    return float(np.mean(difference**2)), difference * (2 / difference.size)


def _same_shape(predictions, targets) -> np.ndarray:
    targets = np.asarray(targets, predictions.dtype)
    if targets.shape != predictions.shape:
        raise ShapeError(
            f"targets must have shape {predictions.shape}, got {targets.shape}"
        )
    return targets


def clip_gradients(gradients: Mapping[str, np.ndarray], max_norm: float) -> float:
    """Scale all gradients in place so that their joint norm is at most max_norm.

    Returns:
        The norm before.
    """
    # Not by BLAS, whose sums depend on its threads.
    squares = [float(np.square(gradient).sum()) for gradient in gradients.values()]
    norm = math.sqrt(sum(squares))
    scale = max_norm / (norm + 1e-6)
    if scale < 1:
        for gradient in gradients.values():
            gradient *= gradient.dtype.type(scale)
    return norm


class Optimizer:
    """Changes the arrays of a model in place, by gradients of the same names."""

    def __init__(self, parameters: Mapping[str, np.ndarray], lr: float):
        if not lr >= 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        self.parameters = dict(parameters)
        self.lr = lr
        self.state: dict[str, tuple[np.ndarray, ...]] = {}
        self.steps = 0

    def step(self, gradients: Mapping[str, np.ndarray]) -> None:
        """One update of the parameters that have gradients.

        Raises:
            KeyError: a gradient belongs to no parameter.
            ShapeError: one has not its parameter's shape.
        """
        for name, gradient in gradients.items():
            if gradient.shape != self.parameters[name].shape:
                raise ShapeError(
                    f"the gradient of {name} must have shape "
                    f"{self.parameters[name].shape}, got {gradient.shape}"
                )
        self.steps += 1
        for name, gradient in gradients.items():
            self._update(name, self.parameters[name], gradient)

    def _update(self, name, parameter, gradient) -> None:
        raise NotImplementedError


class SGD(Optimizer):
    """Stochastic gradient descent with momentum; torch.optim.SGD's update."""

    def __init__(self, parameters, lr=1e-3, momentum=0.0, weight_decay=0.0):
        super().__init__(parameters, lr)
        self.momentum = momentum
        self.weight_decay = weight_decay

    def _update(self, name, parameter, gradient) -> None:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        if self.momentum:
            if name not in self.state:
                self.state[name] = (np.zeros_like(parameter),)
            (velocity,) = self.state[name]
            velocity *= self.momentum
            velocity += gradient
            gradient = velocity
        parameter -= self.lr * gradient


class Adam(Optimizer):
    """Adam (Kingma, Ba 2015); torch.optim.Adam's update."""

    def __init__(
        self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0
    ):
        super().__init__(parameters, lr)
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay

    def _update(self, name, parameter, gradient) -> None:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        if name not in self.state:
            self.state[name] = tuple(np.zeros_like(parameter) for _ in range(3))
        mean, square, scratch = self.state[name]
        beta1, beta2 = self.betas
        np.subtract(gradient, mean, out=scratch)
        scratch *= 1 - beta1
        mean += scratch
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 1 - beta2
        square *= beta2
        square += scratch
        np.sqrt(square, out=scratch)
        scratch /= math.sqrt(1 - beta2**self.steps)
        scratch += self.eps
        np.divide(mean, scratch, out=scratch)
        scratch *= self.lr / (1 - beta1**self.steps)
        parameter -= scratch


class EarlyStopping:
    """Says when a loss has not fallen for some epochs, and keeps the best parameters.

    Args:
        patience: how many epochs without a new minimum there may be.
        min_delta: by how much a new minimum must be lower.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0):
        self.patience = patience
        self.min_delta = min_delta
        self.best = math.inf
        self.waited = 0
        self.kept: dict[str, np.ndarray] = {}

    def update(self, loss: float, parameters: Mapping[str, np.ndarray]) -> bool:
        """Take note of an epoch; whether it is time to stop."""
        if loss < self.best - self.min_delta:
            self.best, self.waited = loss, 0
            self.kept = {name: a.copy("K") for name, a in parameters.items()}
        else:
            self.waited += 1
        return self.waited > self.patience

    def restore(self, parameters: Mapping[str, np.ndarray]) -> None:
        """Copy the best parameters back."""
        for name, array in self.kept.items():
            parameters[name][...] = array


def progress(epochs: int, shown: bool):
    """The epochs, with a bar by tqdm where it is wanted and installed."""
    if shown:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return range(epochs)
        return tqdm(range(epochs), unit="epoch")
    return range(epochs)


def fit(
    gradients_of: Callable,
    batches_of: Callable[[int], Iterable],
    optimizer: Optimizer,
    epochs: int,
    *,
    max_norm: float | None = None,
    decay: bool = False,
    validate: Callable[[], float] | None = None,
    stopping: EarlyStopping | None = None,
    verbose: bool = False,
) -> list[dict[str, float]]:
    """Train; returns the mean loss, and the validation loss, of each epoch.

    Args:
        gradients_of: from a batch to (loss, gradients by the parameters' names).
        batches_of: from an epoch's number to its batches.
        optimizer: of the model's parameters.
        epochs: at most how many.
        max_norm: of all gradients together.
        decay: whether the learning rate falls to zero along a cosine.
        validate: the loss on other data, after each epoch.
        stopping: ends the training by what validate returns, or by the mean loss, and
            brings back the best parameters.
        verbose: whether to show a bar.
    """
    history, lr = [], optimizer.lr
    bar = progress(epochs, verbose)
    for epoch in bar:
        losses, part = [], list(batches_of(epoch))
        for i, batch in enumerate(part):
            if decay:
                done = (epoch + i / len(part)) / epochs
                optimizer.lr = lr * (1 + math.cos(math.pi * done)) / 2
            loss, gradients = gradients_of(batch)
            if max_norm is not None:
                clip_gradients(gradients, max_norm)
            optimizer.step(gradients)
            losses.append(loss)
        found = {"loss": float(np.mean(losses))}
        if validate is not None:
            found["validation_loss"] = validate()
        history.append(found)
        if verbose and hasattr(bar, "set_postfix"):
            bar.set_postfix(found)
        watched = found.get("validation_loss", found["loss"])
        if stopping is not None and stopping.update(watched, optimizer.parameters):
            break
    if stopping is not None:
        stopping.restore(optimizer.parameters)
    optimizer.lr = lr
    return history
