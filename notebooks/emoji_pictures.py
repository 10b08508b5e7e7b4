"""Emoji as pictures, drawn by Pillow with Noto Color Emoji, and their CLDR names."""

import importlib.util
import json
from pathlib import Path

import numpy as np

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
SIZE = 16  # pixels of a side; the font draws 136 x 128


def load(language="en", font=FONT, held_out=400):
    """(train, test): each pictures (N, SIZE, SIZE, 3) in 0 .. 1, and lists of words.

    Raises:
        SystemExit: the font or the names are not installed.
    """
    spec = importlib.util.find_spec("emoji")
    if spec is None or not Path(font).is_file():
        raise SystemExit(
            "needs pip install emoji Pillow and apt install fonts-noto-color-emoji"
        )
    folder = Path(spec.submodule_search_locations[0]) / "unicode_codes"
    if language == "en":  # with what else there is to know of each
        entries = json.loads((folder / "emoji.json").read_text())
        found = {e: entry["en"] for e, entry in entries.items() if entry["status"] == 2}
    else:
        found = json.loads((folder / f"emoji_{language}.json").read_text())
    pictures, names, seen = [], [], set()
    for emoji, name in found.items():
        picture = draw(emoji, font)
        if picture is not None and name not in seen:
            seen.add(name)
            pictures.append(picture)
            names.append(name.strip(":").replace("-", "_").split("_"))
    order = np.random.default_rng(0).permutation(len(names))
    parts = order[held_out:], order[:held_out]
    return [(np.stack([pictures[i] for i in p]), [names[i] for i in p]) for p in parts]


def draw(emoji, font=FONT):
    """The picture of one emoji; None if the font has no single glyph for it."""
    from PIL import Image, ImageDraw, ImageFont

    drawn = ImageFont.truetype(str(font), 109)  # the one size that the font has
    if drawn.getlength(emoji) > 140:
        return None
    image = Image.new("RGB", (136, 128), "white")
    ImageDraw.Draw(image).text((0, 0), emoji, font=drawn, embedded_color=True)
    small = image.resize((SIZE, SIZE), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def of_the_nearest(train, pictures):
    """A baseline: the name of the most similar picture."""
    X, y = train
    flat, other = X.reshape(len(X), -1), pictures.reshape(len(pictures), -1)
    distances = (flat**2).sum(1) - 2 * other @ flat.T
    return [y[i] for i in distances.argmin(1)]
