"""Many-to-many: where do the spaces of a Korean sentence go? One tag a letter."""

import numpy as np
from datasets import korean_sentences, split
from torch_twin import report

from crnn.demo.to_labels import spaced, tagged
from crnn.estimators import SequenceTagger


def f1(tags, truth):
    """The harmonic mean of precision and recall of the spaces."""
    tags, truth = np.concatenate(tags), np.concatenate(truth)
    return 2 * (tags & truth).sum() / (tags.sum() + truth.sum())


def main():
    sentences = korean_sentences()
    X, y = zip(*map(tagged, sentences), strict=True)
    parts = split(np.random.default_rng(0), len(X), held=0.15)
    train, held = [([X[i] for i in part], [y[i] for i in part]) for part in parts]
    truth = np.concatenate(held[1])
    baselines = {"majority (never a space)": 1 - truth.mean()}
    model = SequenceTagger(
        128, bidirectional=True, embedding_dim=64, min_count=2, epochs=25, batch_size=16
    )
    report(model, train, held, baselines)
    tags = model.predict(held[0])
    print(f"  F1 of the spaces {f1(tags, held[1]):.3f}")
    for letters, spaces in list(zip(held[0], tags, strict=True))[:3]:
        print("   ", spaced(letters, spaces)[:70])


if __name__ == "__main__":
    main()
