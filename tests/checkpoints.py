"""Checkpoints as torch.save writes them, also hostile ones, made without torch."""

import struct
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

import crnn


@dataclass
class Raw:
    """Opcodes put into the pickle as they are."""

    opcodes: bytes


@dataclass
class Tensor:
    """How a pickle describes a tensor; anything in it may be a lie."""

    size: object
    stride: object
    key: object = "0"
    kind: str = "torch FloatStorage"
    elements: object = None
    offset: object = 0
    function: str = "torch._utils _rebuild_tensor_v2"


def find(name):
    """The opcode that finds "module name"."""
    return Raw(b"c" + name.replace(" ", "\n").encode() + b"\n")


def call(name, *arguments):
    """The opcodes that call "module name"."""
    return Raw(encode(find(name)) + encode(tuple(arguments)) + b"R")


def encode(value):
    """The opcodes, of protocol 2, that make a value."""
    match value:
        case Raw():
            return value.opcodes
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            if -(2**31) <= value < 2**31:
                return b"J" + struct.pack("<i", value)
            count = value.bit_length() // 8 + 1
            return (
                b"\x8a" + bytes([count]) + value.to_bytes(count, "little", signed=True)
            )
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return b"X" + struct.pack("<I", len(text)) + text
        case tuple():
            return b"(" + b"".join(map(encode, value)) + b"t"
        case list():
            return b"](" + b"".join(map(encode, value)) + b"e"
        case dict():
            items = (encode(key) + encode(item) for key, item in value.items())
            return b"}(" + b"".join(items) + b"u"
        case Tensor():
            return encode_tensor(value)
    raise TypeError(value)


def encode_tensor(tensor):
    elements = tensor.elements
    if elements is None:
        elements = int(np.prod(tensor.size))
    identity = ("storage", find(tensor.kind), tensor.key, "cpu", elements)
    hooks = call("collections OrderedDict")
    storage = Raw(encode(identity) + b"Q")
    arguments = (storage, tensor.offset, tensor.size, tensor.stride, False, hooks)
    return encode(call(tensor.function, *arguments))


def write(path, value, storages=(), members=(), compression=zipfile.ZIP_STORED):
    """A checkpoint of a value, of storages as {key: bytes}, and of further members."""
    pickled = b"\x80\x02" + encode(value) + b"."
    entries = {"data.pkl": pickled, "byteorder": b"little", **dict(members)}
    entries |= {f"data/{key}": raw for key, raw in dict(storages).items()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, raw in {**entries, "version": b"3\n"}.items():
            if raw is not None:
                archive.writestr(f"archive/{name}", raw)
    return path


def contiguous(shape):
    """The strides, in elements, of a C-contiguous array."""
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


def write_arrays(path, arrays):
    """A checkpoint of a state dict."""
    tensors, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        tensors[name] = Tensor(array.shape, contiguous(array.shape), str(key))
        storages[str(key)] = array.astype("<f4").tobytes()
    return write(path, tensors, storages)


def refused(path, text=""):
    """crnn.load refuses the file, names it and says text; returns the message."""
    with pytest.raises(crnn.FormatError) as caught:
        crnn.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert text in str(caught.value), caught.value
    return str(caught.value)
