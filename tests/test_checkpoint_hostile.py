"""crnn.load on checkpoints that torch never wrote: no code runs, nothing overflows."""

import collections
import io
import pickle
import struct
import zipfile

import checkpoints
import numpy as np
import pytest
from checkpoints import Raw, Tensor, call, find, refused

import crnn


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


MARKER = "crnn_test_was_here"
DANGEROUS = {
    "os.system": call("os system", f"touch {MARKER}"),
    "posix.system": call("posix system", f"touch {MARKER}"),
    "eval": call("builtins eval", f"open({MARKER!r}, 'w')"),
    "exec": call("__builtin__ exec", f"open({MARKER!r}, 'w')"),
    "open": call("io open", MARKER, "w"),
    "getattr": call("builtins getattr", {}, "clear"),
    "torch.load": call("torch load", "x"),
    "dotted": Raw(b"\x8c\x0bcollections\x8c\x0fOrderedDict.pop\x93)R"),
    "numpy": call("numpy fromfile", "x"),
    "INST": Raw(b"(ios\nsystem\n"),
    "OBJ": Raw(b"(cos\nsystem\nX\x01\0\0\0xo"),
    "NEWOBJ": Raw(b"ccollections\nOrderedDict\n)\x81"),
    "NEWOBJ_EX": Raw(b"ccollections\nOrderedDict\n)}\x92"),
    "EXT1": Raw(b"\x82\x01"),
    "PERSID": Raw(b"P0\n"),
    "NEXT_BUFFER": Raw(b"\x97"),
    "BYTEARRAY8": Raw(b"\x96" + struct.pack("<Q", 2**62) + b"x"),
    "scalar of objects": call(
        "numpy._core.multiarray scalar", call("numpy dtype", "O8")
    ),
    "scalar of text": call("numpy._core.multiarray scalar", "f8", Raw(b"C\x081234567")),
    "scalar too short": call(
        "numpy._core.multiarray scalar",
        call("numpy dtype", "f8", False, True),
        Raw(b"C\x011"),
    ),
    "big-endian scalar type": Raw(
        call("numpy dtype", "f8", False, True).opcodes
        + checkpoints.encode((3, ">", None))
        + b"b"
    ),
    "storage as scalar type": call(
        "numpy._core.multiarray scalar",
        find("torch BFloat16Storage"),
        Raw(b"C\x0212"),
    ),
    "call of a string": Raw(checkpoints.encode("x") + b")R"),
    "call with a list": Raw(find("collections OrderedDict").opcodes + b"]R"),
    "call of a storage": call("torch FloatStorage", 10**12),
}


@pytest.mark.parametrize("name", DANGEROUS)
def test_code_is_never_run(path, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    checkpoints.write(path, {"w": DANGEROUS[name]})
    refused(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_pickles_of_objects_that_run_code(path, tmp_path):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / MARKER)!r}, 'w')",))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        raw = pickle.dumps({"w": Evil()}, protocol)
        checkpoints.write(path, {}, members={"data.pkl": raw})
        refused(path)
    assert not (tmp_path / MARKER).exists()


def nested(opcode, depth=200_000):
    return Raw(b")" + opcode * depth)


DAMAGED = {
    "no pickle": b"hello",
    "no end": b"\x80\x02}",
    "empty": b"",
    "nothing on the stack": b"\x80\x02.",
    "two on the stack": b"\x80\x02}}.",
    "bytes after the end": b"\x80\x02}.}",
    "no mark": b"\x80\x02}u.",
    "tuple of nothing": b"\x80\x02\x87.",
    "memo of nothing": b"\x80\x02h\x05.",
    "put of nothing": b"\x80\x02q\x05.",
    "huge memo index": b"\x80\x02}r\xff\xff\xff\xff.",  # fine, and costs nothing
    "long string": b"\x80\x02X\xff\xff\xff\x7fx.",
    "longer string": b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"x.",
    "longest bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**64 - 1) + b"x.",
    "bad text": b"\x80\x02X\x01\0\0\0\xff.",
    "huge number": b"\x80\x02\x8b\xff\xff\xff\x7f1.",
    "items for a list": b"\x80\x02](K\x01K\x02u.",
    "items for a dict": b"\x80\x02}K\x01a.",
    "odd items": b"\x80\x02}(K\x01u.",
    "attributes for a list": b"\x80\x02]}b.",
    "twice the same key": b"\x80\x02}(K\x01K\x01K\x01K\x01u.",
    "NUL in a key": b"\x80\x02}X\x03\0\0\0a\0bK\x01s.",
    "list as key": b"\x80\x02}]K\x01s.",
    "frames": b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"}.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pickles(path, name):
    checkpoints.write(path, {}, members={"data.pkl": DAMAGED[name]})
    if name in {"huge memo index", "frames"}:
        assert crnn.load(path) == {}
    else:
        refused(path, "data.pkl" if name != "empty" else "")


@pytest.mark.parametrize(
    "key", [nested(b"\x85"), 1.5, None, Raw(b")"), Raw(b"C\x01x"), Raw(b"]")]
)
def test_keys_that_are_no_names(path, key):
    """The hash of a deep tuple would overflow the stack of C."""
    raw = b"\x80\x04}" + checkpoints.encode(key) + b"K\x01s."
    checkpoints.write(path, {}, members={"data.pkl": raw})
    refused(path, "key")


def test_deep_nesting_is_no_harm(path):
    for opcode, opening in (b"\x85", b")"), (b"a", b"]" * 200_001):
        raw = b"\x80\x02}X\x01\0\0\0w" + opening + opcode * 200_000 + b"s."
        checkpoints.write(path, {}, members={"data.pkl": raw})
        value = crnn.load(path)["w"]
        for _ in range(200_000):
            (value,) = value
        assert not value
    checkpoints.write(path, {"w": call("torch device", nested(b"\x85"))})
    refused(path, "damaged")


LIES = {
    "size beyond the storage": Tensor((2, 4), (4, 1), elements=6),
    "offset beyond the storage": Tensor((2, 3), (3, 1), offset=1),
    "offset huge": Tensor((1,), (1,), elements=6, offset=2**62),
    "negative offset": Tensor((2, 3), (3, 1), offset=-1),
    "negative size": Tensor((-2, -3), (3, 1), elements=6),
    "negative stride": Tensor((2, 3), (-3, 1)),
    "stride beyond the storage": Tensor((2, 3), (4, 1)),
    "stride overflows": Tensor((3,), (2**63,), elements=6),
    "size overflows": Tensor((2**62, 2**62), (0, 0), elements=6),
    "empty size overflows": Tensor((0, 2**62, 2**62), (0, 0, 0), elements=6),
    "size beyond 64 bits": Tensor((2**70,), (0,), elements=6),
    "too many axes": Tensor((1,) * 100, (1,) * 100, elements=6),
    "sizes and strides differ": Tensor((2, 3), (1,)),
    "no sizes": Tensor(None, None, elements=6),
    "sizes of text": Tensor("ab", "cd", elements=6),
    "sizes of lists": Tensor(([],), ([],), elements=6),
    "fractional size": Tensor((2.5,), (1,), elements=6),
    "more elements": Tensor((2, 3), (3, 1), elements=7),
    "fewer elements": Tensor((5,), (1,), elements=5),
    "absurd elements": Tensor((2,), (1,), elements=2**63),
    "negative elements": Tensor((2,), (1,), elements=-6),
    "elements of text": Tensor((2,), (1,), elements="6"),
    "wider kind": Tensor((2, 3), (3, 1), kind="torch DoubleStorage"),
    "no such storage": Tensor((2, 3), (3, 1), key="1"),
    "path as key": Tensor((2, 3), (3, 1), key="../data/0"),
    "number as key": Tensor((2, 3), (3, 1), key=0),
    "list as key": Tensor((2, 3), (3, 1), key=[]),
    "unknown kind": Tensor((2, 3), (3, 1), kind="torch Float8Storage"),
    "no kind": Tensor((2, 3), (3, 1), kind="collections OrderedDict"),
    "kind that is a string": Tensor((2, 3), (3, 1), kind="torch float32"),
    "unknown function": Tensor((2,), (1,), function="torch._utils _rebuild_tensor_v9"),
}


@pytest.mark.parametrize("name", LIES)
def test_tensors_that_lie(path, name):
    checkpoints.write(path, {"w": LIES[name]}, {"0": bytes(24)})
    refused(path)


def test_storages_that_are_none(path):
    for value in 5, "x", [], Raw(b")"), ("storage",), ("storage", 1, 2, 3, 4):
        for use in Raw(checkpoints.encode(value) + b"Q"), value:
            tensor = call("torch._utils _rebuild_tensor", use, 0, (1,), (1,))
            checkpoints.write(path, {"w": tensor}, {"0": bytes(24)})
            refused(path)


def test_a_tensor_of_a_tensor(path):
    """What stands for a tensor is an array too, which may be no flat storage."""
    inner = Tensor((1000, 1000), (0, 0), elements=6)
    for size in (2, 3), (1000, 1000):
        tensor = call("torch._utils _rebuild_tensor", inner, 5, size, (size[1], 1))
        checkpoints.write(path, {"w": tensor}, {"0": bytes(24)})
        refused(path)


def test_members_that_are_missing_or_too_many(path):
    state = {"w": Tensor((2, 3), (3, 1))}
    checkpoints.write(path, state, {"0": bytes(24)})
    crnn.load(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name in "archive/data/0", "archive/data.pkl":
        with zipfile.ZipFile(path, "w") as archive:
            for other in members.keys() - {name}:
                archive.writestr(other, members[other])
        refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        for prefix in "a/", "b/":
            for name, raw in members.items():
                archive.writestr(prefix + name, raw)
    refused(path, "2 pickles")


def test_a_pickle_of_absurd_length(path):
    raw = b"\x80\x02" + b"]0" * (1 << 24) + b"}."
    checkpoints.write(path, {}, members={"data.pkl": raw})
    refused(path, "large")


def test_random_pickles_never_do_harm(path):
    """Opcodes in random order: refused, or a dict."""
    rng = np.random.default_rng(0)
    opcodes = [b"}", b"]", b")", b"(", b"K\x01", b"N", b"t", b"u", b"s", b"e", b"a"]
    opcodes += [b"\x85", b"\x86", b"\x87", b"R", b"b", b"Q", b"q\x00", b"h\x00"]
    opcodes += [checkpoints.encode(text) for text in ("storage", "0", "cpu", "torch")]
    names = "torch Size", "torch device", "torch FloatStorage", "collections Counter"
    names += "collections OrderedDict", "torch._utils _rebuild_tensor", "_codecs encode"
    opcodes += [find(name).opcodes for name in names]
    counts = collections.Counter()
    for _ in range(3000):
        program = b"".join(rng.choice(np.array(opcodes, object), rng.integers(1, 12)))
        buffer = io.BytesIO()
        members = {"data.pkl": b"\x80\x02" + program + b"."}
        checkpoints.write(buffer, {}, {"0": bytes(24)}, members)
        path.write_bytes(buffer.getvalue())
        try:
            result = crnn.load(path)
        except crnn.FormatError:
            counts["refused"] += 1
        else:
            assert type(result) is dict
            counts["loaded"] += 1
    assert counts["refused"] and counts["loaded"]
