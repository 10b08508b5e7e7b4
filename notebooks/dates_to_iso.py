"""Dates in six locales to ISO form: an encoder-decoder with dot attention.

    pip install -e '.[notebooks]'
    python notebooks/dates_to_iso.py

"vendredi 12 mai 2000" becomes "2000-05-12": the decoder must look back at the input, in
another order than it was written, and attention lets it.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads only get in the way

import dates
from side_by_side import compare, exact, show

from crnn.distance import error_rate
from crnn.estimators import Seq2Seq

MEASURES = {"exact": exact, "letter errors": error_rate}


def main():
    train, test = dates.load()
    print(f"{len(train[0])} dates to learn from, {len(test[0])} of other days held out")
    for text, iso in list(zip(*test, strict=True))[:6]:
        print(f"  {text}: {iso}")
    show("digits only", dates.digits_only(test[0]), test[1], MEASURES)

    model = Seq2Seq(
        128,
        bidirectional=True,
        attention=True,
        epochs=2,
        batch_size=64,
        learning_rate=2e-3,
    )
    model = compare(model, train, test, MEASURES)
    for text in "2026년 7월 9일 목요일", "Donnerstag, 9. Juli 2026", "9 July 2026":
        print(f"{text}: {model.predict([text])[0]}")


if __name__ == "__main__":
    main()
