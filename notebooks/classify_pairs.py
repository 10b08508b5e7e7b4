"""Inference over two sentences: does "at most nine" follow from "less than four"?

Statements about one number, in English and in Korean, letter by letter; the labels are
what interval logic says. No pair of numbers that is held out is seen in training.
"""

import numpy as np
from baselines import bag_of_tokens, majority
from num2words import num2words
from torch_twin import report

from crnn.estimators import SequenceClassifier

COUNT, LARGEST = 20_000, 99
# How a statement is made of a number n, and the integers from 0 that it allows.
KINDS = {
    "en": ["at least {}", "at most {}", "more than {}", "less than {}", "exactly {}"],
    "ko": ["{} 이상", "{} 이하", "{} 초과", "{} 미만", "정확히 {}"],
}
ALLOWS = [
    lambda n: (n, np.inf),
    lambda n: (-np.inf, n),
    lambda n: (n + 1, np.inf),
    lambda n: (-np.inf, n - 1),
    lambda n: (n, n),
]


def label(premise, hypothesis):
    """What the first of two intervals says about the second."""
    (low, high), (least, most) = premise, hypothesis
    if least <= low and high <= most:
        return "entailment"
    return "contradiction" if high < least or most < low else "neutral"


def statements(language, count=COUNT, seed=0):
    """((pairs, labels) to train on, the same held out)."""
    rng = np.random.default_rng(seed)
    words = [num2words(n, lang=language) for n in range(LARGEST + 1)]
    is_held = rng.random((LARGEST + 1, LARGEST + 1)) < 0.1
    parts = {False: ([], []), True: ([], [])}
    for _ in range(count):
        a, b = rng.integers(LARGEST + 1, size=2)
        one, two = rng.integers(len(ALLOWS), size=2)
        X, y = parts[bool(is_held[a, b])]
        sentences = [
            KINDS[language][k].format(words[n]) for k, n in ((one, a), (two, b))
        ]
        X.append(tuple(sentences))
        y.append(label(ALLOWS[one](a), ALLOWS[two](b)))
    return parts[False], parts[True]


def bag(pairs):
    """Words of both, told apart."""
    return [
        [(side, w) for side, s in enumerate(pair) for w in s.split()] for pair in pairs
    ]


def main():
    for language in KINDS:
        train, held = statements(language)
        (X, y), (X_held, y_held) = train, held
        print(f"{language}: {X[0][0]} | {X[0][1]} | {y[0]}")
        baselines = {
            "majority": majority(y, y_held),
            "bag of words (naive Bayes)": bag_of_tokens(bag(X), y, bag(X_held), y_held),
        }
        model = SequenceClassifier(
            64, bidirectional=True, pairs=True, epochs=8, batch_size=64
        )
        report(model, train, held, baselines)


if __name__ == "__main__":
    main()
