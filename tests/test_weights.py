"""crnn.save and crnn.load: .npz and .safetensors, there and back and with others."""

import os
import pickle
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from faults import check_usable, network, run_python, same_bits

import crnn

SUFFIXES = (".npz", ".safetensors")


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors", reason="needs the safetensors library")
    return tmp_path / f"weights{request.param}"


def arrays():
    rng = np.random.default_rng(0)
    return {
        "f32": rng.standard_normal((2, 3)).astype("f4"),
        "f64": rng.standard_normal((3, 2)),
        "fortran": np.asfortranarray(rng.standard_normal((3, 4)).astype("f4")),
        "strided": rng.standard_normal((6, 4)).astype("f4")[::-2, ::3],
        "scalar": np.array(1.5, "f4"),
        "empty": np.zeros((0, 3), "f4"),
        "file": np.ones(1, "f4"),  # an argument of numpy.savez
        "a/b.c é": np.ones(2, "f4"),
        "special": np.array([np.nan, -0.0, np.inf, 1e-45], "f4"),
    }


def as_expected(loaded, expected):
    assert sorted(loaded) == sorted(expected)
    for name, array in loaded.items():
        assert type(array) is np.ndarray and array.flags.writeable
        assert same_bits(array, expected[name]), name


def test_there_and_back(path):
    crnn.save(path, arrays())
    as_expected(crnn.load(path), arrays())
    crnn.save(str(path), {})
    assert crnn.load(os.fsencode(path)) == {}


def test_a_network_there_and_back(path):
    net = network("float64", num_layers=2, bidirectional=True)
    crnn.save(path, net.state_dict())
    twin = crnn.RNN.from_state_dict(crnn.load(path))
    assert repr(twin) == repr(net)
    assert all(map(same_bits, twin.parameters(), net.parameters()))


def test_half_precision_and_other_byte_orders(path):
    given = {"half": np.arange(5, dtype="f2"), "big": np.arange(5, dtype=">f8")}
    crnn.save(path, given)
    loaded = crnn.load(path)
    assert same_bits(loaded["half"], np.arange(5, dtype="f4"))
    assert same_bits(loaded["big"], np.arange(5, dtype="f8"))


def test_numpy_reads_what_was_saved(tmp_path):
    crnn.save(tmp_path / "a.npz", arrays())
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert sorted(archive.files) == sorted(arrays())
        for name, array in arrays().items():
            assert same_bits(archive[name], array)


def test_safetensors_and_torch_read_what_was_saved(tmp_path, torch):
    pytest.importorskip("safetensors", reason="needs the safetensors library")
    from safetensors.numpy import load_file
    from safetensors.torch import load_file as load_torch

    path = tmp_path / "a.safetensors"
    crnn.save(path, arrays())
    loaded, tensors = load_file(path), load_torch(path)
    for name, array in arrays().items():
        assert same_bits(np.array(loaded[name]), array)
        assert same_bits(tensors[name].numpy(), array)


def test_tensors_are_saved(path, torch):
    net = torch.nn.RNN(3, 4)
    state = {**net.state_dict(), "half": torch.ones(2).bfloat16()}
    crnn.save(path, state)
    for name, array in crnn.load(path).items():
        assert same_bits(array, state[name].float().numpy())


def test_numpy_s_files_are_read(tmp_path):
    given = {"b": np.array([True, False]), "i": np.arange(3), "z": np.array([1j])}
    given |= {"u": np.arange(3, dtype=">u2").reshape(3, 1), **arrays()}
    for save in np.savez, np.savez_compressed:
        others = {name: array for name, array in given.items() if name != "file"}
        save(tmp_path / "a.npz", **others)
        loaded = crnn.load(tmp_path / "a.npz")
        assert loaded.keys() == others.keys()
        for name, array in others.items():
            native = array.astype(array.dtype.newbyteorder("="))
            assert same_bits(loaded[name], native)


def test_bfloat16_of_safetensors(tmp_path, torch):
    save_file = pytest.importorskip("safetensors.torch").save_file
    given = {"b": torch.randn(3, 4).bfloat16(), "h": torch.randn(2).half()}
    given |= {"i": torch.arange(3), "t": torch.tensor([True, False])}
    save_file(given, tmp_path / "a.safetensors")
    loaded = crnn.load(tmp_path / "a.safetensors")
    for name, tensor in given.items():
        wide = tensor.float() if tensor.is_floating_point() else tensor
        assert same_bits(loaded[name], wide.numpy())


def test_the_content_tells_the_format(path, tmp_path):
    crnn.save(path, arrays())
    other = path.rename(tmp_path / "weights.bin")
    as_expected(crnn.load(other), arrays())


@pytest.mark.parametrize(
    "value",
    [np.arange(3), np.array(["x"]), np.array([None]), np.array([1j]), [1.0], 1.0, None],
    ids=repr,
)
def test_values_that_are_no_floats_are_refused(path, value):
    crnn.save(path, arrays())
    with pytest.raises(crnn.DTypeError, match="bad"):
        crnn.save(path, {"good": np.zeros(3, "f4"), "bad": value})
    as_expected(crnn.load(path), arrays())
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("what", [None, [1], network(), "x"], ids=repr)
def test_what_is_no_mapping_is_refused(path, what):
    with pytest.raises(TypeError, match=r"mapping.*state_dict\(\)"):
        crnn.save(path, what)
    assert not path.exists()


def test_names_that_are_refused(path):
    with pytest.raises(TypeError, match="strings"):
        crnn.save(path, {1: np.zeros(1)})
    for name in "a\0b", "\ud800":
        with pytest.raises(ValueError):
            crnn.save(path, {name: np.zeros(1)})
    if path.suffix == ".safetensors":
        with pytest.raises(ValueError):
            crnn.save(path, {"__metadata__": np.zeros(1)})
    assert not os.listdir(path.parent)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a", "npz", "a.npz.gz", "a.onnx"])
def test_suffixes_that_are_not_written(name, tmp_path):
    with pytest.raises(ValueError, match=r"\.npz or \.safetensors"):
        crnn.save(tmp_path / name, arrays())
    assert not os.listdir(tmp_path)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    crnn.save(path, arrays())

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        crnn.save(path, {"x": np.zeros(1)})
    monkeypatch.undo()
    as_expected(crnn.load(path), arrays())
    assert os.listdir(path.parent) == [path.name]


def test_a_link_stays_a_link(path, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path.symlink_to(folder / path.name)
    for count in 1, 2:
        crnn.save(path, {"x": np.zeros(count, "f4")})
        assert path.is_symlink() and not (folder / path.name).is_symlink()
        assert crnn.load(folder / path.name)["x"].shape == (count,)


def test_permissions_are_those_of_any_new_file(path):
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    crnn.save(path, arrays())
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_the_same_arrays_make_the_same_bytes(path):
    contents = []
    for _ in range(2):
        crnn.save(path, arrays())
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


def test_without_the_safetensors_library(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    path.write_bytes((2).to_bytes(8, "little") + b"{}")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (crnn.load, path), (crnn.save, path, arrays()):
        with pytest.raises(ImportError, match=r"pip install crnn\[safetensors\]"):
            call[0](*call[1:])


def test_nothing_is_imported_before_it_is_used(tmp_path):
    code = """
import sys, crnn, numpy
lazy = {"zipfile", "pickletools", "safetensors", "onnx", "crnn.weights", "crnn.onnx"}
assert not lazy & set(sys.modules), lazy & set(sys.modules)
assert {"load", "save", "from_onnx", "to_onnx"} <= set(dir(crnn))
crnn.save(sys.argv[1], {"x": numpy.zeros(2)})
assert crnn.load(sys.argv[1])["x"].shape == (2,)
assert crnn.load is vars(crnn)["load"]
heavy = {"torch", "safetensors", "onnx", "pickle5", "dill"}
assert not heavy & set(sys.modules)
from crnn import *
assert save and from_onnx
try:
    crnn.lode
except AttributeError as error:
    assert "lode" in str(error)
"""
    run_python(code, tmp_path / "a.npz")


@pytest.mark.parametrize("path", [0, None, 1.5, ["a.npz"]], ids=repr)
def test_paths_that_are_none(path):
    with pytest.raises(TypeError):
        crnn.load(path)
    with pytest.raises(TypeError):
        crnn.save(path, {})


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    crnn.save("a.npz", arrays())
    as_expected(crnn.load("a.npz"), arrays())
    as_expected(crnn.load(Path("a.npz")), arrays())


def test_the_error_can_be_pickled_and_caught(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(ValueError) as caught:
        crnn.load(tmp_path / "a.npz")
    twin = pickle.loads(pickle.dumps(caught.value))
    assert type(twin) is crnn.FormatError and str(twin) == str(caught.value)
    assert crnn.FormatError.__module__ == "crnn"


def test_loaded_weights_are_the_caller_s(path):
    crnn.save(path, network().state_dict())
    weights = crnn.load(path)
    net = crnn.RNN.from_state_dict(weights)
    for array in weights.values():
        array[...] = np.nan
    check_usable(net)
