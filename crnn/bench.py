"""`python -m crnn bench`: time a call on this machine, beside torch where installed.

The full comparison, with other engines and this machine's limits, is
benchmarks/compare.py of the source tree.
"""

from contextlib import nullcontext
from functools import partial
from statistics import median

import numpy as np

import crnn
from crnn.config import cpu_name
from crnn.measure import find_torch, micros, race

ROUNDS, SECONDS = 7, 0.02
TOLERANCE = 2e-5

# Name, shape of the input (T, B, I), whether row lengths run from 1 to T, and options.
CASES = (
    ("T1 B1 H64", (1, 1, 64), False, {"hidden_size": 64}),
    ("T16 B1 H64", (16, 1, 64), False, {"hidden_size": 64}),
    ("T128 B1 H256", (128, 1, 256), False, {"hidden_size": 256}),
    (
        "T1000 B1 I236 H25 3 layers",
        *((1000, 1, 236), False, {"hidden_size": 25, "num_layers": 3}),
    ),
    ("T128 B8 H256", (128, 8, 256), False, {"hidden_size": 256}),
    ("T128 B32 H128", (128, 32, 128), False, {"hidden_size": 128}),
    (
        "T128 B32 H256 bidirectional",
        *((128, 32, 256), False, {"hidden_size": 256, "bidirectional": True}),
    ),
    (
        "T100 B16 I3 H64 relu",
        *((100, 16, 3), False, {"hidden_size": 64, "nonlinearity": "relu"}),
    ),
    ("T1..256 B32 H256 ragged", (256, 32, 256), True, {"hidden_size": 256}),
)


def make(shape, ragged, options):
    """A network, its input (T, B, I) and row lengths (B,) or None; always the same."""
    crnn.manual_seed(0)
    rnn = crnn.RNN(shape[2], **options).eval()
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    lengths = np.linspace(1, *shape[:2]).round().astype(int) if ragged else None
    return rnn, x, lengths


def count_flop(rnn, x, lengths):
    """Floating-point operations of the products: 2 for each multiply-add."""
    steps = x.shape[0] * x.shape[1] if lengths is None else int(lengths.sum())
    weights = (w for name, w in rnn.named_parameters() if name.startswith("weight"))
    return 2 * steps * sum(w.size for w in weights)


def torch_call(torch, rnn, x, lengths, options):
    """The same call of torch.nn.RNN; a ragged batch is packed beforehand."""
    theirs = torch.nn.RNN(x.shape[2], **options).eval()
    state = {name: torch.from_numpy(w) for name, w in rnn.state_dict().items()}
    theirs.load_state_dict(state)
    tensor = torch.from_numpy(x)
    if lengths is not None:
        tensor = torch.nn.utils.rnn.pack_padded_sequence(
            tensor, torch.from_numpy(lengths), enforce_sorted=False
        )
    return partial(theirs, tensor)


def check(name, ours, theirs):
    """Nothing is timed that differs: the last states hold all that came before."""
    difference = np.abs(ours()[1] - theirs()[1].numpy()).max()
    if not difference <= TOLERANCE:
        raise SystemExit(f"{name}: crnn and torch differ by {difference:.1e}")


def measure(torch, name, shape, ragged, options):
    """(flop of a call, seconds of crnn's rounds, seconds of torch's or None)."""
    rnn, x, lengths = make(shape, ragged, options)
    ours = partial(rnn, x) if lengths is None else partial(rnn, x, lengths=lengths)
    calls = [ours]
    if torch:
        calls.append(torch_call(torch, rnn, x, lengths, options))
        check(name, *calls)
    times = race(calls, ROUNDS, SECONDS)
    return count_flop(rnn, x, lengths), times[0], times[1] if torch else None


def both(seconds):
    """The least and, in parentheses, the median, in microseconds."""
    return f"{micros(min(seconds)):>7} {f'({micros(median(seconds))})':>9}"


def show_row(torch, case):
    print(f"{case[0]:28} ", end="", flush=True)
    flop, ours, theirs = measure(torch, *case)
    print(f"{both(ours)} {flop / min(ours) / 1e9:6.1f}", end="")
    if theirs:
        print(f" {both(theirs)} {min(theirs) / min(ours):9.2f} x", end="")
    print(flush=True)


def main():
    threads = getattr(crnn, "get_num_threads", lambda: 1)()
    torch = find_torch()
    print(f"crnn {crnn.__version__} on {cpu_name()}, threads: {threads}")
    if torch:
        torch.set_num_threads(threads)
        print(f"torch {torch.__version__} in inference mode, threads: {threads}")
    else:
        print("torch is not installed; to compare: pip install torch")
    print(f"us per call, the least of {ROUNDS} rounds (and their median)\n")
    heading = f"{'torch':>17} {'torch/crnn':>11}" if torch else ""
    print(f"{'case':28} {'crnn':>17} {'GF/s':>6} {heading}".rstrip())
    # Entered once, so that no call of torch pays for it.
    with torch.inference_mode() if torch else nullcontext():
        for case in CASES:
            show_row(torch, case)
