"""Fits an estimator and, where torch is installed, its twin; prints both scores.

Both run on one thread and are timed in seconds of CPU, so that what else the machine
does counts for little; on two free cores crnn needs less.
"""

import importlib.util
import time

import crnn


def compare(model, train, test, measures):
    """Fit model to train and print the measures of test, of crnn and of torch.

    Args:
        model: an estimator of crnn that says sequences.
        train, test: pairs of X and y.
        measures: from a name to a function of (predictions, y).

    Returns:
        The fitted model.
    """
    crnn.set_num_threads(1)
    start = time.process_time()
    model.fit(*train)
    _print("crnn", model, time.process_time() - start, test, measures)
    if importlib.util.find_spec("torch") is None:
        print("torch is not installed: no twin to compare with")
        return model
    import torch
    from torch_sequence_twin import Twin

    torch.set_num_threads(1)
    _print("torch", *Twin(model, *train).fit(), test, measures)
    return model


def show(name, predictions, y, measures, extra=""):
    """One line: the measures of predictions."""
    found = "  ".join(f"{k} {f(predictions, y):.4f}" for k, f in measures.items())
    print(f"{name:20} {found}{extra}", flush=True)


def _print(name, model, seconds, test, measures):
    X, y = test
    start = time.process_time()
    predictions = model.predict(X)
    took = time.process_time() - start
    extra = f"  trained in {seconds:.1f} s of CPU, predicted in {took:.2f} s"
    show(f"{name}, greedy", predictions, y, measures, extra)
    wide = model.beam_width
    start = time.process_time()
    predictions = model.set_params(beam_width=5).predict(X)
    extra = f"  predicted in {time.process_time() - start:.2f} s"
    show(f"{name}, beam of 5", predictions, y, measures, extra)
    model.set_params(beam_width=wide)


def exact(predictions, y):
    """The share that is right as a whole."""
    return sum(a == b for a, b in zip(predictions, y, strict=True)) / len(y)
