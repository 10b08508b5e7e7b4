"""crnn.explain: what it says of calls whose schedule is clear."""

import doctest

import numpy as np
import pytest

import crnn
from crnn import _core, schedule


@pytest.fixture(autouse=True)
def isa(request):
    """What costs least depends on it."""
    isa = getattr(request, "param", "avx512")
    if isa not in crnn.isas():
        pytest.skip(f"needs {isa}")
    before = _core.set_isa(isa)
    yield
    _core.set_isa(before)


CASES = [
    ((1, 1, 64), {}, "alone: one thread"),
    ((128, 32, 64), {}, "rows: 4 parts of 8 rows"),
    ((512, 1, 64), {"bidirectional": True}, "directions: the two directions"),
    ((2000, 1, 64), {"num_layers": 4}, "layers: layers, each one span"),
]


@pytest.mark.parametrize(("shape", "options", "words"), CASES, ids=str)
def test_schedule(capsys, shape, options, words):
    rnn = crnn.RNN(64, 128, **options)
    crnn.explain(rnn, shape, threads=2)
    text = capsys.readouterr().out
    assert text.startswith(f"{rnn} on {shape}, float32, 2 threads allowed\n")
    assert f"schedule    {words}" in text
    share = float(text.split("estimate")[1].split()[0])
    assert share == 1 if "alone" in words else share < 0.9
    crnn.explain(rnn, shape, threads=1)
    assert "alone: one thread" in capsys.readouterr().out


WIDE = [
    (512, {}, (64, 4, 512), "columns"),  # each half of w_hh in a cache of its own
    (512, {}, (64, 8, 512), "columns"),  # and no tile of four rows
    (512, {}, (64, 16, 512), "rows"),  # which hide how late w_hh comes
    (512, {}, (64, 128, 512), "rows"),
    (512, {"bidirectional": True}, (64, 32, 512), "directions"),
    (1024, {"bidirectional": True, "num_layers": 2}, (16, 64, 1024), "directions"),
]


@pytest.mark.parametrize(("H", "options", "shape", "schedule"), WIDE, ids=str)
def test_wide_layers(capsys, H, options, shape, schedule):
    crnn.explain(crnn.RNN(H, H, **options), shape, threads=2)
    assert f"schedule    {schedule}:" in capsys.readouterr().out


PANELS = [
    ("avx512", 1024, (2, 32, 1024), "copied into panels"),  # rows of 4 KiB: few places
    ("avx512", 1024, (1, 32, 1024), "read where they are"),  # to be read once or twice
    ("avx512", 1000, (8, 32, 1000), "read where they are"),
    ("avx512", 1000, (16, 32, 1000), "copied into panels"),
    ("avx2", 256, (64, 1, 256), "copied into panels"),  # a small second cache
    ("avx2", 256, (63, 1, 256), "read where they are"),
    ("avx2", 128, (16, 8, 128), "copied into panels"),
    ("avx2", 128, (15, 8, 128), "read where they are"),
    ("avx2", 120, (500, 8, 120), "read where they are"),  # nearly in the first cache
]


@pytest.mark.parametrize(
    ("isa", "H", "shape", "words"), PANELS, indirect=["isa"], ids=str
)
def test_panels(capsys, H, shape, words):
    crnn.explain(crnn.RNN(H, H), shape, threads=1)
    assert f"matrices    {words}" in capsys.readouterr().out


def test_columns_panels_and_backward(capsys):
    crnn.explain(crnn.RNN(64, 512), (512, 64), threads=2)
    assert "columns: the hidden units" in capsys.readouterr().out
    crnn.explain(crnn.RNN(64, 1024), (64, 32, 64), threads=2)
    assert "copied into panels" in capsys.readouterr().out
    crnn.explain(crnn.RNN(64, 256), (64, 32, 64), threads=2, backward=True)
    assert "rows: 4 parts" in capsys.readouterr().out
    crnn.explain(crnn.RNNCell(64, 64, dtype="float64"), (3, 64))
    assert "float64" in capsys.readouterr().out


@pytest.mark.parametrize("shape", [(3,), (3, 2, 65), (3, 2, 2, 64), (), (-1, 2, 64)])
def test_shapes_that_do_not_fit(shape):
    rnn = crnn.RNN(64, 8)
    with pytest.raises(ValueError):
        crnn.explain(rnn, shape)
    assert rnn(np.zeros((3, 2, 64), np.float32))[0].shape == (3, 2, 8)


def test_the_example_and_what_is_refused():
    found = doctest.testmod(schedule, extraglobs={"crnn": crnn})
    assert found.attempted and not found.failed
    assert callable(crnn.explain)  # whatever modules have been imported
    with pytest.raises(ValueError, match="at least 1, got 0"):
        crnn.explain(crnn.RNN(3, 4), (5, 2, 3), threads=0)
    crnn.explain(crnn.RNN(3, 4), (5, 2000, 3), threads=2**62)
    with pytest.raises(ValueError, match="must be 3, not 4"):
        crnn.explain(crnn.RNN(3, 4), (5, 2, 4))
