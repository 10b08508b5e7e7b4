"""Timing of calls that take turns, and torch where it is installed.

For the demo, the bench command and benchmarks/; nothing else imports it.
"""

import importlib
import importlib.util
from timeit import timeit


def find_torch():
    """torch, or None where it is not installed.

    Without an import statement, which only crnn/torch may have: nothing in crnn
    needs torch, and who asks merely compares crnn with it.
    """
    if importlib.util.find_spec("torch") is None:
        return None
    return importlib.import_module("torch")


def micros(seconds):
    """The number of microseconds, in three digits or more."""
    us = seconds * 1e6
    return f"{us:.2f}" if us < 9.995 else f"{us:.1f}" if us < 99.95 else f"{us:,.0f}"


def repeater(run):
    """A function of n: the seconds that n calls of run take, loop included (10 ns)."""
    return lambda n: timeit(run, number=n)


def calls_within(repeat, seconds):
    """How many calls fill about that many seconds, at least one; it warms them up."""
    calls = 1
    while (spent := repeat(calls)) < seconds / 2:
        calls *= 2
    return max(1, round(calls * seconds / max(spent, seconds / 2, 1e-9)))


def race(runs, rounds=5, seconds=0.0):
    """A list for each run of the seconds that a call took, one for each round.

    Rounds are interleaved, so that all runs meet the same noise; each lasts about the
    given seconds, but one call at least.
    """
    repeats = [repeater(run) for run in runs]
    calls = [calls_within(repeat, seconds) for repeat in repeats]
    times = [[] for _ in runs]
    for _ in range(rounds):
        for repeat, n, own in zip(repeats, calls, times, strict=True):
            own.append(repeat(n) / n)
    return times
