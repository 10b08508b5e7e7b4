"""Small weight files in every format that crnn.load reads."""

import checkpoints
import numpy as np
import pytest
from faults import same_bits

import crnn

ARRAYS = {
    "weight_ih_l0": np.array([[0.5], [1.5]], "f4"),
    "weight_hh_l0": np.array([[1, 2], [3, 4]], "f4"),
}
NAMES = "weights.npz", "weights.safetensors", "weights.pt", "weights.onnx"


def write(folder, name):
    """A small file of ARRAYS in the format of this name."""
    path = folder / name
    if name.endswith(".pt"):
        return checkpoints.write_arrays(path, ARRAYS)
    if name.endswith(".onnx"):
        pytest.importorskip("onnx", reason="needs the onnx library")
        crnn.to_onnx(crnn.RNN.from_state_dict(ARRAYS), path)
        return path
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors", reason="needs the safetensors library")
    crnn.save(path, ARRAYS)
    return path


def is_same(loaded, arrays):
    return loaded.keys() == arrays.keys() and all(
        same_bits(loaded[name], array) for name, array in arrays.items()
    )
