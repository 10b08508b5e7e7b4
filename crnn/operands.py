"""What callers hand over, checked and as plain arrays; arrays as what they handed over.

torch is never imported here: a tensor can only come from a program that has.
"""

import sys
import warnings

import numpy as np

from ._core import DTypeError, ShapeError

DTYPES = {"float32": np.dtype("float32"), "float64": np.dtype("float64")}


def parse_dtype(dtype) -> np.dtype:
    """float32 or float64 from a NumPy dtype, a name, ``float`` or a torch dtype.

    Raises:
        DTypeError: it is any other dtype, or none.
    """
    if dtype is None:
        return DTYPES["float32"]
    name = str(dtype).removeprefix("torch.") if is_torch(dtype, "dtype") else dtype
    try:
        found = np.dtype(name)
    except TypeError:
        raise DTypeError(f"crnn computes in float32 and float64, not {dtype}") from None
    if found.kind in "biu":
        raise DTypeError(
            "Only Tensors of floating point and complex dtype can require gradients"
        )
    if found.name not in DTYPES:
        raise DTypeError(f"crnn computes in float32 and float64, not {dtype}")
    return DTYPES[found.name]


def check_device(device) -> None:
    """RuntimeError unless the device is the CPU."""
    if device is not None and str(device).partition(":")[0] != "cpu":
        raise RuntimeError(f"crnn runs on the CPU: device must be 'cpu', not {device}")


def is_torch(value, kind: str) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, kind, ()))


def refuse_masked(array: np.ndarray, name: str) -> None:
    """TypeError for a masked array."""
    masked = sys.modules.get("numpy.ma")
    if masked is not None and isinstance(array, masked.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; pass "
            ".filled(...) of it, or use lengths for padding"
        )


class Operand:
    """An array-like argument: its shape and dtype, and a plain array on demand.

    Accepts numpy.ndarray (masked arrays apart), torch tensors, and whatever exports its
    memory by DLPack or the buffer protocol.

    Raises:
        TypeError: value is none of these.
    """

    def __init__(self, value, name: str):
        self.is_tensor = is_torch(value, "Tensor")
        if not self.is_tensor:
            value = _exported(value, name)
        self.value = value
        self.name = name
        self.ndim = value.ndim
        self.shape = tuple(value.shape)
        self.word = "tensor" if self.is_tensor else "array"
        self.cast = "to" if self.is_tensor else "astype"

    def dtype_is(self, dtype: np.dtype) -> bool:
        if self.is_tensor:
            return str(self.value.dtype) == f"torch.{dtype.name}"
        return self.value.dtype.type is dtype.type

    def dtype_name(self, dtype=None) -> str:
        """This or the given dtype, in the words of where the operand comes from."""
        dtype = self.value.dtype if dtype is None else dtype
        if self.is_tensor:
            return f"torch.{str(dtype).removeprefix('torch.')}"
        return str(dtype)

    def needs_gradient(self) -> bool:
        return (
            self.is_tensor
            and self.value.requires_grad
            and sys.modules["torch"].is_grad_enabled()
        )

    def array(self, dtype: np.dtype) -> np.ndarray:
        """A plain array: native, aligned, exactly numpy.ndarray; copied if need be."""
        array = self.value
        if self.is_tensor:
            if array.device.type != "cpu":
                raise RuntimeError(
                    "Input and hidden tensors are not at the same device, found "
                    f"{self.name} tensor at {array.device} and parameter tensor at cpu"
                )
            array = array.detach().resolve_conj().resolve_neg().numpy()
        return np.require(array, dtype, "A")

    def like(self, array: np.ndarray):
        """The array as what this operand is: a tensor that shares its memory, or it."""
        return sys.modules["torch"].from_numpy(array) if self.is_tensor else array


def _exported(value, name: str) -> np.ndarray:
    if isinstance(value, np.ndarray):
        refuse_masked(value, name)
        return np.asarray(value)
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return np.from_dlpack(value)
    try:
        view = memoryview(value)
    except TypeError:
        view = None
    if view is None or view.format not in {"f", "d", "<f", "<d", ">f", ">d"}:
        raise TypeError(
            f"{name} must be a numpy.ndarray or a torch.Tensor, not "
            f"{type(value).__name__}; convert it with numpy.asarray(..., numpy.float32)"
        )
    return np.asarray(view)


def as_values(value, name: str) -> np.ndarray:
    """An array that can be copied into a parameter; DTypeError if it is no floats."""
    if is_torch(value, "Tensor"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            value = value.float()
        value = value.numpy()
    if not isinstance(value, np.ndarray):
        raise DTypeError(
            f"{name} must be a numpy.ndarray or torch.Tensor, not {type(value)}"
        )
    refuse_masked(value, name)
    if value.dtype.name not in {"float16", "float32", "float64"}:
        raise DTypeError(
            f"{name} must be of float16, float32 or float64, not {value.dtype}"
        )
    return value


def parse_lengths(lengths, B: int, T: int) -> np.ndarray:
    """lengths as plain int64, one of 1 .. T for each of B rows.

    Raises:
        ShapeError: wrong count, or a length out of range; it names the row.
        DTypeError: they are no integers.
    """
    if is_torch(lengths, "Tensor"):
        lengths = lengths.tolist()
    if isinstance(lengths, np.ndarray):
        refuse_masked(lengths, "lengths")
    lengths = np.asarray(lengths)
    if lengths.shape != (B,):
        raise ShapeError(
            f"lengths must have one length for each row: expected shape {(B,)}, got "
            f"{lengths.shape}"
        )
    if B and lengths.dtype.kind not in "iu":
        raise DTypeError(f"lengths must be integers, got {lengths.dtype}")
    for row in np.flatnonzero((lengths < 1) | (lengths > T))[:1]:
        raise ShapeError(
            f"lengths[{row}] must be between 1 and {T}, got {lengths[row]}"
        )
    return np.require(lengths, np.int64, "A")


def check_gradients(module, x: Operand, h: Operand | None) -> None:
    """Refuse what would train wrongly in silence, and warn of what may."""
    kind = type(module).__name__
    if x.needs_gradient() or (h is not None and h.needs_gradient()):
        raise RuntimeError(
            f"crnn.{kind} records no gradients and this input needs one: use "
            f"crnn.torch.{kind}, torch.no_grad() or input.detach()"
        )
    if x.is_tensor and module.training and sys.modules["torch"].is_grad_enabled():
        _warn_once(kind)


def _warn_once(kind: str, warned: list = []) -> None:  # noqa: B006
    if not warned:
        warned.append(True)
        warnings.warn(
            f"crnn.{kind} in training mode got a torch tensor with grad mode on: its "
            f"parameters receive no gradients. Use crnn.torch.{kind} to train, or "
            "eval() or torch.no_grad() to infer",
            stacklevel=5,
        )
