"""Fitted estimators as files of arrays; what is no array is in one as JSON's bytes."""

import json
import os

import numpy as np

from ..files import FormatError
from ..sequences import Vocabulary
from ..weights import load, save
from .inputs import InputEncoder

# The name of the array that holds the JSON's bytes, as numbers of float16, which both
# formats can keep.
DESCRIPTION = "crnn.estimator"

# A size that a file may speak of without arrays to show for it.
MODEST = 1024


def write_model(path, kind: str, params: dict, fitted: dict, arrays: dict) -> None:
    """One file of the class's name, constructor's arguments, attributes and arrays.

    Raises:
        TypeError: a parameter, token or class is nothing that JSON can say.
    """
    description = {
        "class": kind,
        "params": {name: _plain(value) for name, value in params.items()},
        "fitted": {name: _plain(value) for name, value in fitted.items()},
    }
    text = json.dumps(description, ensure_ascii=False)
    data = np.frombuffer(text.encode(), np.uint8).astype(np.float16)
    save(path, {DESCRIPTION: data, **arrays})


def read_model(path, kind: str, fitted: tuple[str, ...]) -> tuple[dict, dict, dict]:
    """(params, fitted, arrays) of a file.

    Raises:
        FormatError: it holds no estimator of this class.
    """
    path = os.fsdecode(path)
    arrays = load(path)
    if DESCRIPTION not in arrays:
        raise FormatError(path, f"arrays, but no estimator's: {DESCRIPTION} is missing")
    try:
        data = arrays.pop(DESCRIPTION).astype(np.uint8).tobytes()
        description = json.loads(data)
        found = description["class"]
        params = {k: _rich(v) for k, v in description["params"].items()}
        values = {name: _rich(description["fitted"][name]) for name in fitted}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        if "found" in locals() and found != kind:
            raise FormatError(path, f"a {found}, not a {kind}") from error
        raise FormatError(path, f"a damaged estimator: {error}") from error
    if found != kind:
        raise FormatError(path, f"a {found}, not a {kind}")
    _check_sizes(path, params, arrays)
    return params, values, arrays


def _check_sizes(path: str, params: dict, arrays: dict) -> None:
    """FormatError if the parameters ask for layers far larger than the arrays are."""
    largest = max([MODEST, *(n for a in arrays.values() for n in a.shape)])
    limits = {"num_layers": len(arrays), "hidden_size": largest}
    for name, limit in (limits | {"embedding_dim": largest}).items():
        value = params.get(name, 1)
        if not isinstance(value, int) or value > limit:
            raise FormatError(path, f"a damaged estimator: {name} is {value}")


def _plain(value):
    """What JSON can say, for a value."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Vocabulary):
        plain = [_token(token) for token in value.tokens[len(value.special) :]]
        special = {n: value.special.get(n) for n in _SPECIAL}
        return {"vocabulary": plain, **special}
    if isinstance(value, InputEncoder):
        return {"encoder": {k: _plain(v) for k, v in vars(value).items()}}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{value!r} cannot be kept in a file")


def _token(token):
    """A token that is the same after JSON; a tuple would not be."""
    if isinstance(token, str | int | np.integer):
        return _plain(token)
    raise TypeError(
        f"the token {token!r} cannot be kept in a file: no string or integer"
    )


def _rich(value):
    """The value that _plain was given; lists for tuples."""
    if not isinstance(value, dict):
        return value
    if "array" in value:
        dtype = np.dtype(value["dtype"])
        if dtype.kind == "O":
            return np.array([*value["array"], None], object)[:-1]
        return np.array(value["array"], dtype)
    if "vocabulary" in value:
        special = {name: value[name] for name in _SPECIAL}
        return Vocabulary(value["vocabulary"], **special)
    encoder = InputEncoder()
    for name in vars(encoder):
        setattr(encoder, name, _rich(value["encoder"][name]))
    return encoder


_SPECIAL = ("padding", "unknown", "start", "end")
