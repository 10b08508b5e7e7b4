"""Elman recurrent networks in C: torch.nn.RNN on NumPy arrays and torch tensors.

>>> import crnn, numpy
>>> rnn = crnn.RNN(10, 20, num_layers=2)
>>> output, h_n = rnn(numpy.zeros((5, 3, 10), numpy.float32))
>>> output.shape, h_n.shape
((5, 3, 20), (2, 3, 20))
"""

import typing as _typing
from importlib import import_module as _import_module

from ._core import DTypeError, ShapeError, isas
from .cell import RNNCell
from .config import __version__, show_config
from .config import select_isa as _select_isa
from .files import FormatError
from .random import manual_seed
from .rnn import RNN
from .stream import Stream
from .team import (
    get_num_threads,
    register_threadpoolctl,
    set_num_threads,
    threads,
)
from .team import read_environment as _read_environment

if _typing.TYPE_CHECKING:
    from . import attention as attention
    from . import ctc as ctc
    from . import distance as distance
    from . import estimators as estimators
    from . import layers as layers
    from . import plot as plot
    from . import sequences as sequences
    from . import training as training
    from .onnx import from_onnx, to_onnx
    from .schedule import explain
    from .weights import load, save

__all__ = [
    "RNN",
    "DTypeError",
    "FormatError",
    "RNNCell",
    "ShapeError",
    "Stream",
    "__version__",
    "explain",
    "from_onnx",
    "get_num_threads",
    "isas",
    "load",
    "manual_seed",
    "register_threadpoolctl",
    "save",
    "set_num_threads",
    "show_config",
    "threads",
    "to_onnx",
]

_select_isa()
_read_environment()
register_threadpoolctl()

# What not every program needs is imported when it is first used.
_LAZY = {
    "explain": "schedule",
    "from_onnx": "onnx",
    "load": "weights",
    "save": "weights",
    "to_onnx": "onnx",
}
_MODULES = {"attention", "ctc", "distance", "estimators", "layers", "plot"}
_MODULES |= {"sequences", "training"}


def __getattr__(name: str):
    if name in _MODULES or name == "torch":  # not in dir(): it imports torch
        return _import_module(f".{name}", __name__)
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})
