"""`python -m crnn`: what a first user runs, as that user runs it."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import crnn
from crnn import estimators

DATA = Path(crnn.__file__).parent / "data"
ATTRIBUTION = DATA / "ATTRIBUTION.md"
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "

# The estimators that are shipped: file, class, the score that the demo prints of it.
SHIPPED = {
    "japanese_vowels": ("SequenceClassifier", r"accuracy (98\.4)% \(364 of 370\)"),
    "co2": ("SequenceRegressor", r"R squared 0\.(\d+), mean error 0\.4\d ppm"),
    "korean_spaces": ("SequenceTagger", r"letters ([\d.]+)% .*sentences \d+ of 40"),
    "emoji": ("SequenceGenerator", r"names (\d+) of 40, words wrong [\d.]+%"),
    "dates": ("Seq2Seq", r"dates (\d+) of 40"),
    "phones": ("SequenceTranscriber", r"words (\d+) of 40, phones wrong [\d.]+%"),
}
LEAST = {"japanese_vowels": 98.4, "co2": 860, "korean_spaces": 92.5}
LEAST |= {"emoji": 25, "dates": 40, "phones": 24}
each_shipped = pytest.mark.parametrize("name", SHIPPED)


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120
    )


def run_demo(prelude):
    """The demo's lines; any warning in it is an error."""
    code = prelude + "from crnn.__main__ import main; main(['demo'])"
    result = run("-W", "error", "-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def check_demo(text):
    assert re.search(r"input +\(4, 6, 128\)", text)
    assert re.search(r"output +\(4, 6, 512\)", text)
    assert re.search(r"hidden +\(6, 4, 256\)", text)
    for name, (kind, score) in SHIPPED.items():
        (block,) = re.findall(rf"^{kind}, .*?\n(?:  .*\n)+", text, re.M)
        assert block.count("\n") > 4  # some samples
        last = block.splitlines()[-1]
        assert float(re.search(score, last)[1]) >= LEAST[name]
        assert re.search(r"; \d+ in \d+\.\d ms$", last)
    assert re.search(r"crnn\.RNN +\d+\.\d us +\d+\.\d us", text)


def test_demo():
    result = run("-m", "crnn", "demo")
    assert result.returncode == 0, result.stderr
    check_demo(result.stdout)


def test_demo_without_torch():
    text = run_demo(WITHOUT_TORCH)
    check_demo(text)
    assert "pip install torch" in text


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
def test_demo_beside_torch():
    text = run_demo("")
    check_demo(text)
    difference = re.search(r"largest difference.*: (\S+)", text)
    assert float(difference[1]) < 1e-5


def test_demo_where_the_terminal_knows_only_ascii():
    """As in a container without a locale: no error, whatever becomes of Korean."""
    code = "from crnn.__main__ import main; main(['demo'])"
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert b"dates 40 of 40" in result.stdout


def test_every_kind_of_estimator_is_shipped():
    kinds = set(estimators.__all__) - {"Estimator", "NotFittedError"}
    assert {kind for kind, _ in SHIPPED.values()} == kinds


@each_shipped
def test_a_shipped_estimator_loads_and_saves_again(name, tmp_path):
    kind = getattr(estimators, SHIPPED[name][0])
    model = kind.load(DATA / f"{name}.npz")
    model.save(tmp_path / "again.npz")
    again = kind.load(tmp_path / "again.npz").state_dict()
    for parameter, array in model.state_dict().items():
        assert array.dtype == np.float32
        assert np.array_equal(array, again[parameter])


def test_info():
    result = run("-m", "crnn", "info")
    assert result.returncode == 0, result.stderr
    assert np.__version__ in result.stdout


@pytest.mark.parametrize("arguments", [[], ["dmeo"]])
def test_wrong_command(arguments):
    result = run("-m", "crnn", *arguments)
    assert result.returncode == 2
    assert "usage: python -m crnn" in result.stderr


def test_help():
    result = run("-m", "crnn", "--help")
    assert result.returncode == 0
    assert "demo" in result.stdout
    assert "info" in result.stdout


def test_speech():
    with np.load(DATA / "japanese_vowels.npz", allow_pickle=False) as npz:
        data = dict(npz)
    assert data["frames"].shape == (data["lengths"].sum(), 12)
    assert data["frames"].dtype == np.int16
    assert data["lengths"].shape == data["speakers"].shape == (370,)
    assert data["rnn.weight_ih_l1_reverse"].shape == (64, 128)
    assert data["readout.weight"].shape == (9, 128)
    weights = [a for n, a in data.items() if n.startswith(("rnn.", "readout."))]
    assert all(array.dtype == np.float32 for array in weights)


def test_data_is_small_and_attributed():
    sizes = {file.name: file.stat().st_size for file in DATA.glob("*.*")}
    speech = sizes.pop("japanese_vowels.npz")
    assert speech < 300_000 and sum(sizes.values()) < 200_000
    assert max(sizes.values()) < 55_000
    text = ATTRIBUTION.read_text(encoding="utf-8")
    headings = " ".join(re.findall("^# (.*)", text, re.M))
    assert sizes.keys() - {ATTRIBUTION.name} <= set(re.findall(r"[\w.]+", headings))
    for words in ("Kudo", "Toyama", "Shimbo", "10.24432/C5NS47", "CC BY 4.0", "int16"):
        assert words in text
    for words in ("Keeling", "Noto", "Unicode", "Carnegie Mellon", "chatterbot"):
        assert words in text
