"""crnn's forward methods set on torch.nn.RNN and torch.nn.RNNCell themselves.

Not other classes in their places: modules made before, classes imported elsewhere,
isinstance and tests of the exact type, pickles and torch.save all go on as they are.
"""

import contextlib
import threading

import torch

from . import forward as _forward

_COMPUTED = {torch.nn.RNN: _forward.rnn, torch.nn.RNNCell: _forward.cell}

_lock = threading.Lock()
_lasting = False  # between patch() and unpatch()
_open_blocks = 0  # of patched()
_installed = {}  # class: (torch's forward, ours)


def patch() -> None:
    """Let crnn compute every torch.nn.RNN and RNNCell, until `unpatch`.

    Modules that exist already are included, and subclasses that inherit the forward
    method or call it.  What crnn does not compute, torch does, as `crnn.torch.RNN`
    says.  Once more is no more than once.
    """
    global _lasting
    with _lock:
        _lasting = True
        _update()


def unpatch() -> None:
    """Undo `patch`; inside a `patched` block, at its end."""
    global _lasting
    with _lock:
        _lasting = False
        _update()


@contextlib.contextmanager
def patched():
    """Patch for a block, in all threads; blocks may be nested and overlap.

    Example:
        >>> import torch
        >>> with patched():
        ...     output, h_n = torch.nn.RNN(10, 20)(torch.randn(5, 3, 10))
    """
    _enter_blocks(1)
    try:
        yield
    finally:
        _enter_blocks(-1)


def _enter_blocks(count):
    global _open_blocks
    with _lock:
        _open_blocks += count
        _update()


def _update():
    """Install or restore, as the state asks; the lock is held."""
    wanted = _lasting or _open_blocks > 0
    if wanted and not _installed:
        for kind, compute in _COMPUTED.items():
            original = kind.forward
            _installed[kind] = original, _forward.over(original, compute)
            kind.forward = _installed[kind][1]
    elif not wanted:
        for kind, (original, ours) in _installed.items():
            if kind.forward is ours:  # else somebody has wrapped it, and keeps it
                kind.forward = original
        _installed.clear()
