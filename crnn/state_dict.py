"""State dicts: which names and shapes a network has, and what fits or does not."""

import re
from collections import namedtuple
from collections.abc import Mapping

import numpy as np

from ._core import DTypeError, ShapeError
from .operands import as_values

PARAMETER = re.compile(r"(?:weight|bias)_[ih]h(?:_l(\d{1,9})(_reverse)?)?", re.ASCII)

# How many times the rows of a hidden state a gated cell's weights have.
GATED = {3: "a GRU", 4: "an LSTM"}


class _IncompatibleKeys(
    namedtuple("IncompatibleKeys", ("missing_keys", "unexpected_keys"))
):
    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()


def check_mapping(state_dict) -> None:
    """TypeError unless state_dict is a mapping."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")


def match(
    kind: str,
    shapes: Mapping[str, tuple[int, ...]],
    state_dict: Mapping,
    prefix: str = "",
    strict: bool = True,
) -> tuple[dict[str, np.ndarray], _IncompatibleKeys]:
    """The values in state_dict for these names, and the keys that do not match.

    Raises:
        ShapeError: a name is missing or unexpected, where strict, or a shape or dtype
            does not fit; it lists them all, for a network of this kind.
    """
    missing = [prefix + name for name in shapes if prefix + name not in state_dict]
    unexpected = [
        key
        for key in state_dict
        if str(key).startswith(prefix) and str(key)[len(prefix) :] not in shapes
    ]
    problems, values = [], {}
    if strict and missing:
        problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if strict and unexpected:
        problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
    for name, shape in shapes.items():
        if prefix + name not in state_dict:
            continue
        try:
            values[name] = as_values(state_dict[prefix + name], prefix + name)
        except DTypeError as error:
            problems.append(str(error))
            continue
        if values[name].shape != shape:
            problems.append(
                f"size mismatch for {prefix + name}: copying a param with shape "
                f"{values[name].shape} from checkpoint, the shape in current model is "
                f"{shape}."
            )
    if problems:
        title = f"Error(s) in loading state_dict for {kind}:\n\t"
        raise ShapeError(title + "\n\t".join(problems))
    return values, _IncompatibleKeys(missing, unexpected)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def shapes_of(
    input_size: int, hidden_size: int, suffixes: list[list[str]], bias: bool
) -> dict[str, tuple[int, ...]]:
    """Shapes by name, in torch's order; suffixes[layer][direction] ends the names."""
    shapes, width = {}, input_size
    for directions in suffixes:
        for suffix in directions:
            shapes[f"weight_ih{suffix}"] = (hidden_size, width)
            shapes[f"weight_hh{suffix}"] = (hidden_size, hidden_size)
            if bias:
                shapes[f"bias_ih{suffix}"] = shapes[f"bias_hh{suffix}"] = (hidden_size,)
        width = len(directions) * hidden_size
    return shapes


def infer_suffixes(state_dict: Mapping, prefix: str) -> list[list[str]]:
    """The layers and directions that the names under prefix speak of.

    Never more layers than names, whatever number one of them has.
    """
    names = own_names(state_dict, prefix)
    found = [m for m in map(PARAMETER.fullmatch, names) if m and m[1]]
    layers = 1 + max((k for m in found if (k := int(m[1])) < len(names)), default=0)
    directions = ["", "_reverse"] if any(m[2] for m in found) else [""]
    return [[f"_l{k}{end}" for end in directions] for k in range(layers)]


def infer_bias(state_dict: Mapping, prefix: str) -> bool:
    """Whether any name under prefix is a bias's."""
    names = own_names(state_dict, prefix)
    return any(n.startswith("bias") and PARAMETER.fullmatch(n) for n in names)


def own_names(state_dict: Mapping, prefix: str) -> list[str]:
    """What follows prefix in the names that begin with it."""
    return [
        key[len(prefix) :]
        for key in state_dict
        if isinstance(key, str) and key.startswith(prefix)
    ]


def infer_sizes(
    kind: str, state_dict: Mapping, prefix: str, suffix: str
) -> tuple[int, int]:
    """(input_size, hidden_size) by the first matrix, whose name ends in suffix.

    Raises:
        ShapeError: it is missing or no matrix, or belongs to a gated network.
    """
    name = f"{prefix}weight_ih{suffix}"
    if name not in state_dict:
        raise ShapeError(
            f'no {kind} at prefix {prefix!r}: Missing key(s) in state_dict: "{name}". '
            + _hint(state_dict, f"weight_ih{suffix}")
        )
    shape = _shape(state_dict[name])
    if len(shape) != 2:
        raise ShapeError(f"{name} must have shape (H, I), not {shape}")
    recurrent = _shape(state_dict.get(f"{prefix}weight_hh{suffix}"))
    for gates, other in GATED.items():
        if recurrent[1:] and recurrent[0] == gates * recurrent[1] == shape[0] > 0:
            raise ShapeError(
                f"{name} of shape {shape} and weight_hh{suffix} of shape {recurrent} "
                f"are {other}'s, not an {kind}'s"
            )
    return shape[1], shape[0]


def _shape(value) -> tuple[int, ...]:
    return tuple(getattr(value, "shape", ()))


def _hint(state_dict: Mapping, first: str) -> str:
    """Where in the state dict, or in one that it nests, networks do begin."""
    places = [("", state_dict)]
    places += [
        (f"state_dict[{key!r}], ", value)
        for key, value in state_dict.items()
        if isinstance(value, Mapping)
    ]
    found = [
        f"{place}prefix={key.removesuffix(first)!r}"
        for place, names in places
        for key in names
        if isinstance(key, str) and key.endswith(first)
    ]
    more = ", ..." if len(found) > 5 else ""
    return f"There are: {'; '.join(found[:5])}{more}" if found else "No other is there"


def common_dtype(values: Mapping[str, np.ndarray]) -> np.dtype:
    """float64 if all values are, and float32 if none is.

    Raises:
        DTypeError: some are.
    """
    wide = [name for name, array in values.items() if array.dtype.name == "float64"]
    if wide and len(wide) < len(values):
        raise DTypeError(
            f"float32 and float64 are mixed; of float64 are {_quoted(wide)}"
        )
    return np.dtype("float64" if wide else "float32")
