"""Faults, group H: files that are damaged or none, state dicts that do not fit."""

import os
import threading

import numpy as np
import pytest
from checkpoints import refused
from faults import B, H, I, T, check_usable, draw, network, same_bits
from weight_files import ARRAYS, NAMES, is_same, write

import crnn


@pytest.mark.parametrize("name", NAMES)
def test_fault_114_every_truncation(tmp_path, name):
    path = write(tmp_path, name)
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        refused(path)


@pytest.mark.parametrize("name", NAMES)
def test_fault_114_bit_flips(tmp_path, name):
    """Zip files keep checksums: no flip in the data may pass.  Others may change."""
    path = write(tmp_path, name)
    data, expected = path.read_bytes(), crnn.load(path)
    step = 1 if os.environ.get("CRNN_TEST_EVERY_BIT") else 7
    counts = {"refused": 0, "same": 0, "changed": 0}
    for bit in range(0, len(data) * 8, step):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            loaded = crnn.load(path)
        except crnn.FormatError:
            counts["refused"] += 1
        else:
            counts["same" if is_same(loaded, expected) else "changed"] += 1
    assert counts["refused"] > len(data) // step
    if path.suffix in {".npz", ".pt"}:
        assert not counts["changed"], counts


@pytest.mark.parametrize("name", NAMES)
def test_fault_114_empty_and_other_files(tmp_path, name):
    path = write(tmp_path, name)
    path.write_bytes(b"")
    refused(path, "empty")
    for data in b"\0", b"x" * 100, b"\x89HDF\r\n\x1a\n", b"\x93NUMPY\1\0v\0{'descr': ":
        path.write_bytes(data)
        refused(path)


def test_fault_116_what_is_no_file(tmp_path):
    pytest.importorskip("onnx", reason="needs the onnx library")
    for call in crnn.load, crnn.from_onnx:
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "missing.npz")
        with pytest.raises(IsADirectoryError):
            call(tmp_path)
        for path in "a\0b.npz", tmp_path / "a\0b.npz", b"a\0b.npz":
            with pytest.raises(crnn.FormatError, match="NUL"):
                call(path)
        pipe = tmp_path / "pipe.npz"
        if not pipe.exists():
            os.mkfifo(pipe)
        refused(pipe, "no regular file")
        refused("/dev/zero", "no regular file")
    loop = tmp_path / "loop.npz"
    loop.symlink_to(loop)
    with pytest.raises(OSError):
        crnn.load(loop)


def test_fault_116_saving_to_what_is_no_file(tmp_path):
    pipe, folder = tmp_path / "pipe.npz", tmp_path / "folder.npz"
    os.mkfifo(pipe)
    folder.mkdir()
    with pytest.raises(crnn.FormatError, match="no regular file"):
        crnn.save(pipe, ARRAYS)
    with pytest.raises(IsADirectoryError):
        crnn.save(folder, ARRAYS)
    with pytest.raises(FileNotFoundError):
        crnn.save(tmp_path / "missing" / "a.npz", ARRAYS)
    with pytest.raises(crnn.FormatError, match="NUL"):
        crnn.save(tmp_path / "a\0b.npz", ARRAYS)
    device = tmp_path / "device.npz"
    device.symlink_to("/dev/null")
    with pytest.raises(crnn.FormatError, match="no regular file"):
        crnn.save(device, ARRAYS)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "device.npz",
        "folder.npz",
        "pipe.npz",
    ]


@pytest.mark.parametrize("name", NAMES[:3])
def test_fault_116_a_file_that_changes(tmp_path, name):
    """Cut and grown while it is loaded again and again: refused, or right."""
    path = write(tmp_path, name)
    data = path.read_bytes()
    done = threading.Event()

    def change():
        while not done.is_set():
            for length in range(0, len(data), 37):
                os.truncate(path, length)
            path.write_bytes(data)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(200):
            try:
                loaded = crnn.load(path)
            except crnn.FormatError:
                continue
            assert loaded.keys() == ARRAYS.keys()
    finally:
        done.set()
        thread.join()


def test_fault_116_loaded_arrays_outlive_the_file(tmp_path):
    """Nothing is mapped: a file that shrinks after the load kills nobody."""
    path = tmp_path / "a.npz"
    arrays = {"w": np.arange(10**6, dtype="f4")}
    crnn.save(path, arrays)
    loaded = crnn.load(path)
    os.truncate(path, 0)
    assert same_bits(loaded["w"], arrays["w"])


def test_fault_117_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, w=np.array([{}, None], dtype=object))
    refused(path, "no numbers")
    for data in b"\x80\x04}.", b"\x80\x02cos\nsystem\n.":
        path.write_bytes(data)
        refused(path, "pickle")


def state():
    return {
        name: array.copy() for name, array in network(num_layers=2).state_dict().items()
    }


@pytest.mark.parametrize("prefix", ["", "encoder.rnn."])
def test_fault_118_all_that_does_not_fit_is_listed(prefix):
    bad = state()
    del bad["weight_hh_l1"], bad["bias_hh_l0"]
    bad["bias_ih_l1"] = bad["bias_ih_l1"][:-1]
    bad["extra"] = bad["weight_ih_l0"]
    bad["weight_ih_l1"] = np.zeros((H, H), int)
    bad = {prefix + name: array for name, array in bad.items()}
    for call in crnn.RNN.from_state_dict, network(num_layers=2).load_state_dict:
        with pytest.raises(crnn.ShapeError) as caught:
            call(bad, prefix=prefix)
        message = str(caught.value)
        for name in "weight_hh_l1", "bias_hh_l0", "extra", "bias_ih_l1", "weight_ih_l1":
            assert prefix + name in message
        assert "Missing" in message and "Unexpected" in message and "int64" in message


@pytest.mark.parametrize(
    "value", [np.zeros((H, I), "i4"), np.zeros((H, I), "O"), [[0.0] * I] * H, None, "x"]
)
def test_fault_118_values_that_are_no_floats(value):
    for name in "weight_ih_l0", "weight_ih_l1":
        with pytest.raises((crnn.ShapeError, crnn.DTypeError), match=name):
            crnn.RNN.from_state_dict(state() | {name: value})


def test_fault_118_floats_convert_as_torch_does():
    values = state()
    for dtype, own in ("f2", "f4"), ("f4", "f4"), (">f4", "f4"), ("f8", "f8"):
        given = {name: array.astype(dtype) for name, array in values.items()}
        net = crnn.RNN.from_state_dict(given)
        for name, array in net.named_parameters():
            assert array.dtype == own
            assert np.array_equal(array, given[name])
        check_usable(net)
    given["bias_ih_l0"] = given["bias_ih_l0"].astype("f4")
    with pytest.raises(crnn.DTypeError, match="mixed"):
        crnn.RNN.from_state_dict(given)


def test_fault_118_sizes_are_not_believed():
    """Names and shapes that would make a huge network are found out first."""
    tall = {"weight_ih_l0": np.zeros((10**6, 1), "f4")}
    with pytest.raises(crnn.ShapeError, match="weight_hh_l0"):
        crnn.RNN.from_state_dict(tall)
    wide = {"weight_ih_l0": np.broadcast_to(np.float32(0), (10**9, 10**9))}
    with pytest.raises(crnn.ShapeError, match="weight_hh_l0"):
        crnn.RNN.from_state_dict(wide)
    for name in "weight_ih_l999999999", "bias_hh_l" + "9" * 5000, "weight_ih_l-1":
        with pytest.raises(crnn.ShapeError, match="Unexpected"):
            crnn.RNN.from_state_dict(state() | {name: np.zeros(1, "f4")})
    crnn.RNN.from_state_dict(state())(draw(T, B, I))
