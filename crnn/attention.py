"""Dot attention: which states of an encoder each state of a decoder looks at.

Source: Luong, Pham, Manning 2015.
"""

import numpy as np

from ._core import ShapeError


class DotAttention:
    """Averages of encoder states, weighted by their products with decoder states.

    For each decoder state s_t of a row and all encoder states m_j of that row

        a_t = softmax_j(s_t . m_j),  c_t = sum_j a_tj m_j

    It has no parameters.  Sizes: U decoder steps, T encoder steps, B batch, H features.

    Inputs: states, memory, lengths=None
        * states: (U, B, H).
        * memory: (T, B, H), of the same dtype.
        * lengths: B integers in 1 .. T; what lies beyond is never looked at.

    Outputs: context, weights
        * context: (U, B, H).
        * weights: (U, B, T), each row a distribution over the steps of the memory.

        The bits of a row do not depend on the other rows, nor on the padding.

    Raises:
        ShapeError: (a ValueError) sizes that do not fit.
    """

    def __call__(self, states, memory, lengths=None):
        past = _past(states, memory, lengths)
        contexts, weights = np.zeros_like(states), []
        for state, context in zip(states, contexts, strict=True):
            scores = (memory * state).sum(2)
            scores[past] = -np.inf
            scores = np.exp(scores - scores.max(0))
            scores /= np.cumsum(scores, 0)[-1]  # one by one, whatever T and B are
            for score, remembered in zip(scores, memory, strict=True):
                context += score[:, None] * remembered
            weights.append(scores.T)
        return contexts, np.array(weights)

    def vjp(self, states, memory, lengths=None):
        """A call that can be backpropagated, equal to the other within rounding.

        Returns:
            (context, weights, pullback): pullback(d_context) returns a dict of the
            gradients by "states" and "memory".
        """
        past = _past(states, memory, lengths)
        s, m = states.swapaxes(0, 1), memory.swapaxes(0, 1)
        scores = s @ m.swapaxes(1, 2)
        scores = np.where(past.T[:, None], -np.inf, scores)
        weights = np.exp(scores - scores.max(2, keepdims=True))
        weights /= weights.sum(2, keepdims=True)

        def pullback(d_context):
            d_c = d_context.swapaxes(0, 1)
            d_weights = d_c @ m.swapaxes(1, 2)
            mean = (weights * d_weights).sum(2, keepdims=True)
            d_scores = weights * (d_weights - mean)
            d_m = d_scores.swapaxes(1, 2) @ s + weights.swapaxes(1, 2) @ d_c
            found = {"states": d_scores @ m, "memory": d_m}
            return {
                name: np.ascontiguousarray(d.swapaxes(0, 1))
                for name, d in found.items()
            }

        context = np.ascontiguousarray((weights @ m).swapaxes(0, 1))
        return context, weights.swapaxes(0, 1), pullback


def _past(states, memory, lengths):
    """(T, B): where a row of the memory has ended."""
    T, B, H = memory.shape
    if states.ndim != 3 or states.shape[1:] != (B, H):
        raise ShapeError(f"states must have shape (U, {B}, {H}), got {states.shape}")
    lengths = np.full(B, T) if lengths is None else np.asarray(lengths)
    if lengths.shape != (B,) or ((lengths < 1) | (lengths > T)).any():
        raise ShapeError(f"lengths must be {B} integers in 1 .. {T}, got {lengths}")
    return np.arange(T)[:, None] >= lengths
