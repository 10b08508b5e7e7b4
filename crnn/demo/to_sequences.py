"""The demo's estimators whose answers are sequences."""

import numpy as np

from ..estimators import Seq2Seq, SequenceGenerator, SequenceTranscriber
from .block import DATA, arrays_of, chosen, lines_of, mark, summary, title


def show_generator():
    model = SequenceGenerator.load(DATA / "emoji.npz")
    arrays = arrays_of("emoji_samples")
    X, y = arrays["pictures"] / np.float32(255), [n.split() for n in arrays["names"]]
    named = model.predict(X)
    right = [a == b for a, b in zip(named, y, strict=True)]

    title(model, "a vector to a sequence", "names of emoji, from 16 x 16 pixels")
    for i in chosen(right):
        print(f"  {' '.join(named[i])}")
        if not right[i]:
            print(f"    {' '.join(y[i])}  is right")
    warm = [" ".join(words) for words in model.sample(X[[0, 0]], temperature=1.0)]
    print(f"  the first one sampled twice: {' | '.join(warm)}")
    score = f"names {sum(right)} of {len(y)}, words wrong {model.error_rate(X, y):.1%}"
    summary(score, model, X)


def show_seq2seq():
    model = Seq2Seq.load(DATA / "dates.npz")
    X, y = zip(*lines_of("dates"), strict=True)
    said = model.predict(X)
    right = [a == b for a, b in zip(said, y, strict=True)]

    title(model, "a sequence to another", "dates in six locales to ISO, by attention")
    print("  date        predicted   written")
    for i in chosen(right, 6):
        print(f"  {y[i]}  {said[i]}  {X[i]}{mark(right[i])}")
    summary(f"dates {sum(right)} of {len(y)}", model, X)


def show_transcriber():
    model = SequenceTranscriber.load(DATA / "phones.npz")
    X, phones = zip(*lines_of("phones"), strict=True)
    y = [line.split() for line in phones]
    said = model.predict(X)
    right = [a == b for a, b in zip(said, y, strict=True)]

    title(model, "a sequence to one that nobody aligned", "English spelling to phones")
    print("  word          phones                        predicted")
    for i in chosen(right):
        print(f"  {X[i]:13} {phones[i]:29} {' '.join(said[i])}{mark(right[i])}")
    score = f"words {sum(right)} of {len(y)}, phones wrong {model.error_rate(X, y):.1%}"
    summary(score, model, X)
