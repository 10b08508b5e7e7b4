"""Losses and optimisers beside torch's, clipping, stopping, and the loop."""

import numpy as np
import pytest

import crnn
from crnn.training import (
    SGD,
    Adam,
    EarlyStopping,
    binary_cross_entropy,
    clip_gradients,
    cross_entropy,
    fit,
    mean_squared_error,
)

RNG = np.random.default_rng(0)
TARGETS = np.array([[0, 4, -100], [2, -100, 1]])
LOSSES = {
    "cross_entropy": (cross_entropy, (2, 3, 5), TARGETS),
    "binary": (binary_cross_entropy, (4, 3), RNG.integers(0, 2, (4, 3))),
    "squares": (mean_squared_error, (4, 3), RNG.standard_normal((4, 3))),
}


def torch_loss(torch, name, x, targets):
    f, targets = torch.nn.functional, torch.tensor(targets)
    if name == "cross_entropy":
        return f.cross_entropy(x.flatten(0, 1), targets.flatten())
    if name == "binary":
        return f.binary_cross_entropy_with_logits(x, targets.to(x.dtype))
    return f.mse_loss(x, targets.to(x.dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_against_torch(torch, name, dtype):
    loss_of, shape, targets = LOSSES[name]
    x = (10 * np.random.default_rng(1).standard_normal(shape)).astype(dtype)
    loss, gradient = loss_of(x, targets)
    t = torch.tensor(x, requires_grad=True)
    expected = torch_loss(torch, name, t, targets)
    expected.backward()
    rtol = 1e-5 if dtype == "float32" else 1e-12
    assert loss == pytest.approx(expected.item(), rel=rtol)
    np.testing.assert_allclose(gradient, t.grad.numpy(), rtol=rtol, atol=rtol)
    assert gradient.dtype == dtype


@pytest.mark.parametrize("name", LOSSES)
def test_losses_by_finite_differences(name):
    loss_of, shape, targets = LOSSES[name]
    x = np.random.default_rng(1).standard_normal(shape)
    gradient = loss_of(x, targets)[1]
    for i in np.ndindex(shape):
        step = np.zeros(shape)
        step[i] = 1e-6
        numeric = (loss_of(x + step, targets)[0] - loss_of(x - step, targets)[0]) / 2e-6
        assert gradient[i] == pytest.approx(numeric, abs=1e-8)


def test_losses_of_large_logits_and_wrong_targets():
    assert cross_entropy(np.array([[1e4, -1e4]]), [1])[0] == 2e4
    assert binary_cross_entropy(np.array([1e4, -1e4]), [0, 0])[0] == 5e3
    for wrong in [2], [-1]:
        with pytest.raises(ValueError, match="targets must be in"):
            cross_entropy(np.zeros((1, 2)), wrong)
    with pytest.raises(ValueError, match="ignored"):
        cross_entropy(np.zeros((1, 2)), [-100])
    with pytest.raises(crnn.ShapeError):
        cross_entropy(np.zeros((1, 2)), [0, 1])
    with pytest.raises(crnn.ShapeError):
        mean_squared_error(np.zeros((1, 2)), [0, 1])


OPTIMIZERS = [
    (Adam, "Adam", {}),
    (Adam, "Adam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    (SGD, "SGD", {"lr": 0.1}),
    (SGD, "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "name", "options"), OPTIMIZERS)
def test_optimizers_against_torch(torch, kind, name, options, dtype):
    rng = np.random.default_rng(0)
    arrays = {
        "a": np.asfortranarray(rng.standard_normal((4, 3)).astype(dtype)),
        "b": rng.standard_normal(3).astype(dtype),
    }
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in arrays.items()}
    ours = kind(arrays, **options)
    theirs = getattr(torch.optim, name)(tensors.values(), **options)
    for _ in range(20):
        for n, tensor in tensors.items():
            tensor.grad = torch.tensor(rng.standard_normal(arrays[n].shape)).to(tensor)
        ours.step({n: t.grad.numpy() for n, t in tensors.items()})
        theirs.step()
    rtol = 2e-5 if dtype == "float32" else 1e-12
    for n, tensor in tensors.items():
        np.testing.assert_allclose(arrays[n], tensor.detach().numpy(), rtol, rtol)


def test_optimizers_refuse_what_does_not_fit():
    adam = Adam({"a": np.zeros(3)})
    with pytest.raises(crnn.ShapeError):
        adam.step({"a": np.zeros(2)})
    with pytest.raises(KeyError):
        adam.step({"b": np.zeros(3)})
    assert adam.steps == 0
    with pytest.raises(ValueError, match="learning rate"):
        SGD({}, lr=-1)


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clipping_is_that_of_torch(torch, max_norm):
    rng = np.random.default_rng(0)
    gradients = {"a": np.asfortranarray(rng.standard_normal((4, 3))), "b": np.ones(3)}
    tensors = [torch.zeros(g.shape, dtype=torch.float64) for g in gradients.values()]
    for tensor, gradient in zip(tensors, gradients.values(), strict=True):
        tensor.grad = torch.tensor(gradient)
    expected = torch.nn.utils.clip_grad_norm_(tensors, max_norm).item()
    assert clip_gradients(gradients, max_norm) == pytest.approx(expected, rel=1e-14)
    for tensor, gradient in zip(tensors, gradients.values(), strict=True):
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-14)


def test_early_stopping_keeps_the_best():
    parameters = {"a": np.zeros(1)}
    stopping = EarlyStopping(patience=1)
    for loss, stop in (3.0, False), (2.0, False), (2.5, False), (2.1, True):
        parameters["a"][:] = loss
        assert stopping.update(loss, parameters) is stop
    stopping.restore(parameters)
    assert parameters["a"] == 2.0


@pytest.mark.parametrize("verbose", [False, True])
def test_fit_finds_a_line(verbose):
    x = np.random.default_rng(0).standard_normal((64, 2))
    y = x @ [1.0, -2.0]
    model = {"w": np.zeros(2)}

    def gradients_of(rows):
        loss, d = mean_squared_error(x[rows] @ model["w"], y[rows])
        return loss, {"w": x[rows].T @ d}

    adam = Adam(model, lr=0.1)
    parts = np.arange(64).reshape(4, 16)
    history = fit(
        gradients_of,
        lambda epoch: parts,
        adam,
        60,
        max_norm=1.0,
        decay=True,
        validate=lambda: mean_squared_error(x @ model["w"], y)[0],
        stopping=EarlyStopping(20),
        verbose=verbose,
    )
    np.testing.assert_allclose(model["w"], [1, -2], atol=0.02)
    assert history[-1]["validation_loss"] < 1e-3 and adam.lr == 0.1
