"""One engine in a process of its own; contest.py asks, through pipes.

    python benchmarks/worker.py ENGINE THREADS

Answers each line of JSON on standard input by one on standard output; the first comes
unasked:

    -> {"version": "2.13.0"}
    {"load": {a Case}, "kind": "sequence", "seconds": 0.05} -> {"calls": 12}
    {"round": true} -> {"seconds": 0.0041}, of one call

or {"reason": why not}. What is loaded is checked before it is timed.
"""

import importlib
import json
import os
import sys

import numpy as np
from cases import Case, reference_of
from peers import Job, Unsupported

import crnn
from crnn.measure import calls_within

TOLERANCE = 2e-5


def make_job(fields, threads):
    fields["lengths"] = fields["lengths"] and tuple(fields["lengths"])
    case = Case(**fields)
    crnn.manual_seed(0)
    rnn = crnn.RNN(**case.options).eval()
    x, _, lengths = case.make()
    return Job(case, rnn, x, lengths, threads)


def check(engine, job, name):
    """Raise where the first pass differs from crnn's, or crnn's from the reference."""
    right = job.rnn(job.x, lengths=job.lengths)
    if name == "crnn":
        right = reference_of(job.rnn, job.x, lengths=job.lengths)
    results = engine.read(engine.run())
    for result, expected in zip(results, right, strict=False):
        if result is None:
            continue
        difference = np.abs(np.reshape(result, expected.shape) - expected).max()
        if not difference <= TOLERANCE * max(1, np.abs(expected).max()):
            raise ArithmeticError(f"differs by {difference:.1e}")


class Worker:
    """The engine's side of the conversation."""

    def __init__(self, name, threads):
        self.name = name
        self.threads = threads
        if hasattr(crnn, "set_num_threads"):
            crnn.set_num_threads(threads)
        self.peer = importlib.import_module(f"peers.{name}")

    def load(self, fields, kind, seconds):
        job = make_job(fields, self.threads)
        self.engine = self.calls = None  # frees the one before
        make = getattr(self.peer, kind, None)
        if make is None:
            return {"reason": f"has no {kind}"}
        try:
            engine = make(job)
        except Unsupported as reason:
            return {"reason": str(reason)}
        check(engine, job, self.name)
        self.engine = engine
        self.calls = calls_within(engine.repeat, seconds)
        return {"calls": self.calls}

    def round(self):
        self.engine.run()  # caches and sleeping threads are as in a loop of calls
        seconds = self.engine.repeat(self.calls) / self.calls
        return {"seconds": float(f"{seconds:.4g}")}

    def answer(self, request):
        try:
            if "load" in request:
                return self.load(request["load"], request["kind"], request["seconds"])
            return self.round()
        except Exception as error:
            return {"reason": f"{type(error).__name__}: {error}"}


def bind(threads):
    """Keep to the first CPUs of those we may use, so that no engine has more."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what engines print must not look like an answer
    bind(threads)
    try:
        worker = Worker(name, threads)
    except (ImportError, OSError) as error:
        print(json.dumps({"reason": str(error)}), file=answers)
        return
    print(json.dumps({"version": worker.peer.VERSION}), file=answers)
    for line in sys.stdin:
        print(json.dumps(worker.answer(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
