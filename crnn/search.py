"""Sequences out of a decoder: greedy, sampled, and by beam search.

A decoder is a function step(tokens, state) -> (logits, state): tokens (N,) integers,
logits (N, V), and a state whose ``take(rows)`` gives that of some rows.  A finished row
is dropped: it costs nothing from then on.
"""

import numpy as np

from .activations import log_softmax


def greedy(step, state, tokens, end, max_length):
    """The best token at each step.

    Args:
        step, state: the decoder.
        tokens: (N,), what each row starts with.
        end: the token that ends a sequence; it is not returned.
        max_length: at most so many tokens.

    Returns:
        A list of N arrays of tokens.
    """
    return _decode(step, state, tokens, end, max_length, lambda logits, *_: logits)


def sample(step, state, tokens, end, uniforms, temperature=1.0):
    """Tokens drawn from softmax(logits / temperature).

    Args:
        step, state, tokens, end: as for `greedy`.
        uniforms: (N, max_length) draws from U[0, 1), one for each token.
        temperature: positive; near 0 it is greedy.
    """

    def drawn(logits, rows, t):
        scaled = (logits - logits.max(1, keepdims=True)) / temperature
        sums = np.exp(scaled).cumsum(1)
        return sums > uniforms[rows, t][:, None] * sums[:, -1:]

    return _decode(step, state, tokens, end, uniforms.shape[1], drawn)


def _decode(step, state, tokens, end, max_length, preference):
    rows, columns = np.arange(len(tokens)), []
    for t in range(max_length if len(tokens) else 0):
        logits, state = step(tokens, state)
        tokens = preference(logits, rows, t).argmax(1)
        columns.append(np.full(columns[0].shape if t else len(rows), end))
        columns[t][rows] = tokens
        alive = np.flatnonzero(tokens != end)
        if len(alive) == 0:
            break
        if len(alive) < len(rows):
            rows, tokens, state = rows[alive], tokens[alive], state.take(alive)
    return [row[row != end] for row in np.array(columns).T]


def beam_search(step, state, tokens, end, max_length, beam_width):
    """The most probable sequence that a search with a beam finds.

    After each step the best beam_width of all continuations stay, finished ones among
    them.  A row is done when its best one is finished: the others can only lose.

    Args:
        step, state, tokens, end, max_length: as for `greedy`.
        beam_width: K hypotheses a row.

    Returns:
        A list of N arrays of tokens.
    """
    N, K = len(tokens), beam_width
    results = [None] * N
    rows = np.arange(N)  # of the caller, for the B rows that are not done
    history = np.zeros((N, K, 0), int)
    scores = np.full((N, K), -np.inf)
    scores[:, 0] = 0
    alive = scores == 0
    for t in range(max_length):
        logits, state = step(tokens, state)
        where = np.cumsum(alive).reshape(alive.shape) - 1  # of the state's rows
        scores, parent, token = _continue(scores, alive, log_softmax(logits), end)
        b = np.arange(len(rows))[:, None]
        history = np.concatenate([history[b, parent], token[:, :, None]], 2)
        alive, where = (token != end) & (scores > -np.inf), where[b, parent]
        go = alive[:, 0] if t + 1 < max_length else np.zeros(len(rows), bool)
        for i in np.flatnonzero(~go):
            results[rows[i]] = history[i, 0, history[i, 0] != end]
        rows, history, scores, alive = rows[go], history[go], scores[go], alive[go]
        if len(rows) == 0:
            break
        tokens, state = history[:, :, t][alive], state.take(where[go][alive])
    return results


def _continue(scores, alive, log_probs, end):
    """Scores, parents and tokens (B, K) of the best continuations, the best first."""
    (B, K), V = scores.shape, log_probs.shape[1]
    grown = np.full((B, K, V), -np.inf)
    grown[:, :, end] = scores  # a finished one stays as it is
    grown[alive] = scores[alive][:, None] + log_probs
    flat = grown.reshape(B, K * V)
    best = np.argsort(-flat, axis=1, kind="stable")[:, :K]
    parent, token = np.divmod(best, V)
    return np.take_along_axis(flat, best, 1), parent, token
