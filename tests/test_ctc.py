"""crnn.ctc: the loss against torch, differences and enumeration; the searches."""

import itertools

import numpy as np
import pytest

from crnn import ShapeError
from crnn.activations import log_softmax
from crnn.ctc import ctc_beam_search, ctc_greedy, ctc_loss

T, B, C = 12, 7, 5
LENGTHS = np.array([12, 4, 12, 6, 1, 9, 5])
SIZES = np.array([6, 0, 3, 6, 1, 2, 6])  # the fourth and the last do not fit


def example(dtype=np.float64):
    rng = np.random.default_rng(0)
    targets = rng.integers(1, C, (B, 6))
    targets[0] = 1  # repeated: blanks must stand between
    return 2 * rng.normal(size=(T, B, C)).astype(dtype), targets, LENGTHS, SIZES


def merged(path, blank=0):
    return tuple(k for k, _ in itertools.groupby(path) if k != blank)


def enumerated(log_probs, blank=0):
    """The log-probability of every labelling of a (T, C) row, by all of its paths."""
    found = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        score = log_probs[range(len(path)), path].sum()
        key = merged(path, blank)
        found[key] = np.logaddexp(found.get(key, -np.inf), score)
    return found


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_torch(torch, dtype, reduction, zero_infinity):
    logits, targets, lengths, sizes = example(dtype)
    kinds = {"reduction": reduction, "zero_infinity": zero_infinity}
    loss, gradient = ctc_loss(logits, targets, lengths, sizes, **kinds)
    x = torch.tensor(logits, requires_grad=True)
    args = [torch.tensor(a) for a in (targets, lengths, sizes)]
    expected = torch.nn.functional.ctc_loss(x.log_softmax(2), *args, **kinds)
    expected.sum().backward()
    tolerance = 1e-10 if dtype == np.float64 else 2e-5
    assert gradient.dtype == np.asarray(loss).dtype == dtype
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=tolerance)
    # Where a loss is infinite torch has NaN in some classes, crnn in all of the row.
    known = ~np.isnan(gradient)
    theirs = x.grad.numpy()
    np.testing.assert_allclose(gradient[known], theirs[known], atol=tolerance)
    assert known.all() == zero_infinity


def test_is_the_sum_over_all_paths():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(5, 1, 3))
    every = enumerated(log_softmax(logits)[:, 0])
    assert np.logaddexp.reduce(list(every.values())) == pytest.approx(0)
    for target, score in every.items():
        labels = np.array([target], int).reshape(1, -1)
        loss, _ = ctc_loss(logits, labels, [5], [len(target)], reduction="sum")
        assert loss == pytest.approx(-score)


@pytest.mark.parametrize("blank", [0, 2, 4])
def test_gradient_by_differences(blank):
    logits, targets, lengths, sizes = example()
    targets = (targets + blank) % C
    sizes = np.minimum(sizes, [6, 0, 3, 2, 1, 2, 2])
    args = (targets, lengths, sizes, blank)
    _, gradient = ctc_loss(logits, *args)
    rng = np.random.default_rng(2)
    for _ in range(5):
        direction, step = rng.normal(size=logits.shape), 1e-5
        ends = [ctc_loss(logits + e * direction, *args)[0] for e in (step, -step)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx((gradient * direction).sum(), rel=1e-6)
    assert not gradient[np.arange(T)[:, None] >= lengths].any()


def test_a_row_does_not_depend_on_the_others():
    logits, targets, lengths, sizes = example(np.float32)
    losses, gradient = ctc_loss(logits, targets, lengths, sizes, reduction="none")
    for b, (n, u) in enumerate(zip(lengths, sizes, strict=True)):
        row = (logits[:n, [b]], targets[[b], :u], [n], [u])
        loss, alone = ctc_loss(*row, reduction="none")
        np.testing.assert_array_equal(loss[0], losses[b])
        np.testing.assert_array_equal(alone[:, 0], gradient[:n, b])


@pytest.mark.parametrize("scale", [1e3, 1e-30])
def test_extreme_logits(scale):
    logits, targets, lengths, sizes = example(np.float32)
    sizes = np.minimum(sizes, 1)
    loss, gradient = ctc_loss(logits * np.float32(scale), targets, lengths, sizes)
    assert np.isfinite(loss) and np.isfinite(gradient).all()


def test_nothing_but_empty_targets():
    logits = np.zeros((3, 2, 4))
    loss, gradient = ctc_loss(logits, np.zeros((2, 0), int), [3, 2], [0, 0])
    assert loss == pytest.approx(np.log(4) * 2.5)
    assert not gradient[2, 1].any() and gradient[0, 0, 0] == pytest.approx(-0.375)


def test_what_does_not_fit():
    logits, targets, lengths, sizes = example()
    with pytest.raises(ShapeError, match="logits"):
        ctc_loss(logits[0], targets, lengths, sizes)
    with pytest.raises(ShapeError, match="targets"):
        ctc_loss(logits, targets[:2], lengths, sizes)
    with pytest.raises(ShapeError, match=r"input_lengths must be in 1 \.\. 12, got 13"):
        ctc_loss(logits, targets, lengths + 1, sizes)
    with pytest.raises(ShapeError, match="target_lengths"):
        ctc_loss(logits, targets, lengths, sizes + 1)
    with pytest.raises(ValueError, match="got 5"):
        ctc_loss(logits, targets + 1, lengths, sizes)
    with pytest.raises(ValueError, match="blank"):
        ctc_loss(logits, targets, lengths, sizes, blank=5)
    with pytest.raises(ValueError, match="reduction"):
        ctc_loss(logits, targets, lengths, sizes, reduction="max")


def test_greedy_is_the_best_path():
    logits, _, lengths, _ = example()
    found = ctc_greedy(logits, lengths)
    for b, labels in enumerate(found):
        assert tuple(labels) == merged(logits[: lengths[b], b].argmax(1))


@pytest.mark.parametrize("blank", [0, 2])
def test_a_wide_beam_finds_the_best_labels(blank):
    rng = np.random.default_rng(3)
    log_probs = log_softmax(rng.normal(size=(5, 20, 3)))
    lengths = rng.integers(1, 6, 20)
    found = ctc_beam_search(log_probs, lengths, 64, blank)
    for b, labels in enumerate(found):
        every = enumerated(log_probs[: lengths[b], b], blank)
        assert tuple(labels) == max(every, key=every.get)


@pytest.mark.parametrize("width", [1, 3, 8])
def test_a_beam_of_a_batch_is_that_of_each_row(width):
    rng = np.random.default_rng(4)
    log_probs = log_softmax(rng.normal(size=(9, 33, 6)).astype(np.float32))
    lengths = rng.integers(1, 10, 33)
    found = ctc_beam_search(log_probs, lengths, width)
    for b, n in enumerate(lengths):
        (alone,) = ctc_beam_search(log_probs[:n, [b]], [n], width)
        np.testing.assert_array_equal(found[b], alone)
