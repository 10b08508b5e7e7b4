"""Connectionist temporal classification: labels of sequences without an alignment.

A network emits one of C classes at each time step, class `blank` for nothing; a path
becomes labels when repeats are merged and blanks dropped.  The loss is minus the log of
the summed probability of all paths that become the target.

Source: Graves, Fernandez, Gomez, Schmidhuber 2006.
"""

import numpy as np

from ._core import ShapeError
from .activations import log_softmax
from .ctc_search import ctc_beam_search, ctc_greedy

__all__ = ["ctc_beam_search", "ctc_greedy", "ctc_loss"]

# The log of zero: sums of it stay finite, so that nothing has to be told apart.
NEVER = -1e30


def ctc_loss(
    logits,
    targets,
    input_lengths,
    target_lengths,
    blank=0,
    reduction="mean",
    zero_infinity=False,
):
    """The loss and its gradient by the logits.

    Args:
        logits: (T, B, C) floats, or their log-softmax, which has the same loss.
        targets: (B, U) integers in 0 .. C-1 but blank, padded with anything at the end.
        input_lengths: B integers in 1 .. T: the steps of each row.
        target_lengths: B integers in 0 .. U: the labels of each row.
        blank: the class that stands for no label.
        reduction: "mean" (each loss divided by its target's length, then the mean),
            "sum" or "none".
        zero_infinity: whether a row that is too short for its target counts as zero,
            with a zero gradient, instead of infinity, with a gradient of NaN.

    Returns:
        (loss, d_logits): a scalar, or (B,) for "none", and (T, B, C), which is zero
        past a row's end; for "none" the gradient of the sum.  Both as torch's
        ctc_loss gives them for log_softmax(logits).

    Raises:
        ShapeError: (a ValueError) shapes or lengths that do not fit.
        ValueError: a target out of range, or an unknown reduction.
    """
    logits = np.asarray(logits)
    lengths, sizes, labels = _checked(
        logits, targets, input_lengths, target_lengths, blank
    )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be mean, sum or none, not {reduction!r}")
    log_probs = log_softmax(logits)
    losses, occupied = _lattice(log_probs, labels, lengths, sizes)
    gradient = np.exp(log_probs) - occupied
    impossible = np.isinf(losses)
    gradient[:, impossible] = 0 if zero_infinity else np.nan
    gradient[np.arange(len(logits))[:, None] >= lengths] = 0
    if zero_infinity:
        losses = np.where(impossible, 0, losses)
    if reduction == "none":
        return losses, gradient
    if reduction == "sum":
        return losses.sum(), gradient
    scale = (1 / (np.maximum(sizes, 1) * len(sizes))).astype(logits.dtype)
    gradient *= scale[:, None]
    return (losses * scale).sum(), gradient


def _checked(logits, targets, input_lengths, target_lengths, blank):
    """The lengths, and the targets with blanks between: (B, S), S = 2 U + 1."""
    if logits.ndim != 3 or logits.dtype.kind != "f" or logits.size == 0:
        raise ShapeError(
            f"logits must be floats (T, B, C), got {logits.dtype} {logits.shape}"
        )
    T, B, C = logits.shape
    targets = np.asarray(targets)
    if targets.ndim != 2 or len(targets) != B or targets.dtype.kind not in "iu":
        raise ShapeError(
            f"targets must be integers ({B}, U), got {targets.dtype} {targets.shape}"
        )
    U = targets.shape[1]
    lengths = _lengths("input_lengths", input_lengths, B, 1, T)
    sizes = _lengths("target_lengths", target_lengths, B, 0, U)
    if not 0 <= blank < C:
        raise ValueError(f"blank must be in 0 .. {C - 1}, got {blank}")
    is_label = np.arange(U) < sizes[:, None]
    wrong = is_label & ((targets < 0) | (targets >= C) | (targets == blank))
    for label in targets[wrong][:1]:
        raise ValueError(f"a target must be in 0 .. {C - 1} but {blank}, got {label}")
    labels = np.full((B, 2 * U + 1), blank)
    labels[:, 1::2] = np.where(is_label, targets, blank)
    return lengths, sizes, labels


def _lengths(name, values, B, least, most):
    values = np.asarray(values)
    if values.shape != (B,) or values.dtype.kind not in "iu":
        raise ShapeError(f"{name} must be {B} integers, got {values.shape}")
    for value in values[(values < least) | (values > most)][:1]:
        raise ShapeError(f"{name} must be in {least} .. {most}, got {value}")
    return values.astype(np.intp)


def _lattice(log_probs, labels, lengths, sizes):
    """Losses (B,), and the probability (T, B, C) of each class given the target.

    The backward pass is the forward pass over sequences that are reversed in time and
    in labels, so both are one recursion over twice the rows.
    """
    T, B, C = log_probs.shape
    S = labels.shape[1]
    rows, t, s = np.arange(B), np.arange(T)[:, None], np.arange(S)
    t_back = np.maximum(lengths - 1 - t, 0)[:, :, None]
    s_back = np.maximum(2 * sizes[:, None] - s, 0)
    mirror = t_back, rows[:, None], s_back

    emitted = np.take_along_axis(log_probs, labels[None], 2)
    np.maximum(emitted, NEVER, out=emitted)
    alpha = _paths(
        np.concatenate([emitted, emitted[mirror]], 1),
        np.concatenate([labels, np.take_along_axis(labels, s_back, 1)]),
    )
    ends = alpha[lengths - 1, rows]
    last = np.take_along_axis(ends, np.maximum(2 * sizes[:, None] - [0, 1], 0), 1)
    last[sizes == 0, 1] = NEVER
    log_likelihood = np.logaddexp(last[:, 0], last[:, 1])
    losses = np.where(log_likelihood < NEVER / 2, np.inf, -log_likelihood)

    through = alpha[:, :B] + alpha[:, B:][mirror] - emitted
    np.minimum(through - log_likelihood[:, None], 0, out=through)
    through[:, s > 2 * sizes[:, None]] = NEVER
    cells = (t[:, :, None] * B + rows[:, None]) * C + labels
    occupied = np.bincount(cells.ravel(), np.exp(through).ravel(), T * B * C)
    return losses, occupied.reshape(T, B, C).astype(log_probs.dtype)


def _paths(emitted, labels):
    """Log-probabilities of all ways to each label: (T, R, S) for emissions (T, R, S).

    alpha[t, s] = emitted[t, s] + log sum exp alpha[t-1, (s, s-1, s-2)], where s-2 is
    reached if no blank is thereby left out between equal labels.
    """
    T, R, S = emitted.shape
    jump_cost = np.full((R, S), NEVER, emitted.dtype)
    jump_cost[:, 3::2] = np.where(labels[:, 3::2] != labels[:, 1:-2:2], 0, NEVER)
    padded = np.full((T, R, S + 2), NEVER, emitted.dtype)
    alpha = padded[:, :, 2:]
    alpha[0, :, :2] = emitted[0, :, :2]
    for t in range(1, T):
        stay, step = alpha[t - 1], padded[t - 1, :, 1:-1]
        jump = padded[t - 1, :, :-2] + jump_cost
        top = np.maximum(np.maximum(stay, step), jump)
        total = np.exp(stay - top) + np.exp(step - top) + np.exp(jump - top)
        np.add(np.log(total) + top, emitted[t], out=alpha[t])
    return alpha
