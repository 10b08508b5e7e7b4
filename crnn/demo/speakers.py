"""Which of nine men speaks? A classifier of real speech, and torch's time for it."""

import numpy as np

from .. import RNN
from ..estimators import SequenceClassifier
from ..measure import find_torch, race
from ..sequences import pad
from .block import DATA, arrays_of, chosen, mark, summary, title

NAME = "japanese_vowels"


def load():
    """(weights by torch's names, utterances as a list of (T, 12) arrays, speakers)."""
    arrays = arrays_of(NAME)
    frames = arrays.pop("frames") * arrays.pop("scale")
    utterances = np.split(frames, np.cumsum(arrays.pop("lengths"))[:-1])
    weights = {n: a for n, a in arrays.items() if n.startswith(("rnn.", "readout."))}
    return weights, utterances, arrays.pop("speakers")


def speaker_rnn(rnn_class, weights, convert=np.asarray):
    """The trained layers; the same calls make a crnn.RNN or a torch.nn.RNN."""
    names = [name for name in weights if name.startswith("rnn.")]
    rnn = rnn_class(12, 64, num_layers=2, bidirectional=True)
    rnn.load_state_dict({n.removeprefix("rnn."): convert(weights[n]) for n in names})
    return rnn.eval()


def show_classifier():
    """Some predictions beside the truth, and the accuracy over all utterances."""
    model = SequenceClassifier.load(DATA / f"{NAME}.npz")
    _, utterances, speakers = load()
    named = model.predict(utterances)
    right = named == speakers

    title(model, "a sequence to its class", "which of nine men says /ae/?")
    print("  utterance  steps  speaker  predicted")
    for i in chosen(right):
        steps = len(utterances[i])
        row = f"{i:9}  {steps:5}  {speakers[i]:7}  {named[i]:9}{mark(right[i])}"
        print(f"  {row}")
    accuracy = f"accuracy {right.mean():.1%} ({right.sum()} of {len(right)})"
    summary(accuracy, model, utterances)


def torch_runs(torch, weights, utterances):
    """The calls to be timed, all in one and one by one, of torch on one thread."""
    torch.set_num_threads(1)
    rnn = speaker_rnn(torch.nn.RNN, weights, torch.from_numpy)
    tensors = [torch.from_numpy(u) for u in utterances]
    packed = torch.nn.utils.rnn.pack_sequence(tensors, enforce_sorted=False)
    inference = torch.inference_mode()
    return inference(lambda: rnn(packed)), inference(lambda: [rnn(x) for x in tensors])


def largest_difference(torch, ours, theirs):
    """Between (output, h_n) of crnn, padded, and of torch, packed."""
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs[0])
    pairs = zip(ours, (padded.numpy(), theirs[1].numpy()), strict=True)
    return max(abs(a - b).max() for a, b in pairs)


def show_times():
    """Microseconds a sequence; torch.nn.RNN with the same weights where installed."""
    weights, utterances, _ = load()
    rnn = speaker_rnn(RNN, weights)
    batch, lengths = pad(utterances)
    ours = (lambda: rnn(batch, lengths=lengths), lambda: [rnn(u) for u in utterances])
    torch = find_torch()
    theirs = torch_runs(torch, weights, utterances) if torch else ()
    best = np.min(race(ours + theirs), axis=1)
    times = best.reshape(-1, 2) / len(utterances) * 1e6

    print("\nTime an utterance, of the first of these networks")
    print("                 all in one   one by one")
    names = ("crnn.RNN", "torch.nn.RNN")[: len(times)]
    for name, (together, alone) in zip(names, times, strict=True):
        print(f"  {name:12}  {together:8.1f} us  {alone:8.1f} us")
    if torch is None:
        print("  torch.nn.RNN  not installed; to compare: pip install torch")
        return
    together, alone = times[1] / times[0]
    print(f"  torch / crnn  {together:8.2f} x   {alone:8.2f} x")
    difference = largest_difference(torch, ours[0](), theirs[0]())
    print(f"  largest difference of outputs and states: {difference:.1e}")
    print(f"  (torch {torch.__version__} on 1 thread; padding and packing not timed)")
