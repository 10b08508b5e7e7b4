"""The network of a fitted crnn estimator, trained anew by torch, to compare the two.

Initial values, batches, losses and updates are the same.  Both run on one thread and
are timed in seconds of CPU, so that what else the machine does counts for little.
"""

import time

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import crnn
from crnn.estimators import SequenceRegressor, SequenceTagger
from crnn.sequences import batches


class Twin(nn.Module):
    """Embedding for tokens, RNN, pooling, readout, as the estimator has them."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        width = model.encoder_.size
        if model.encoder_.vocabulary is not None:
            self.embedding = nn.Embedding(width, model.embedding_dim, padding_idx=0)
            width = model.embedding_dim
        self.rnn = nn.RNN(width, model.hidden_size, **model._rnn_options())
        readout = model.layers_["readout"]
        self.readout = nn.Linear(readout.hidden_size, readout.output_size)

    def forward(self, examples):
        sides = list(zip(*examples, strict=True))
        arrays = [torch.from_numpy(a) for side in sides for a in side]
        packed = pack_sequence(arrays, enforce_sorted=False)
        if hasattr(self, "embedding"):
            packed = packed._replace(data=self.embedding(packed.data))
        output, h_n = self.rnn(packed)
        output, lengths = pad_packed_sequence(output, batch_first=True)
        there = torch.arange(output.shape[1]) < lengths[:, None]
        if isinstance(self.model, SequenceTagger):
            return self.readout(output[there])
        u = self.pool(output, h_n, there[..., None])
        if self.model.pairs:
            u, v = u.chunk(2)
            u = torch.cat([u, v, (u - v).abs(), u * v], dim=1)
        return self.readout(u)

    def pool(self, output, h_n, there):
        if self.model.pooling == "last":
            return torch.cat(list(h_n[-2 if self.model.bidirectional else -1 :]), dim=1)
        if self.model.pooling == "mean":
            return output.sum(dim=1) / there.sum(dim=1)
        return output.masked_fill(~there, -np.inf).amax(dim=1)


def loss_of(model, outputs, targets):
    if isinstance(model, SequenceRegressor):
        return nn.functional.mse_loss(outputs, torch.tensor(np.array(targets)))
    if isinstance(model, SequenceTagger):
        targets = np.concatenate(targets)
    return nn.functional.cross_entropy(outputs, torch.tensor(np.array(targets)))


def train(model, X, y):
    """(twin of the fitted estimator, seconds of CPU of training)."""
    torch.set_num_threads(1)  # quicker than two for networks of this size
    examples, lengths = model._learn(X, y)
    torch.manual_seed(model.seed)
    twin, rng = Twin(model), np.random.default_rng(model.seed)
    order = rng.permutation(len(examples))
    examples, lengths = [examples[i] for i in order], lengths[order]
    adam = torch.optim.Adam(twin.parameters(), model.learning_rate)
    steps = model.epochs * len(batches(lengths, model.batch_size))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    start = time.process_time()
    for _ in range(model.epochs):
        for batch in batches(lengths, model.batch_size, rng):
            *inputs, targets = zip(*(examples[i] for i in batch), strict=True)
            loss = loss_of(model, twin(list(zip(*inputs, strict=True))), targets)
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(twin.parameters(), model.max_norm)
            adam.step()
            schedule.step()
    return twin.eval(), time.process_time() - start


def score(model, twin, X, y):
    """The model's score of X and y with the outputs of its twin."""
    arrays = zip(*map(model.encoder_, sides(model, X)), strict=True)
    with torch.inference_mode():
        rows = twin(list(arrays)).numpy()
    if isinstance(model, SequenceTagger):
        rows = np.split(rows, np.cumsum([len(x) for x in X])[:-1])
    model._predict_rows = lambda X: rows
    try:
        return model.score(X, y)
    finally:
        del model._predict_rows


def sides(model, X):
    return model._sides(X) if hasattr(model, "_sides") else [X]


def report(model, train_set, held_out, baselines):
    """Fit the model, print its score and time, the baselines', and its twin's."""
    (X, y), (X_held, y_held) = train_set, held_out
    print(f"{model}\n{len(X)} to train, {len(X_held)} held out")
    crnn.set_num_threads(1)
    start = time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - start
    for name, value in baselines.items():
        print(f"  {name:<28} {value:.3f}")
    print(f"  {'crnn':<28} {model.score(X_held, y_held):.3f}  in {seconds:.1f} s")
    twin, seconds = train(model, X, y)
    value = score(model, twin, X_held, y_held)
    print(f"  {'torch, the same network':<28} {value:.3f}  in {seconds:.1f} s")
