"""torch.nn.RNN and RNNCell, in inference mode."""

from functools import partial

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from peers import Engine

VERSION = torch.__version__

# Entered once, so that no call pays for it.
_mode = torch.inference_mode()
_mode.__enter__()


def sequence(job):
    torch.set_num_threads(job.threads)
    rnn = network(job)
    x = torch.from_numpy(job.x)
    if job.lengths is None:
        return Engine(partial(rnn, x))
    # Neither packing nor padding is timed.
    packed = pack_padded_sequence(
        x, torch.from_numpy(job.lengths), enforce_sorted=False
    )
    return Engine(
        partial(rnn, packed), lambda result: (pad_packed_sequence(result[0])[0],)
    )


def network(job):
    rnn = torch.nn.RNN(**job.case.options).eval()
    rnn.load_state_dict(
        {name: torch.from_numpy(w) for name, w in job.rnn.state_dict().items()}
    )
    return rnn


def stream(job):
    """torch has no streams: a sequence of one step, again and again."""
    torch.set_num_threads(job.threads)
    rnn = network(job)
    x = torch.from_numpy(job.x)
    h = None

    def run():
        nonlocal h
        y, h = rnn(x, h)
        return y

    return Engine(run, lambda y: (y, None))


def cell(job):
    torch.set_num_threads(job.threads)
    case = job.case
    cell = torch.nn.RNNCell(case.I, case.H, nonlinearity=case.nonlinearity)
    cell.load_state_dict(
        {
            name.removesuffix("_l0"): torch.from_numpy(w)
            for name, w in job.rnn.state_dict().items()
        }
    )
    x = torch.from_numpy(job.x[0])
    h = None

    def run():
        nonlocal h
        h = cell(x, h)
        return h

    return Engine(run, lambda h: (h, None))
