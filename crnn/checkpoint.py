"""Checkpoints of torch.save, read without torch and without running what they say.

A checkpoint is a zip file: ``NAME/data.pkl`` pickles the structure, ``NAME/data/KEY``
holds the elements of one storage.
"""

from typing import Any

import numpy as np

from .archive import Archive
from .files import FormatError
from .pickled import Inert, Machine, Refused

ADVICE = (
    "if a whole module was pickled, save its state instead: "
    "torch.save(model.state_dict(), path)"
)

# One byte can make an object of some 70 bytes.  The pickle of a quarter of a million
# tensors is shorter.
MAX_PICKLE = 1 << 25

# As many as NumPy can have.
MAX_AXES = 64

# Elements of each class of storage; bfloat16 is the upper half of a float32.
STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "ComplexFloatStorage": "c8",
    "ComplexDoubleStorage": "c16",
}

SCALARS = {"f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "b1"}

DTYPES = {"float64", "float32", "float16", "bfloat16", "int64", "int32", "int16"}
DTYPES |= {"int8", "uint8", "bool", "complex64", "complex128"}


def read_checkpoint(archive: Archive) -> dict:
    """What was saved, with NumPy arrays for tensors.

    Tensors that shared a storage share their memory; half-precision becomes float32.

    Raises:
        FormatError: it is damaged, holds more than plain data, or is no dict.
    """
    pickles = [name for name in archive.sizes if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise FormatError(archive.path, f"has {len(pickles)} pickles, not one")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in archive.sizes:
        raise FormatError(
            archive.path,
            "a TorchScript program; save its weights with "
            "torch.save(torch.jit.load(path).state_dict(), new_path)",
        )
    if archive.sizes[pickles[0]] > MAX_PICKLE:
        raise FormatError(archive.path, "its data.pkl is absurdly large")
    machine = Machine(NAMES, _Storages(archive, folder).load)
    try:
        result = machine.run(archive.read(pickles[0]))
    except FormatError:
        raise
    except Refused as error:
        raise FormatError(archive.path, f"{error}; {ADVICE}") from None
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise FormatError(archive.path, f"its data.pkl is damaged: {error}") from error
    if not isinstance(result, dict):
        kind = "a tensor" if isinstance(result, np.ndarray) else type(result).__name__
        raise FormatError(archive.path, f"holds {kind}, not a dict; {ADVICE}")
    return result


class _Storages:
    """The storages of a checkpoint, each read once."""

    def __init__(self, archive: Archive, folder: str):
        self.archive = archive
        self.folder = folder
        self.arrays: dict[tuple[str, str], np.ndarray] = {}
        order = f"{folder}byteorder"
        big = order in archive.sizes and archive.read(order) == b"big"
        self.order = ">" if big else "<"

    def load(self, identity: tuple) -> np.ndarray:
        """The flat array that ('storage', kind, key, device, elements) stands for."""
        _, kind, key, _, elements = identity
        if not isinstance(kind, Inert) or not isinstance(key, str):
            raise ValueError("a tensor without storage")
        if (key, kind) not in self.arrays:
            name = f"{self.folder}data/{key}"
            dtype = np.dtype("u2" if kind == "bfloat16" else str(kind))
            if self.archive.sizes.get(name) != elements * dtype.itemsize:
                raise ValueError(f"storage {key!r} does not have {elements} elements")
            raw = bytearray(self.archive.read(name))
            array = np.frombuffer(raw, dtype.newbyteorder(self.order))
            self.arrays[key, kind] = _widened(array, kind)
        return self.arrays[key, kind]


def _widened(array: np.ndarray, kind: str) -> np.ndarray:
    """Native byte order, and float32 for half precision: as the values are."""
    if kind == "bfloat16":
        return bfloat16_as_float32(array)
    if kind == "f2":
        return array.astype(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def bfloat16_as_float32(bits: np.ndarray) -> np.ndarray:
    """The float32 values of bfloat16 numbers, given as 16-bit unsigned integers."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _tensor(storage, offset, size, stride, *_) -> np.ndarray:
    """A view of the storage, checked with exact integers to lie inside it."""
    if not isinstance(storage, np.ndarray) or len(size) != len(stride):
        raise ValueError("a tensor without storage")
    if len(size) > MAX_AXES:
        raise ValueError(f"a tensor of {len(size)} dimensions")
    if min(offset, *size, *stride, 0) < 0:
        raise ValueError(f"a tensor of size {size}, stride {stride}")
    if 0 in size:
        return np.zeros(size, storage.dtype)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if last >= storage.size:
        raise ValueError(f"a tensor of size {size} exceeds its storage")
    steps = [s * storage.itemsize * (n > 1) for n, s in zip(size, stride, strict=True)]
    return np.ndarray(size, storage.dtype, storage, offset * storage.itemsize, steps)


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 writes bytes."""
    if encoding != "latin1":
        raise ValueError(f"bytes encoded as {encoding}")
    return text.encode("latin1")


def _counter(counts: dict) -> dict:
    if not isinstance(counts, dict):
        raise ValueError("a Counter of no dict")
    return counts


def _scalar_type(name: str, *_) -> Inert:
    """The dtype of a NumPy scalar, such as a metric that a checkpoint notes."""
    if name not in SCALARS:
        raise ValueError(f"a NumPy scalar of type {name}")
    return Inert(name)


def _scalar(kind: Inert, raw: bytes) -> np.generic:
    if not isinstance(kind, Inert) or kind not in SCALARS:
        raise ValueError("a NumPy scalar of no plain type")
    (value,) = np.frombuffer(raw, str(kind))
    return value


# The names that a pickle may use, and what stands for them.  Functions are called with
# what the pickle gives, so each must be harmless whatever that is.
NAMES: dict[str, Any] = {
    "collections OrderedDict": lambda: {},
    "collections Counter": _counter,
    "_codecs encode": _encode,
    "numpy dtype": _scalar_type,
    "numpy.core.multiarray scalar": _scalar,
    "numpy._core.multiarray scalar": _scalar,
    "torch Size": lambda sizes: tuple(sizes),
    "torch device": lambda kind, *index: ":".join([kind, *map("{:d}".format, index)]),
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda data, *_: data,
    "torch._utils _rebuild_parameter_with_state": lambda data, *_: data,
    **{f"torch {name}": Inert(dtype) for name, dtype in STORAGES.items()},
    **{f"torch {name}": f"torch.{name}" for name in DTYPES},
}
