"""Train five of the six networks that `python -m crnn demo` shows; write their samples.

    pip install -e '.[notebooks]' && apt install fonts-noto-color-emoji
    python notebooks/train_demo.py [path of NotoColorEmoji.ttf]

The data are those of the scripts beside this file but for Korean, whose text must have
a free licence; the networks are smaller.  Into crnn/data go each estimator's own file,
its weights rounded, and examples that it was not trained on.  train_japanese_vowels.py
makes the sixth.  Takes a minute on one core; the same packages on the same machine
write the same bytes.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads only get in the way

import sys
import warnings
from collections import Counter
from pathlib import Path

import dates
import emoji_pictures
import forecast_co2
import numpy as np
import pronunciations
from datasets import co2, korean_dialogues
from tag_korean_spaces import tagged

import crnn
from crnn.estimators import (
    Seq2Seq,
    SequenceGenerator,
    SequenceRegressor,
    SequenceTagger,
    SequenceTranscriber,
)

DATA = Path(__file__).parents[1] / "crnn" / "data"
SAMPLES = 40


def train_co2():
    """Forecasts of the months after those that it was trained on."""
    series = co2()
    X, y = forecast_co2.windows(series)
    held = forecast_co2.HELD
    end = len(X) - held - forecast_co2.AHEAD  # no window reaches into what is held out
    ship("co2", SequenceRegressor(24, epochs=60, batch_size=16), X[:end], y[:end])
    needed = held + forecast_co2.WINDOW + forecast_co2.AHEAD
    np.savez_compressed(DATA / "co2_samples.npz", ppm=series[-needed:])


def train_korean_spaces():
    """For crnn/data/korean_sentences.txt, which was written for the demo."""
    X, y = zip(*map(tagged, korean_dialogues()), strict=True)
    options = {"embedding_dim": 24, "min_count": 2, "epochs": 25, "batch_size": 16}
    ship("korean_spaces", SequenceTagger(48, bidirectional=True, **options), X, y)


def train_emoji(font):
    """Names of words that occur ten times, so that a small vocabulary says them all."""
    (X, y), (held_X, held_y) = emoji_pictures.load(font=font)
    counts = Counter(word for name in y for word in set(name))

    def sayable(names):
        return [i for i, name in enumerate(names) if min(counts[w] for w in name) >= 10]

    kept, held = sayable(y), sayable(held_y)[:SAMPLES]
    options = {"embedding_dim": 16, "epochs": 120, "learning_rate": 3e-3}
    model = SequenceGenerator(32, conditioning="input", **options)
    ship("emoji", model, X[kept], [y[i] for i in kept])
    pictures = np.rint(held_X[held] * 255).astype(np.uint8)
    names = np.array([" ".join(held_y[i]) for i in held])
    np.savez_compressed(DATA / "emoji_samples.npz", pictures=pictures, names=names)


def train_dates():
    train, test = dates.load()
    options = {"embedding_dim": 12, "epochs": 6, "batch_size": 64}
    ship("dates", Seq2Seq(24, bidirectional=True, attention=True, **options), *train)
    write_pairs("dates", *test)


def train_phones():
    train, (words, phones) = pronunciations.load()
    options = {"embedding_dim": 24, "epochs": 4, "batch_size": 64, "upsample": 2}
    model = SequenceTranscriber(48, num_layers=2, bidirectional=True, **options)
    warnings.simplefilter("ignore", UserWarning)  # a letter may have too many phones
    ship("phones", model, *train)
    write_pairs("phones", words, map(" ".join, phones))


def ship(name, model, X, y):
    """Fit the model and write it, as `save` does but rounded and compressed."""
    path = DATA / f"{name}.npz"
    model.fit(X, y).save(path)
    with np.load(path) as npz:
        arrays = {name: rounded(array) for name, array in npz.items()}
    np.savez_compressed(path, **arrays)
    print(f"{path.name}: {path.stat().st_size} bytes, {model}", flush=True)


def rounded(array):
    """Multiples of a power of two, at most 255 of them, which float16 holds exactly."""
    if array.dtype == np.float16:  # the bytes of a text
        return array
    step = 2.0 ** np.ceil(np.log2(max(abs(array).max(), 1e-4) / 127))
    return (np.rint(array / step) * step).astype(np.float16)


def write_pairs(name, *columns):
    """A line for each of the first samples, a tab between its columns."""
    rows = list(zip(*columns, strict=True))[:SAMPLES]
    text = "".join("\t".join(row) + "\n" for row in rows)
    (DATA / f"{name}.txt").write_text(text, encoding="utf-8")


def main():
    crnn.set_num_threads(1)
    train_co2()
    train_korean_spaces()
    train_dates()
    train_phones()
    train_emoji(sys.argv[1] if sys.argv[1:] else emoji_pictures.FONT)


if __name__ == "__main__":
    main()
