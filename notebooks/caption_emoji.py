"""Emoji pictures to their names, a word at a time: image captioning in miniature.

    pip install -e '.[notebooks]' && apt install fonts-noto-color-emoji
    python notebooks/caption_emoji.py [language] [path of NotoColorEmoji.ttf]

Every name occurs once, so a held-out one can only be right if it is put together anew:
"woman bowing, medium skin tone" from other women, other bows and other skins.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # its threads only get in the way

import sys

import emoji_pictures
from side_by_side import compare, exact, show

from crnn.distance import error_rate
from crnn.estimators import SequenceGenerator


def first_word(predictions, y):
    """The share whose first word is right."""
    return exact([words[:1] for words in predictions], [words[:1] for words in y])


MEASURES = {"first word": first_word, "exact": exact, "word errors": error_rate}


def main():
    train, test = emoji_pictures.load(*sys.argv[1:])
    print(f"{len(train[0])} pictures of {train[0].shape[1:]}, {len(test[0])} held out")
    nearest = emoji_pictures.of_the_nearest(train, test[0])
    show("the nearest's name", nearest, test[1], MEASURES)

    model = SequenceGenerator(
        128,
        conditioning="both",
        epochs=20,
        learning_rate=2e-3,
    )
    model = compare(model, train, test, MEASURES)
    for said, name in list(zip(model.predict(test[0]), test[1], strict=True))[:8]:
        print(f"  {' '.join(said)}  (is: {' '.join(name)})")
    print(
        "sampled:", *(" ".join(s) for s in model.sample(test[0][[2] * 3])), sep="\n  "
    )


if __name__ == "__main__":
    main()
