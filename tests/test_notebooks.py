"""The study note in two languages: the same code, executed, and it still runs."""

import os
import re
from pathlib import Path

import pytest

import crnn

FOLDER = Path(__file__).parent.parent / "notebooks"
ENGLISH, KOREAN = FOLDER / "study_note.ipynb", FOLDER / "study_note.ko.ipynb"
SIZE_LIMIT = 400_000  # bytes

nbformat = pytest.importorskip(
    "nbformat", reason="nbformat is missing: pip install crnn[notebooks]"
)
pytestmark = pytest.mark.skipif(not ENGLISH.exists(), reason="needs the source tree")
each_note = pytest.mark.parametrize("path", [ENGLISH, KOREAN], ids=lambda p: p.name)


def read(path):
    return nbformat.read(path, as_version=4)


def cells_of(path, kind):
    return [cell for cell in read(path).cells if cell.cell_type == kind]


def printed(notebook):
    """What the code cells print."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    return "".join(o.text for o in outputs if o.output_type == "stream")


def check_story(notebook):
    """What the text says of the results, where they may differ from run to run."""
    text = printed(notebook)
    for line in (
        "cell and RNN equal:      True",
        "h_n is the last output:  True",
        "y (19, 9)  equal to the equation: True",
        "the same after loading: True",
        "input   (4, 6, 128)",
        "outputs (4, 6, 512)",
        "hidden  (6, 4, 256)",
        "forward: True",
        "reverse: True",
    ):
        assert line in text
    shares = {}
    for name, share in re.findall(r"^(.*?): ([\d.]+)%", text, re.M):
        shares[name] = float(share)
    assert shares["right"] > 80
    both = shares["1 layer(s), bidirectional"], shares["2 layer(s), bidirectional"]
    assert min(both) > shares["1 layer(s), forward alone"] > 80
    for name in ("Classifier", "Tagger", "Generator", "Transcriber"):
        assert shares[f"Sequence{name}"] > 80
    assert shares["Seq2Seq, attention=True"] > 95 > shares["Seq2Seq, attention=False"]
    error = r"([\d.]+) +(?:if .*|of the mean .*):"
    pairs = re.findall(rf"error.*?: {error} ([\d.]+)", text)
    assert len(pairs) == 4
    assert all(float(network) < float(simple) for network, simple in pairs)
    assert re.search(r"not clipped: \d+ updates, last loss (nan|inf)", text)
    assert re.search(r"^clipped to 1: 140 updates, last loss \d", text, re.M)


def test_the_code_is_the_same_in_both_languages():
    english, korean = (cells_of(path, "code") for path in (ENGLISH, KOREAN))
    assert [cell.source for cell in english] == [cell.source for cell in korean]
    kinds = [
        [cell.cell_type for cell in read(path).cells] for path in (ENGLISH, KOREAN)
    ]
    assert kinds[0] == kinds[1]


def test_the_text_is_in_its_language_with_the_same_formulas():
    pairs = zip(
        cells_of(ENGLISH, "markdown"), cells_of(KOREAN, "markdown"), strict=True
    )
    for english, korean in pairs:
        assert not re.search("[가-힣]", english.source)
        assert re.search("[가-힣]", korean.source)
        formulas = [
            re.findall(r"\$\$.*?\$\$", c.source, re.S) for c in (english, korean)
        ]
        assert formulas[0] == formulas[1]


@each_note
def test_the_note_is_shipped_executed_and_small(path):
    notebook = read(path)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in notebook.cells if "outputs" in cell]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    kinds = {o.get("name", o.output_type) for o in outputs}
    assert kinds == {"stdout", "display_data"}  # neither errors nor warnings
    check_story(notebook)
    assert path.stat().st_size < SIZE_LIMIT


@pytest.mark.slow
def test_the_note_runs_from_top_to_bottom(monkeypatch):
    """In one language: the code is the same in both."""
    pytest.importorskip("ipykernel", reason="ipykernel is missing")
    pytest.importorskip("matplotlib", reason="matplotlib is missing")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is missing")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # which wait for busy CPUs
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(crnn.__file__)))
    notebook = read(ENGLISH)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(FOLDER)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    check_story(notebook)
