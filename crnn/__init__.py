"""Elman recurrent networks in C: torch.nn.RNN on NumPy arrays and torch tensors.

>>> import crnn, numpy
>>> rnn = crnn.RNN(10, 20, num_layers=2)
>>> output, h_n = rnn(numpy.zeros((5, 3, 10), numpy.float32))
>>> output.shape, h_n.shape
((5, 3, 20), (2, 3, 20))
"""

from ._core import DTypeError, ShapeError, isas
from .cell import RNNCell
from .config import __version__, show_config
from .config import select_isa as _select_isa
from .random import manual_seed
from .rnn import RNN
from .team import (
    get_num_threads,
    register_threadpoolctl,
    set_num_threads,
    threads,
)
from .team import read_environment as _read_environment

__all__ = [
    "RNN",
    "DTypeError",
    "RNNCell",
    "ShapeError",
    "__version__",
    "get_num_threads",
    "isas",
    "manual_seed",
    "register_threadpoolctl",
    "set_num_threads",
    "show_config",
    "threads",
]

_select_isa()
_read_environment()
register_threadpoolctl()


def __getattr__(name):
    if name == "torch":  # it imports torch: for those alone who ask for it
        import importlib

        return importlib.import_module(".torch", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
