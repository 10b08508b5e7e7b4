"""Dates as people write them in six locales, and in ISO form: made by babel."""

import datetime
import re

import numpy as np
from babel.dates import format_date

LOCALES = ("en_US", "en_GB", "de", "fr", "ko", "ja")
FORMATS = ("medium", "long", "full")


def load(count=22_000, held_out=2000):
    """(train, test): each a list of written dates and a list of their ISO forms.

    Days from 1950 to 2049; all forms of a day are on the same side.
    """
    rng = np.random.default_rng(0)
    first = datetime.date(1950, 1, 1)
    parts = [], []
    days = rng.permutation((datetime.date(2050, 1, 1) - first).days)
    for n in range(count):
        is_test = n < held_out
        day = rng.choice(days[:held_out] if is_test else days[held_out:])
        date = first + datetime.timedelta(days=int(day))
        locale, form = rng.choice(LOCALES), rng.choice(FORMATS)
        text = format_date(date, form, locale=locale)
        parts[is_test].append((text, date.isoformat()))
    return [tuple(map(list, zip(*part, strict=True))) for part in parts]


def digits_only(texts):
    """A baseline: numbers are read in their order, and a missing one is 1."""
    found = []
    for text in texts:
        numbers = [int(n) for n in re.findall(r"\d+", text)]
        year = next((n for n in numbers if n > 31), 2000)
        month, day = ([n for n in numbers if n <= 31] + [1, 1])[:2]
        if len(numbers) < 3:
            month, day = 1, month
        found.append(f"{year}-{month:02}-{day:02}")
    return found
