"""Many-to-one: do people like the film? One sentence of a review, word by word."""

import numpy as np
from baselines import bag_of_tokens, majority
from datasets import movie_sentences, split
from torch_twin import report

from crnn.estimators import SequenceClassifier


def main():
    X, y = movie_sentences()
    parts = split(np.random.default_rng(0), len(X), held=0.2)
    train, held = [([X[i] for i in part], [y[i] for i in part]) for part in parts]
    baselines = {
        "majority": majority(train[1], held[1]),
        "bag of words (naive Bayes)": bag_of_tokens(*train, *held),
    }
    model = SequenceClassifier(64, pooling="mean", epochs=4)
    report(model, train, held, baselines)


if __name__ == "__main__":
    main()
