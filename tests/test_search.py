"""crnn.search: over decoders that are tables, against enumeration."""

import itertools

import numpy as np
import pytest

from crnn.activations import log_softmax
from crnn.search import beam_search, greedy, sample

V, END = 4, 3


class Rows:
    """The state of a decoder: which table belongs to each row, and how far it is."""

    def __init__(self, of, t=0):
        self.of, self.t = of, t

    def take(self, rows):
        return Rows(self.of[rows], self.t)


def decoder(tables):
    """A step whose logits depend on the row, the time and the last token."""
    asked = []

    def step(tokens, state):
        asked.append(len(tokens))
        return tables[state.of, state.t, tokens], Rows(state.of, state.t + 1)

    return step, asked


@pytest.fixture
def tables():
    return 2 * np.random.default_rng(0).normal(size=(50, 6, V, V))


def start(tables):
    return Rows(np.arange(len(tables))), np.zeros(len(tables), int)


def score(table, tokens):
    """The log-probability of tokens and, if there is room, the end after them."""
    total, before = 0.0, 0
    for t, token in enumerate([*tokens, END][: len(table)]):
        total += log_softmax(table[t, before])[token]
        before = token
    return total


def lists(results):
    return [row.tolist() for row in results]


def test_greedy_follows_the_best_token(tables):
    step, asked = decoder(tables)
    found = greedy(step, *start(tables), END, 6)
    for table, tokens in zip(tables, found, strict=True):
        before = 0
        for t, token in enumerate([*tokens, END][:6]):
            assert token == table[t, before].argmax()
            before = token
    assert asked[0] == 50 and asked == sorted(asked, reverse=True)
    assert sum(asked) == sum(min(len(tokens) + 1, 6) for tokens in found)


def test_a_wide_beam_finds_the_best_of_all(tables):
    found = beam_search(decoder(tables[:, :4])[0], *start(tables), END, 4, 200)
    every = [
        tokens for n in range(5) for tokens in itertools.product(range(3), repeat=n)
    ]
    for table, tokens in zip(tables[:, :4], found, strict=True):
        assert tuple(tokens) == max(every, key=lambda t: score(table, t))


def test_a_beam_of_one_is_greedy(tables):
    state, tokens = start(tables)
    beam = beam_search(decoder(tables)[0], state, tokens, END, 6, 1)
    assert lists(beam) == lists(greedy(decoder(tables)[0], state, tokens, END, 6))


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_beam_of_a_batch_is_that_of_each_row(tables, width):
    """At the cost of each row alone: what is finished is asked for no more."""
    step, asked = decoder(tables)
    state, tokens = start(tables)
    found = beam_search(step, state, tokens, END, 6, width)
    together = sum(asked)
    asked.clear()
    for b in range(len(tables)):
        alone = beam_search(step, state.take([b]), tokens[[b]], END, 6, width)
        assert lists(alone) == lists([found[b]])
    assert together == sum(asked) < 6 * width * len(tables)


def test_samples_follow_the_distribution():
    tables = np.tile(np.log([0.5, 0.25, 0.125, 0.125]), (4000, 1, V, 1))
    uniforms = np.random.default_rng(1).random((4000, 1))
    found = sample(decoder(tables)[0], *start(tables), END, uniforms)
    counts = np.bincount([row[0] if len(row) else END for row in found])
    np.testing.assert_allclose(counts / 4000, [0.5, 0.25, 0.125, 0.125], atol=0.02)
    cold = sample(decoder(tables)[0], *start(tables), END, uniforms, 1e-3)
    assert lists(cold) == [[0]] * 4000


def test_a_sample_of_a_batch_is_that_of_each_row(tables):
    step, _ = decoder(tables)
    state, tokens = start(tables)
    uniforms = np.random.default_rng(2).random((50, 6))
    found = sample(step, state, tokens, END, uniforms)
    for b in range(50):
        alone = sample(step, state.take([b]), tokens[[b]], END, uniforms[[b]])
        assert lists(alone) == lists([found[b]])
