"""Small versions of the tasks under notebooks/ whose answers are sequences."""

import importlib.util
from pathlib import Path

import pytest

from crnn.distance import error_rate
from crnn.estimators import Seq2Seq, SequenceGenerator, SequenceTranscriber

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

pytestmark = pytest.mark.skipif(not NOTEBOOKS.is_dir(), reason="needs the source tree")


@pytest.fixture
def data(script):
    """Imports a module of notebooks/; skips where its data are missing."""

    def load(name, package):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
        return script(name)

    return load


def test_dates_with_attention(data):
    dates = data("dates", "babel")
    train, test = dates.load(3000, 200)
    assert not {*train[1]} & {*test[1]}
    model = Seq2Seq(64, attention=True, epochs=8).fit(*train)
    assert model.error_rate(*test) < 0.05
    assert error_rate(dates.digits_only(test[0]), test[1]) > 0.05


def test_words_to_phones(data):
    words = data("pronunciations", "cmudict")
    train, test = words.load()
    train, test = ([part[:5000] for part in train], [part[:300] for part in test])
    baseline = error_rate(words.letter_by_letter(train, test[0]), test[1])
    model = SequenceTranscriber(64, bidirectional=True, upsample=2, epochs=4)
    assert model.fit(*train).error_rate(*test) < 0.35 < baseline


def test_captions_of_emoji(data):
    pytest.importorskip("PIL", reason="Pillow is not installed")
    emoji = data("emoji_pictures", "emoji")
    if not emoji.FONT.is_file():
        pytest.skip("needs fonts-noto-color-emoji")
    (X, y), test = emoji.load()
    model = SequenceGenerator(64, conditioning="both", epochs=12).fit(X, y)
    assert model.error_rate(*test) < 0.55
