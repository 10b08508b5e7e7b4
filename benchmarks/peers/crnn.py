"""crnn itself."""

from functools import partial

import crnn
from peers import Engine, Unsupported

VERSION = crnn.__version__


def sequence(job):
    if job.lengths is None:
        return Engine(partial(job.rnn, job.x))
    return Engine(partial(job.rnn, job.x, lengths=job.lengths))


def stream(job):
    if not hasattr(job.rnn, "stream"):
        raise Unsupported("has no stream yet")
    B = job.case.B
    step = job.rnn.stream(B if B > 1 else None).step
    x = job.x[0] if B > 1 else job.x[0, 0]
    return Engine(partial(step, x), lambda y: (y, None))


def cell(job):
    case = job.case
    cell = crnn.RNNCell(case.I, case.H, nonlinearity=case.nonlinearity)
    cell.load_state_dict(
        {name.removesuffix("_l0"): w for name, w in job.rnn.state_dict().items()}
    )
    x = job.x[0]
    h = None

    def run():
        nonlocal h
        h = cell(x, h)
        return h

    return Engine(run, lambda h: (h, None))
