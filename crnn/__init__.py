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

__all__ = [
    "RNN",
    "DTypeError",
    "RNNCell",
    "ShapeError",
    "__version__",
    "isas",
    "manual_seed",
    "show_config",
]

_select_isa()
