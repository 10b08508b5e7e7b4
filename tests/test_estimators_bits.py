"""What does not change an estimator's bits: threads, other fits, other sequences."""

import threading

import numpy as np
import pytest

import crnn
from crnn import demo
from crnn.estimators import SequenceClassifier, SequenceRegressor, SequenceTagger

KINDS = (SequenceClassifier, SequenceRegressor, SequenceTagger)
WORDS = ["abba", "bab", "aab", "b", "abab", "bbb", "aaaa", "ba"]
SMALL = {"hidden_size": 5, "epochs": 2, "batch_size": 3, "embedding_dim": 4}
TARGETS = {
    SequenceClassifier: [word[0] for word in WORDS],
    SequenceRegressor: [float(len(word)) for word in WORDS],
    SequenceTagger: [[letter == word[0] for letter in word] for word in WORDS],
}


def small(kind, **params):
    return kind(**SMALL | params).fit(WORDS, TARGETS[kind])


def equal(a, b):
    return all(map(np.array_equal, a, b)) and len(a) == len(b)


def outputs(model, X):
    return getattr(model, "predict_proba", model.predict)(X)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_bits(kind):
    X = WORDS * 20
    targets = TARGETS[kind] * 20
    options = SMALL | {"num_layers": 2, "dropout": 0.3, "bidirectional": True}

    def state():
        return list(kind(**options).fit(X, targets).state_dict().values())

    first = state()
    crnn.manual_seed(7)
    expected = crnn.RNN(2, 2).weight_hh_l0
    crnn.manual_seed(7)
    for threads in 1, 2:
        with crnn.threads(threads):
            assert equal(state(), first)
    assert np.array_equal(crnn.RNN(2, 2).weight_hh_l0, expected)
    found = [None] * 4
    workers = [
        threading.Thread(target=lambda i=i: found.__setitem__(i, state()))
        for i in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(equal(other, first) for other in found)
    assert not equal(
        list(kind(**options, seed=1).fit(X, targets).state_dict().values()), first
    )


@pytest.mark.parametrize("kind", KINDS)
def test_predictions_do_not_depend_on_the_batch(kind):
    model = small(kind, bidirectional=True)
    together = outputs(model, WORDS * 40)
    for i, word in enumerate(WORDS):
        assert np.array_equal(outputs(model, [word])[0], together[i])
    assert equal(outputs(model, (WORDS * 40)[::-1])[::-1], together)


def speech_model():
    _, utterances, speakers = demo.load()
    options = {"num_layers": 2, "bidirectional": True, "dropout": 0.2, "epochs": 2}
    return SequenceClassifier(**options).fit(utterances[:120], speakers[:120])


def test_threads_do_not_change_a_fit_of_speech():
    first = speech_model().state_dict().values()
    for threads in 1, 2, 3:
        with crnn.threads(threads):
            assert equal(speech_model().state_dict().values(), first)


def test_threads_of_blas_do_not_change_a_fit():
    name = "threadpoolctl"
    threadpoolctl = pytest.importorskip(name, reason=f"{name} is not installed")
    first = speech_model().state_dict().values()
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert equal(speech_model().state_dict().values(), first)
