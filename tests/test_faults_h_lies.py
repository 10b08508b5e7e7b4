"""Faults, group H: weight files whose headers lie (row 115)."""

import json
import struct
import zipfile

import checkpoints
import numpy as np
import pytest
from checkpoints import refused
from faults import FREE_THREADED, run_python, same_bits
from weight_files import NAMES, is_same, write

import crnn


@pytest.mark.parametrize("name", NAMES[:3])
def test_fault_115_bytes_before_and_after(tmp_path, name):
    path = write(tmp_path, name)
    data = path.read_bytes()
    for more in data + b"\0", data + data, b"\0" + data, data + b"PK\5\6" + bytes(18):
        path.write_bytes(more)
        refused(path)


def npy(shape="(2,)", descr="'<f4'", order="False", data=bytes(8), magic=b"\1\0"):
    """A .npy file whose header says this."""
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"
    length = struct.pack("<H" if magic == b"\1\0" else "<I", len(header))
    return b"\x93NUMPY" + magic + length + header.encode("latin1") + data


BAD_MEMBERS = {
    "no magic": b"hello, world",
    "empty": b"",
    "no header": b"\x93NUMPY\1\0\xff\xff",
    "huge header": b"\x93NUMPY\2\0\xff\xff\xff\x7f",
    "unknown version": npy(magic=b"\7\0"),
    "no dict": npy().replace(b"{", b"["),
    "too short": npy(data=bytes(7)),
    "too long": npy(data=bytes(9)),
    "absurd shape": npy("(1000000000000,)"),
    "overflowing shape": npy("(4294967296, 4294967296)", data=b""),
    "overflowing to the size": npy("(2, 9223372036854775809)"),
    "empty but overflowing": npy("(0, 9223372036854775807, 9)", data=b""),
    "negative shape": npy("(-2,)"),
    "twice negative": npy("(-1, -2)"),
    "shape of text": npy("('2',)"),
    "shape no tuple": npy("2"),
    "hundred axes": npy(str((1,) * 100), data=bytes(4)),
    "objects": npy(descr="'|O'", data=b"cos\nsystem\n"),
    "text": npy(descr="'<U2'"),
    "dates": npy(descr="'<M8[s]'"),
    "records": npy(descr="[('a', '<f4')]"),
    "raw": npy(descr="'|V4'"),
    "unknown dtype": npy(descr="'<q9'"),
    "dtype is code": npy(descr="__import__('os').system('true')"),
    "order is a number": npy(order="2"),
    "nested": npy("(" * 3000),
    "minus": npy("-" * 9000 + "1"),
    "header over NumPy's limit": npy(str((1,) * 9000), data=bytes(4)),
}


def write_zip(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_fault_115_npz_members_that_lie(tmp_path, name):
    path = tmp_path / "a.npz"
    write_zip(path, [("w.npy", npy()), ("bad.npy", BAD_MEMBERS[name])])
    refused(path, "bad.npy")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names",
    [["w.npy", "w.npy"], ["w.npy", "readme.txt"], ["w.npy", "a\0b.npy"], ["folder/"]],
    ids=repr,
)
def test_fault_115_npz_names(tmp_path, names):
    path = tmp_path / "a.npz"
    write_zip(path, [(name.replace("\0", "?"), npy()) for name in names])
    if "\0" in "".join(names):
        path.write_bytes(path.read_bytes().replace(b"a?b", b"a\0b"))
    refused(path)


def test_fault_115_zip_bombs(tmp_path):
    path = tmp_path / "a.npz"
    data = npy("(50000000,)", data=bytes(200_000_000))
    write_zip(path, [("w.npy", data)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 300_000
    refused(path, "swell")
    # A directory that claims less than the stream would give.
    raw = path.read_bytes().replace(struct.pack("<I", len(data)), struct.pack("<I", 88))
    path.write_bytes(raw)
    code = "import crnn, sys\ntry: crnn.load(sys.argv[1])\n"
    code += "except crnn.FormatError: print('refused')"
    # Without a GIL, Python reserves a GiB of addresses at its start.
    memory = 2 << 30 if FREE_THREADED else 1 << 30
    assert run_python(code, path, memory=memory).stdout == "refused\n"


def test_fault_115_members_that_overlap(tmp_path):
    """Many entries of the directory that lead to the same compressed bytes."""
    path = tmp_path / "a.npz"
    write_zip(path, [("0.npy", npy(data=bytes(8)))], zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    copies = [data[start:end].replace(b"0.npy", b"%d.npy" % i) for i in range(10)]
    total = b"".join(copies)
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 10, 10, len(total), start, 0)
    path.write_bytes(data[:start] + total + tail)
    refused(path)


def test_fault_115_encrypted_and_exotic_zips(tmp_path):
    path = tmp_path / "a.npz"
    for compression in zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA:
        write_zip(path, [("w.npy", npy())], compression)
        refused(path, "compressed")
    write_zip(path, [("w.npy", npy())])
    raw = path.read_bytes()
    start = raw.index(b"PK\1\2")
    path.write_bytes(raw[: start + 8] + b"\1" + raw[start + 9 :])
    refused(path, "encrypted")


def safetensors(header, data=bytes(8), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


BAD_HEADERS = {
    "longer than the file": safetensors({"w": entry()}, length=10**6),
    "longer than any file": safetensors({"w": entry()}, length=2**63),
    "negative": safetensors({"w": entry()}, length=2**64 - 1),
    "zero": safetensors({"w": entry()}, length=0),
    "cut": safetensors({"w": entry()}, length=9),
    "no JSON": safetensors(b"{hello}"),
    "no text": safetensors(b'{"\xff": 1}'),
    "a list": safetensors([]),
    "deep nesting": safetensors(b'{"w":' * 10**5 + b"}" * 10**5),
    "offsets past the end": safetensors({"w": entry(offsets=(8, 16))}),
    "offsets that end past the end": safetensors(
        {"w": entry(shape=(4,), offsets=(0, 16))}
    ),
    "offsets the wrong way": safetensors({"w": entry(offsets=(8, 0))}),
    "negative offsets": safetensors({"w": entry(offsets=(-8, 0))}),
    "offsets that overlap": safetensors({"v": entry(), "w": entry()}),
    "a gap": safetensors({"w": entry(offsets=(8, 16))}, bytes(16)),
    "bytes after the end": safetensors({"w": entry()}, bytes(9)),
    "a short shape": safetensors({"w": entry(shape=(1,))}),
    "an overflowing shape": safetensors({"w": entry(shape=(2**32, 2**32, 2))}),
    "a negative shape": safetensors({"w": entry(shape=(-2,))}),
    "a shape of text": safetensors({"w": entry(shape="2")}),
    "an unknown dtype": safetensors({"w": entry("F31")}),
    "a dtype that NumPy lacks": safetensors({"w": entry("F8_E4M3", (8,))}),
    "no dtype": safetensors({"w": {"shape": [2], "data_offsets": [0, 8]}}),
    "a number": safetensors({"w": 1}),
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_fault_115_safetensors_headers_that_lie(tmp_path, name):
    pytest.importorskip("safetensors", reason="needs the safetensors library")
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"w": entry()}))
    assert crnn.load(path)["w"].shape == (2,)
    path.write_bytes(BAD_HEADERS[name])
    refused(path)


def test_fault_115_safetensors_names(tmp_path):
    pytest.importorskip("safetensors", reason="needs the safetensors library")
    path = tmp_path / "a.safetensors"
    both = json.dumps(entry()).encode()
    path.write_bytes(safetensors(b'{"w":' + both + b',"w":' + both + b"}"))
    refused(path)
    path.write_bytes(safetensors({"a\0b": entry()}))
    refused(path, "NUL")


@pytest.mark.parametrize("name", NAMES[:3])
def test_fault_115_values_that_are_no_numbers(tmp_path, name):
    path = write(tmp_path, name)
    special = {"w": np.array([np.nan, -np.inf, np.inf, -0.0], "f4")}
    if name.endswith(".pt"):
        checkpoints.write_arrays(path, special)
    else:
        crnn.save(path, special)
    assert same_bits(crnn.load(path)["w"], special["w"])


@pytest.mark.parametrize("name", NAMES[:2])
def test_fault_115_a_hundred_thousand_entries(tmp_path, name):
    path = write(tmp_path, name)
    count = 100_000 if name.endswith(".safetensors") else 20_000
    arrays = {f"layer.{i}.weight": np.full(1, i, "f4") for i in range(count)}
    crnn.save(path, arrays)
    assert is_same(crnn.load(path), arrays)
