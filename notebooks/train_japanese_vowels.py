"""Train a network that `python -m crnn demo` runs: which of nine men says /ae/?

JapaneseVowels (M. Kudo, J. Toyama, M. Shimbo; doi 10.24432/C5NS47) is read from the
text files inside an installed aeon or sktime, nothing of which is imported, so

    pip install torch && pip install --no-deps aeon
    python notebooks/train_japanese_vowels.py

is all it needs. The learning rate is chosen by cross-validation on the 270 training
utterances; the 370 test utterances are looked at once, at the end. Takes two minutes on
one thread; the same machine and torch version write the same bytes.
"""

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from crnn.estimators import SequenceClassifier

FEATURES, HIDDEN, SPEAKERS = 12, 64, 9
EPOCHS, BATCH, FOLDS = 60, 30, 5
LEARNING_RATES = (1e-3, 2e-3, 4e-3, 8e-3)
SCALE = 2.0**-14  # of one int16 step in the shipped frames: the features lie in (-2, 2)
TARGET = Path(__file__).parents[1] / "crnn" / "data" / "japanese_vowels.npz"


def find_folder():
    """The folder of JapaneseVowels inside an installed wheel, without importing it."""
    for package in ("aeon", "sktime"):
        spec = importlib.util.find_spec(package)
        if spec is not None:
            root = Path(spec.submodule_search_locations[0])
            folder = root / "datasets" / "data" / "JapaneseVowels"
            if folder.is_dir():
                return folder
    raise SystemExit("JapaneseVowels not found: pip install --no-deps aeon")


def load(path):
    """Utterances as a list of (T, 12) tensors, and speakers as (N,) integers from 0."""
    utterances, speakers = [], []
    for line in path.read_text().splitlines():
        if line and line[0] not in "#@":
            *channels, label = line.split(":")
            rows = [[float(value) for value in c.split(",")] for c in channels]
            utterances.append(torch.tensor(rows).T)
            speakers.append(int(label) - 1)
    return utterances, torch.tensor(speakers)


class SpeakerNet(nn.Module):
    """Two bidirectional layers; the last states of both directions name the speaker."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(FEATURES, HIDDEN, 2, bidirectional=True)
        self.readout = nn.Linear(2 * HIDDEN, SPEAKERS)

    def forward(self, utterances):
        _, h_n = self.rnn(pack_sequence(utterances, enforce_sorted=False))
        return self.readout(torch.cat([h_n[-2], h_n[-1]], dim=1))


def train(utterances, speakers, learning_rate, seed=0):
    """A SpeakerNet for raw features, trained on standardised ones.

    Adam, cosine decay of the learning rate to zero, gradient norm at most 1.
    """
    frames = torch.cat(utterances)
    mean, std = frames.mean(0), frames.std(0)
    scaled = [(u - mean) / std for u in utterances]

    torch.manual_seed(seed)
    net = SpeakerNet()
    adam = torch.optim.Adam(net.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(scaled)).split(BATCH):
            loss = nn.functional.cross_entropy(
                net([scaled[i] for i in batch]), speakers[batch]
            )
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            adam.step()
        schedule.step()

    with torch.no_grad():  # w (x - mean) / std + b == (w / std) x + (b - w mean / std)
        for end in ("l0", "l0_reverse"):
            weight = getattr(net.rnn, f"weight_ih_{end}")
            weight /= std
            getattr(net.rnn, f"bias_ih_{end}").sub_(weight @ mean)
    return net.eval()


@torch.inference_mode()
def evaluate(net, utterances, speakers):
    """(share of the speakers named rightly, mean cross-entropy)."""
    logits = net(utterances)
    accuracy = (logits.argmax(1) == speakers).float().mean()
    return accuracy.item(), nn.functional.cross_entropy(logits, speakers).item()


def cross_validate(utterances, speakers, learning_rate):
    """Means of evaluate() over folds; every speaker has an equal part in each fold."""
    fold = torch.arange(len(utterances)) % FOLDS
    scores = []
    for k in range(FOLDS):
        fit, held = (torch.nonzero(m)[:, 0] for m in (fold != k, fold == k))
        net = train([utterances[i] for i in fit], speakers[fit], learning_rate, seed=k)
        scores.append(evaluate(net, [utterances[i] for i in held], speakers[held]))
    return np.mean(scores, axis=0)


def main():
    torch.set_num_threads(1)  # quickest for layers this small, and reproducible
    folder = find_folder()
    utterances, speakers = load(folder / "JapaneseVowels_TRAIN.ts")

    losses = {}
    for rate in LEARNING_RATES:
        accuracy, losses[rate] = cross_validate(utterances, speakers, rate)
        print(f"rate {rate:g}: validation {accuracy:.3f}, loss {losses[rate]:.3f}")
    best = min(losses, key=losses.get)
    net = train(utterances, speakers, best)

    test, truth = load(folder / "JapaneseVowels_TEST.ts")
    frames = torch.round(torch.cat(test) / SCALE).to(torch.int16)
    lengths = [len(u) for u in test]
    shipped = (frames * SCALE).split(lengths)
    print(f"chosen rate {best:g}")
    print(f"train accuracy      {evaluate(net, utterances, speakers)[0]:.4f}")
    print(f"test accuracy       {evaluate(net, test, truth)[0]:.4f}")
    print(f"test, frames int16  {evaluate(net, shipped, truth)[0]:.4f}")

    samples = {
        "frames": frames.numpy(),
        "scale": np.float32(SCALE),
        "lengths": np.array(lengths, np.int16),
        "speakers": (truth + 1).numpy().astype(np.int8),
    }
    write(net.state_dict(), best, samples)


def write(weights, learning_rate, samples):
    """The file of a SequenceClassifier with these weights, samples beside them."""
    utterances = [np.zeros((1, FEATURES))] * SPEAKERS
    model = SequenceClassifier(HIDDEN, 2, bidirectional=True, standardize=False)
    model.set_params(epochs=0).fit(utterances, range(1, SPEAKERS + 1))
    for name, array in model.state_dict().items():
        array[...] = weights[name]
    model.set_params(epochs=EPOCHS, batch_size=BATCH, learning_rate=learning_rate)
    model.save(TARGET)
    with np.load(TARGET) as npz:
        arrays = dict(npz)
    np.savez_compressed(TARGET, **arrays, **samples)
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
