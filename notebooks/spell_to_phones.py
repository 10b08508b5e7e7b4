"""English spelling to phones by an encoder-decoder without attention, on CMUdict.

    pip install -e '.[notebooks]'
    python notebooks/spell_to_phones.py

The encoder reads a word from its end, so that the first letters, which the first phones
need, are the freshest; all it passes on is its last state.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads only get in the way

import pronunciations
from side_by_side import compare, exact, show

from crnn.distance import error_rate
from crnn.estimators import Seq2Seq

MEASURES = {"phone errors": error_rate, "words right": exact}


def main():
    train, test = pronunciations.load()
    print(f"{len(train[0])} words to learn from, {len(test[0])} held out")
    baseline = pronunciations.letter_by_letter(train, test[0])
    show("letter by letter", baseline, test[1], MEASURES)

    train, test = [([word[::-1] for word in X], y) for X, y in (train, test)]
    model = Seq2Seq(256, epochs=3, batch_size=64, learning_rate=2e-3)
    model = compare(model, train, test, MEASURES)
    for word in "elman", "recurrent", "torch":
        print(f"{word}: {' '.join(model.predict([word[::-1]])[0])}")


if __name__ == "__main__":
    main()
