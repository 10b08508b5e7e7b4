"""notebooks/train_with_torch.ipynb: shipped executed, and it still tells its story."""

import os
import re
from pathlib import Path

import pytest

import crnn

PATH = Path(__file__).parent.parent / "notebooks/train_with_torch.ipynb"

nbformat = pytest.importorskip(
    "nbformat", reason="nbformat is missing: pip install crnn[notebooks]"
)
pytestmark = pytest.mark.skipif(not PATH.exists(), reason="needs the source tree")


def check_story(notebook):
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert {o.get("name", o.output_type) for o in outputs} == {"stdout", "display_data"}
    text = "".join(o.text for o in outputs if o.output_type == "stream")
    accuracies = re.findall(r"^(\S+\.RNN) .* accuracy ([\d.]+)$", text, re.M)
    assert [name for name, _ in accuracies] == ["torch.nn.RNN", "crnn.torch.RNN"]
    assert all(float(share) > 0.8 for _, share in accuracies)
    first, whole = re.findall(r"steps: (\S+)$", text, re.M)
    assert float(first) <= 1e-5 and float(whole) <= 1e-3
    assert re.search(r"^patched: .* same losses: True$", text, re.M)


def test_it_is_shipped_executed_and_small():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    check_story(notebook)
    assert PATH.stat().st_size < 100_000


@pytest.mark.slow
def test_it_runs_from_top_to_bottom(torch, monkeypatch):
    pytest.importorskip("ipykernel", reason="ipykernel is missing")
    pytest.importorskip("matplotlib", reason="matplotlib is missing")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is missing")
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(crnn.__file__)))
    notebook = nbformat.read(PATH, as_version=4)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": str(PATH.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    check_story(notebook)
