"""`python -m crnn demo`: the shapes, a trained network on real speech, torch beside it.

data/ATTRIBUTION.md says where the speech and the weights come from.
"""

from importlib import resources

import numpy as np

from crnn import RNN, manual_seed
from crnn.measure import find_torch, race


def show_shapes():
    """The example of the study note: three bidirectional layers, batch first."""
    manual_seed(0)
    rnn = RNN(128, 256, num_layers=3, batch_first=True, bidirectional=True)
    x = np.random.default_rng(0).standard_normal((4, 6, 128), dtype=np.float32)
    output, h_n = rnn(x)
    print(rnn)
    print(f"  input   {x.shape}  4 sequences of 6 steps, 128 features")
    print(f"  output  {output.shape}  top layer: 2 directions x 256 units")
    print(f"  hidden  {h_n.shape}  last states: 3 layers x 2 directions")


def load():
    """(weights by torch's names, utterances as a list of (T, 12) arrays, speakers)."""
    path = resources.files("crnn") / "data" / "japanese_vowels.npz"
    with path.open("rb") as file, np.load(file, allow_pickle=False) as npz:
        arrays = dict(npz)
    frames = arrays.pop("frames") * arrays.pop("scale")
    utterances = np.split(frames, np.cumsum(arrays.pop("lengths"))[:-1])
    return arrays, utterances, arrays.pop("speakers")


def pad(utterances):
    """A (T, B, 12) array, zero after each utterance's end, and the (B,) lengths."""
    lengths = np.array([len(u) for u in utterances])
    batch = np.zeros((lengths.max(), len(utterances), 12), np.float32)
    for b, utterance in enumerate(utterances):
        batch[: len(utterance), b] = utterance
    return batch, lengths


def speaker_rnn(rnn_class, weights, convert=np.asarray):
    """The trained layers; the same calls make a crnn.RNN or a torch.nn.RNN."""
    names = [name for name in weights if name.startswith("rnn.")]
    rnn = rnn_class(12, 64, num_layers=2, bidirectional=True)
    rnn.load_state_dict({n.removeprefix("rnn."): convert(weights[n]) for n in names})
    return rnn.eval()


def show_speakers(rnn, weights, utterances, speakers):
    """Some predictions beside the truth, and the accuracy over all utterances."""
    batch, lengths = pad(utterances)
    _, h_n = rnn(batch, lengths=lengths)
    top = np.concatenate([h_n[-2], h_n[-1]], axis=1)  # both directions of the top layer
    logits = top @ weights["readout.weight"].T + weights["readout.bias"]
    named = logits.argmax(axis=1) + 1
    wrong = np.flatnonzero(named != speakers)

    print("\nWhich of nine men says /ae/? JapaneseVowels, test utterances")
    print("  utterance  steps  speaker  predicted")
    for i in sorted({*range(0, len(speakers), 60), *wrong[:1]}):
        mark = "  wrong" if i in wrong else ""
        print(f"  {i:9}  {lengths[i]:5}  {speakers[i]:7}  {named[i]:9}{mark}")
    right = len(speakers) - len(wrong)
    print(f"  accuracy {right / len(speakers):.1%} ({right} of {len(speakers)})")


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


def show_times(rnn, weights, utterances):
    """Microseconds a sequence; torch.nn.RNN with the same weights where installed."""
    batch, lengths = pad(utterances)
    ours = (lambda: rnn(batch, lengths=lengths), lambda: [rnn(u) for u in utterances])
    torch = find_torch()
    theirs = torch_runs(torch, weights, utterances) if torch else ()
    best = np.min(race(ours + theirs), axis=1)
    times = best.reshape(-1, 2) / len(utterances) * 1e6

    print("\nTime a sequence   all in one   one by one")
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


def main():
    show_shapes()
    weights, utterances, speakers = load()
    rnn = speaker_rnn(RNN, weights)
    show_speakers(rnn, weights, utterances, speakers)
    show_times(rnn, weights, utterances)
