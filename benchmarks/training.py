"""Forward and backward beside torch and jax, real epochs, and clients' epochs.

    python benchmarks/training.py [--threads N] [--quick] [--json FILE]

torch.nn.RNN and crnn.torch.RNN share their parameters; `rnn.vjp` has the same values,
and no autograd around it; jax differentiates a scan under jit.  All give gradients of
the input and of every parameter, for the same gradient of the output.  Clients are
timed where they are installed (pip install -e '.[clients]').
"""

import argparse
import importlib.util
import json

import limits
import numpy as np
import torch
from cases import CASES as FORWARD_CASES
from loops import measure_loops
from tables import training_tables
from worker import bind

import crnn
import crnn.torch
from crnn.measure import race

# Those of the forward pass, the last five the shapes of real clients.
TRAINED = (
    "T16 B1 H64",
    "T128 B1 H256",
    "T128 B8 H256",
    "T128 B32 H256",
    "T128 B32 H512",
    "bidirectional T128 B32 H256",
    "2 layers bidirectional T100 B8 I6 H32",
    "2 layers T72 B32 I1 H32",
    "2 layers T60 B32 I1 H64",
    "relu T100 B16 I3 H64",
    "ragged 2 layers bidirectional T1..26 B30 I12 H64",
)
CASES = tuple({case.name: case for case in FORWARD_CASES}[name] for name in TRAINED)


def torch_step(rnn, case, x, d_output):
    """One forward and backward pass through a module."""
    pack = torch.nn.utils.rnn.pack_padded_sequence
    x, d_output = torch.from_numpy(x).requires_grad_(), torch.from_numpy(d_output)
    inputs = [x, *rnn.parameters()]
    if case.lengths is not None:
        d_output = pack(d_output, case.lengths, enforce_sorted=False).data

    def run():
        packed = x
        if case.lengths is not None:
            packed = pack(x, case.lengths, enforce_sorted=False)
        output, _ = rnn(packed)
        output = output if case.lengths is None else output.data
        return [g.numpy() for g in torch.autograd.grad(output, inputs, d_output)]

    return run


def jax_step(rnn, case, x, d_output):
    """The same by jax, or None where jax is missing or the batch ragged."""
    if case.lengths is not None or importlib.util.find_spec("jax") is None:
        return None
    import jax
    import jax.numpy as jnp
    from peers.jax import forward

    suffixes = ("", "_reverse") if case.bidirectional else ("",)
    state = {n: p.detach().numpy() for n, p in rnn.named_parameters()}
    layers = [
        [
            (
                jnp.asarray(state[f"weight_ih_l{k}{s}"].T),
                jnp.asarray(state[f"weight_hh_l{k}{s}"].T),
                jnp.asarray(state[f"bias_ih_l{k}{s}"] + state[f"bias_hh_l{k}{s}"]),
            )
            for s in suffixes
        ]
        for k in range(case.L)
    ]
    relu, d_output = case.nonlinearity == "relu", jnp.asarray(d_output)

    @jax.jit
    def step(x, layers):
        def loss(x, layers):
            return (forward(x, layers, relu=relu, unroll=8)[0] * d_output).sum()

        return jax.grad(loss, argnums=(0, 1))(x, layers)

    x = jnp.asarray(x)
    return lambda: [np.asarray(jax.block_until_ready(step(x, layers))[0])]


def vjp_step(net, case, x, d_output):
    lengths = None if case.lengths is None else np.array(case.lengths)

    def run():
        return list(net.vjp(x, lengths=lengths)[2](d_output).values())

    return run


def contestants(case):
    """{name: run} for a case, checked against torch."""
    torch.manual_seed(0)
    theirs = torch.nn.RNN(**case.options)
    ours = crnn.torch.RNN(**case.options)
    ours.load_state_dict(theirs.state_dict())
    net = crnn.RNN.from_torch(theirs)
    x, _, _ = case.make()
    d_output = np.random.default_rng(1).standard_normal(
        (case.T, case.B, case.D * case.H), np.float32
    )
    runs = {
        "torch": torch_step(theirs, case, x, d_output),
        "jax": jax_step(theirs, case, x, d_output),
        "crnn.torch": torch_step(ours, case, x, d_output),
        "rnn.vjp": vjp_step(net, case, x, d_output),
    }
    runs = {name: run for name, run in runs.items() if run is not None}
    expected = runs["torch"]()
    for name, run in runs.items():
        for found, right in zip(run(), expected, strict=False):
            error = np.abs(found - right).max() / max(1, np.abs(right).max())
            assert error < 1e-4, (case.name, name, error)
    return runs


def measure_cases(cases, machine, threads, rounds, seconds):
    """[{case, seconds: {name: [s]}, limit: s}]"""
    rows = []
    for case in cases:
        runs = contestants(case)
        times = race(list(runs.values()), rounds, seconds)
        rows.append(
            {
                "case": case.name,
                "limit": machine.training_limit(case, threads),
                "seconds": dict(zip(runs, times, strict=True)),
            }
        )
    return rows


def measure(threads=1, quick=False):
    """Everything, as training_tables() and JSON take it."""
    torch.set_num_threads(threads)
    rounds, seconds = (3, 0.002) if quick else (9, 0.05)
    cases, machine = CASES[:1] if quick else CASES, limits.measure(cores=threads)
    with crnn.threads(threads):
        return {
            "threads": threads,
            "cases": measure_cases(cases, machine, threads, rounds, seconds),
            "loops": measure_loops(rounds),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one case, few rounds")
    parser.add_argument("--json", help="file to write what was measured to")
    options = parser.parse_args()
    bind(options.threads)  # jax has no other way to be told
    found = measure(options.threads, options.quick)
    print(training_tables(found))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(found, file)


if __name__ == "__main__":
    main()
