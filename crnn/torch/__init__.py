"""crnn under torch's autograd: torch.nn.RNN and RNNCell, computed in C, both ways.

>>> import torch, crnn.torch
>>> rnn = crnn.torch.RNN(10, 20, num_layers=2)  # a torch.nn.RNN in all but speed
>>> output, h_n = rnn(torch.randn(5, 3, 10))
>>> output.sum().backward()

Three ways to use it in a program that torch.nn.RNN is in:

* write ``crnn.torch.RNN`` for ``torch.nn.RNN``;
* ``crnn.torch.convert(model)``: what is in a model already;
* ``crnn.torch.patch()``, ``with crnn.torch.patched():`` or ``python -m crnn run
  script.py``: all of them, in code that nobody wants to touch.

This folder is the only part of crnn that imports torch.
"""

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "crnn.torch needs torch: pip install crnn[torch]", name=error.name
    ) from error

from .modules import RNN, RNNCell, convert
from .patching import patch, patched, unpatch
from .script import run

__all__ = ["RNN", "RNNCell", "convert", "patch", "patched", "run", "unpatch"]
