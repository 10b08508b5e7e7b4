"""Whole training loops: an epoch over real speech, clients' fits, plain and patched.

For training.py; data, loss and optimizer included.
"""

import importlib.util

import numpy as np
import torch

import crnn.torch
from crnn.demo import load
from crnn.measure import race


def vowels_epoch(rnn_class):
    """A function: one epoch over real utterances, data, loss and optimizer included."""
    _, utterances, speakers = load()
    torch.manual_seed(0)
    rnn, readout = rnn_class(12, 64, 2, bidirectional=True), torch.nn.Linear(128, 9)
    adam = torch.optim.Adam([*rnn.parameters(), *readout.parameters()])
    data = [torch.from_numpy(u.astype(np.float32)) for u in utterances]
    labels = torch.from_numpy(speakers.astype(np.int64)) - 1

    def run():
        for batch in torch.randperm(len(data)).split(30):
            packed = torch.nn.utils.rnn.pack_sequence(
                [data[i] for i in batch], enforce_sorted=False
            )
            _, h_n = rnn(packed)
            logits = readout(torch.cat([h_n[-2], h_n[-1]], dim=1))
            adam.zero_grad()
            torch.nn.functional.cross_entropy(logits, labels[batch]).backward()
            adam.step()

    return run


def sktime_fit():
    """A function: one fit of sktime's classifier, or None where it is missing."""
    if importlib.util.find_spec("sktime") is None:
        return None
    from sktime.classification.deep_learning.rnn import SimpleRNNClassifierTorch
    from sktime.datasets import load_basic_motions

    x, y = load_basic_motions(split="train", return_type="numpy3D")
    options = {"n_layers": 2, "bidirectional": True, "hidden_dim": 32}
    return lambda: SimpleRNNClassifierTorch(
        num_epochs=4, batch_size=8, random_state=1, **options
    ).fit(x, y)


def skorch_fit():
    if importlib.util.find_spec("skorch") is None:
        return None
    from skorch import NeuralNetClassifier

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = torch.nn.RNN(6, 32, 2, batch_first=True)
            self.head = torch.nn.Linear(32, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    rng = np.random.default_rng(0)
    x = rng.standard_normal((320, 60, 6), np.float32)
    y = rng.integers(0, 4, 320)

    def run():
        NeuralNetClassifier(
            Net,
            criterion=torch.nn.CrossEntropyLoss,
            max_epochs=2,
            batch_size=32,
            train_split=None,
            verbose=0,
        ).fit(x, y)

    return run


def measure_loops(rounds):
    """[{loop, seconds: {torch: [s], crnn: [s]}}]: whole loops, torch's and patched."""

    def patched(run):
        def both():
            with crnn.torch.patched():
                run()

        return both

    rows = []
    pairs = [
        (
            "epoch of 370 utterances, Adam, batches of 30, packed",
            vowels_epoch(torch.nn.RNN),
            vowels_epoch(crnn.torch.RNN),
        )
    ]
    for name, run in ("sktime, 4 epochs", sktime_fit()), ("skorch", skorch_fit()):
        if run is not None:
            pairs.append((name, run, patched(run)))
    for name, plain, ours in pairs:
        times = dict(zip(("torch", "crnn"), race([plain, ours], rounds), strict=True))
        rows.append({"loop": name, "seconds": times})
    return rows
