"""`python -m crnn`: what a first user runs, as that user runs it."""

import importlib.util
import re
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

DATA = resources.files("crnn") / "data"
WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "


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
    assert "accuracy 98.4% (364 of 370)" in text
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


def test_data():
    with np.load(DATA / "japanese_vowels.npz", allow_pickle=False) as npz:
        data = dict(npz)
    assert data["frames"].shape == (data["lengths"].sum(), 12)
    assert data["frames"].dtype == np.int16
    assert data["lengths"].shape == data["speakers"].shape == (370,)
    assert data["rnn.weight_ih_l1_reverse"].shape == (64, 128)
    assert data["readout.weight"].shape == (9, 128)
    assert all(v.dtype == np.float32 for k, v in data.items() if "." in k)


def test_data_is_small_and_attributed():
    files = [DATA / "japanese_vowels.npz", DATA / "ATTRIBUTION.md"]
    assert sum(len(file.read_bytes()) for file in files) < 300_000
    text = files[1].read_text(encoding="utf-8")
    for words in ("Kudo", "Toyama", "Shimbo", "10.24432/C5NS47", "CC BY 4.0", "int16"):
        assert words in text
