"""The engines, one file each, and what they are asked and answer.

A file has VERSION and, for each kind of work that its engine can do, a function of that
name (sequence, stream, cell) that takes a Job and returns an Engine, or raises
Unsupported. It builds everything that may be built before the first call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cases import Case

import crnn
from crnn.measure import repeater


class Unsupported(Exception):
    """The engine cannot do this job; the message says why."""


@dataclass(frozen=True)
class Job:
    """One forward pass: the parameters of rnn over x (T, B, I) from zero states."""

    case: Case
    rnn: crnn.RNN
    x: np.ndarray
    lengths: np.ndarray | None
    threads: int

    @property
    def layers(self):
        """[layer][direction]: w_ih (I, H), w_hh (H, H), both to be multiplied from the
        right and contiguous, and b (H,), the sum of both biases."""
        groups = [
            (
                np.ascontiguousarray(w_ih.T),
                np.ascontiguousarray(w_hh.T),
                b_ih + b_hh,
            )
            for w_ih, w_hh, b_ih, b_hh in self.rnn.all_weights
        ]
        D = self.case.D
        return [groups[i : i + D] for i in range(0, len(groups), D)]


class Engine:
    """A forward pass that is ready to run.

    run: does it once.
    read: makes arrays (output, h_n) of what run returned; not timed.
    repeat: the seconds that n passes take, where the engine has its own loop.
    keep: whatever must live as long as the engine.
    """

    def __init__(
        self,
        run: Callable[[], Any],
        read: Callable[[Any], tuple] = lambda result: result,
        repeat: Callable[[int], float] | None = None,
        keep: Any = None,
    ):
        self.run = run
        self.read = read
        self.repeat = repeat or repeater(run)
        self.keep = keep


def refuse_ragged(job):
    """Unsupported, where computing the padding too would not give the right states."""
    if job.lengths is not None and (job.case.L > 1 or job.case.D > 1):
        raise Unsupported("has no ragged batches of several layers or directions")


def drop_padding(job, output, h_n):
    """The results of an engine that computed all steps, as if rows had ended."""
    if job.lengths is None:
        return output, h_n
    output = np.array(output)
    h_n = output[job.lengths - 1, np.arange(job.case.B)][None]
    output[np.arange(job.case.T)[:, None] >= job.lengths] = 0
    return output, h_n


def fastest(engines):
    """The engine whose pass takes the least time: the better one of several modes."""
    return min(engines, key=lambda engine: min(engine.repeat(1) for _ in range(5)))
