"""crnn.load and crnn.save: named arrays in the formats that networks are kept in."""

import io
import json
import os
from collections.abc import Mapping

import numpy as np

from .archive import Archive
from .checkpoint import bfloat16_as_float32, read_checkpoint
from .files import FormatError, read_file, write_file
from .operands import as_values

# What the file of torch.save began with before torch 1.6.
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

# The types of .safetensors, little-endian.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
DTYPES |= {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
DTYPES |= {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "C64": "<c8"}


def load(path: str | os.PathLike) -> dict:
    """The arrays of a file by name: what `RNN.from_state_dict` takes.

    Reads ``.npz``, ``.safetensors`` (needs ``pip install 'crnn[safetensors]'``), the
    ``.pt``, ``.pth``, ``.bin`` or ``.ckpt`` files of torch.save (1.6 and later; without
    torch), and the weights of ``.onnx`` (needs ``pip install 'crnn[onnx]'``).  The
    content, not the suffix, tells all but the last.

    The file may come from anywhere: no code in it is ever run, and no size is believed
    before it is checked.

    float16 and bfloat16 become float32; other types stay as they are.  A checkpoint of
    torch.save comes back as torch.load would give it, with arrays for tensors: what it
    nests stays nested, as in ``load("last.pt")["model_state_dict"]``.

    Args:
        path: the file.

    Raises:
        FormatError: (a ValueError) the file is damaged, of no such format, pickles more
            than plain data, or is older than torch 1.6; it says what to do.
        OSError: the file cannot be read.
        ImportError: the format needs a library that is not installed.

    Example:
        >>> state_dict = crnn.load("model.pt")  # doctest: +SKIP
        >>> rnn = crnn.RNN.from_state_dict(state_dict, "encoder.rnn.")  # doctest: +SKIP
    """
    path = os.fsdecode(path)
    data = read_file(path)
    if data.startswith(b"PK"):
        archive = Archive(path, data)
        is_checkpoint = any(name.endswith("/data.pkl") for name in archive.sizes)
        return read_checkpoint(archive) if is_checkpoint else _read_npz(archive)
    if data[8:9] == b"{":
        return _read_safetensors(path, data)
    if path.lower().endswith(".onnx"):
        from .onnx import read_initializers

        return read_initializers(path)
    raise FormatError(path, _explain(data))


def _explain(data: bytes) -> str:
    """Why data is none of the formats."""
    if not data:
        return "the file is empty"
    if data.startswith(LEGACY):
        return (
            "written by torch before 1.6, as pickles; save it anew with torch: "
            "torch.save(torch.load(path, weights_only=True), path)"
        )
    if data.startswith(b"\x80"):
        return "a pickle, which is never loaded, for it could run any code"
    return "neither .npz, .safetensors, .onnx nor a checkpoint of torch.save"


def _read_npz(archive: Archive) -> dict:
    if not all(name.endswith(".npy") for name in archive.sizes):
        raise FormatError(archive.path, "a zip file, but of no arrays")
    return {
        name.removesuffix(".npy"): _read_npy(archive.path, name, archive.read(name))
        for name in archive.sizes
    }


def _read_npy(path: str, name: str, data: bytes) -> np.ndarray:
    """The array of one member; NumPy parses the header, nothing is unpickled."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        parse = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran_order, dtype = parse(stream)
    except Exception as error:  # whatever a parser of Python literals comes upon
        raise FormatError(path, f"{name!r} has no valid header: {error}") from error
    if dtype.kind not in "biufc":
        raise FormatError(path, f"{name!r} holds {dtype}, no numbers")
    return _array(path, name, dtype, shape, data[stream.tell() :], fortran_order)


def _array(path, name, dtype, shape, data, fortran_order=False) -> np.ndarray:
    """The array of these bytes: writable, in native byte order, no half precision."""
    count = 1
    for n in shape:
        count *= n
    if (
        len(shape) > 64
        or min(shape, default=0) < 0
        or count * dtype.itemsize != len(data)
    ):
        raise FormatError(path, f"{name!r}: {len(data)} bytes are no {dtype}{shape}")
    native = np.float32 if dtype == np.float16 else dtype.newbyteorder("=")
    array = np.frombuffer(bytearray(data), dtype).astype(native, copy=False)
    try:
        return array.reshape(shape, order="F" if fortran_order else "C")
    except ValueError as error:  # an empty array with axes beyond all sizes
        raise FormatError(path, f"{name!r} cannot have shape {shape}") from error


def _safetensors():
    try:
        import safetensors
    except ImportError as error:
        raise ImportError(
            ".safetensors needs the safetensors library: pip install crnn[safetensors]"
        ) from error
    return safetensors


def _read_safetensors(path: str, data: bytes) -> dict:
    library = _safetensors()
    try:
        entries = library.deserialize(data)
        length = int.from_bytes(data[:8], "little")
        json.loads(data[8 : 8 + length], object_pairs_hook=_check_names)
    except (library.SafetensorError, ValueError) as error:
        raise FormatError(path, f"damaged: {error}") from error
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in DTYPES:
            raise FormatError(
                path, f"{name!r} holds {entry['dtype']}, unknown to NumPy"
            )
        dtype = np.dtype(DTYPES[entry["dtype"]])
        array = _array(path, name, dtype, tuple(entry["shape"]), entry["data"])
        is_bfloat16 = entry["dtype"] == "BF16"
        arrays[name] = bfloat16_as_float32(array) if is_bfloat16 else array
    return arrays


def _check_names(pairs: list[tuple[str, object]]) -> None:
    """ValueError for what the library lets through: two of one name, or a NUL."""
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("two entries of one name")
    if any("\0" in name for name in names):
        raise ValueError("a NUL in a name")


def save(path: str | os.PathLike, state_dict: Mapping) -> None:
    """Write named arrays to a ``.npz`` or ``.safetensors`` file.

    The suffix of path tells the format.  NumPy, safetensors and, through it, torch read
    the file back; so does `load`.  A file of that name is replaced when the new one is
    complete, and stays as it was on an error.

    Args:
        path: the file, ending in .npz or .safetensors.
        state_dict: from names to arrays or torch tensors of float16, float32 or
            float64, such as ``rnn.state_dict()``.

    Raises:
        DTypeError: (a TypeError and ValueError) a value is no array of these types.
        TypeError: state_dict is no mapping, or a name is no string.
        ValueError: another suffix, or a name that the format cannot keep.
        OSError: the file cannot be written.
        ImportError: the safetensors library is not installed.
    """
    path = os.fsdecode(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in WRITERS:
        raise ValueError(f"{path}: the suffix must be .npz or .safetensors")
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"state_dict must be a mapping, not {type(state_dict).__name__}; "
            "a network's is net.state_dict()"
        )
    arrays = {}
    for name, value in state_dict.items():
        if not isinstance(name, str):
            raise TypeError(f"names must be strings, not {name!r}")
        if "\0" in name:
            raise ValueError(f"the name {name!r} holds a NUL")
        array = as_values(value, name)
        little = array.dtype.newbyteorder("<")
        arrays[name] = np.array(array, little, order="C", copy=None)
    write_file(path, WRITERS[suffix](arrays))


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    """What numpy.savez writes, which itself has no room for an array named "file"."""
    import zipfile

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")
            with archive.open(member, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return stream.getvalue()


def _safetensors_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    _safetensors()
    from safetensors import numpy

    if "__metadata__" in arrays:
        raise ValueError("safetensors keeps the name '__metadata__' for itself")
    return numpy.save(arrays)


WRITERS = {".npz": _npz, ".safetensors": _safetensors_bytes}
