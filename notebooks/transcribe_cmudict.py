"""English spelling to phones without an alignment: CTC on CMUdict.

    pip install -e '.[notebooks]'
    python notebooks/transcribe_cmudict.py

A network of two bidirectional layers reads every letter twice, for a letter may stand
for two phones, and says a phone or nothing each time.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads only get in the way

import warnings

import pronunciations
from side_by_side import compare, exact, show

from crnn.distance import error_rate
from crnn.estimators import SequenceTranscriber

MEASURES = {"phone errors": error_rate, "words right": exact}


def main():
    train, test = pronunciations.load()
    print(f"{len(train[0])} words to learn from, {len(test[0])} held out")
    for word, phones in list(zip(*test, strict=True))[:3]:
        print(f"  {word}: {' '.join(phones)}")
    baseline = pronunciations.letter_by_letter(train, test[0])
    show("letter by letter", baseline, test[1], MEASURES)

    model = SequenceTranscriber(
        128,
        num_layers=2,
        bidirectional=True,
        embedding_dim=48,
        upsample=2,
        epochs=1,
        batch_size=64,
        learning_rate=3e-3,
    )
    warnings.simplefilter("ignore", UserWarning)  # a letter may have too many phones
    model = compare(model, train, test, MEASURES)
    for word in "elman", "recurrent", "torch":
        print(f"{word}: {' '.join(model.predict([word])[0])}")


if __name__ == "__main__":
    main()
