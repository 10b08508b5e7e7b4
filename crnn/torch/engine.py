"""From tensors to the core and back: the only place here that knows the core's names.

A network of the core is made of the weights at each call, and reads them where they
are, if they are contiguous, so that a call depends on its tensors alone and sees every
edit of them.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import from_numpy
from torch.utils.dlpack import to_dlpack

from .. import _core
from .._core import as_array


class UnfitError(Exception):
    """The core does not compute this; torch does, or says why not."""


class Call(NamedTuple):
    """What is no tensor in a call of a network, or of a cell."""

    input_size: int
    hidden_size: int
    num_layers: int
    num_directions: int
    bias: bool
    mode: str
    num_steps: int = 1
    batch_first: bool = False
    batch_sizes: np.ndarray | None = None
    dropout: float = 0.0  # 0 where there is none to draw
    is_cell: bool = False


class Network:
    """The core's network of a call's weights.

    Raises:
        UnfitError: they are not what the sizes ask for, of several dtypes, or freed.
    """

    __slots__ = ("_places", "_weights", "core")

    def __init__(self, call: Call, dtype: torch.dtype, weights):
        self._weights = [w.detach() for w in weights]
        arrays = [np.ascontiguousarray(_array(w)) for w in self._weights]
        copied = any(a.flags.owndata for a in arrays)
        self._places = None if copied else _places(self._weights)
        self.core = _core.Network()
        try:
            self.core._borrow(dtype.itemsize, *call[:5], arrays)
        except (TypeError, ValueError) as error:
            raise UnfitError from error
        self.core.mode, self.core._is_cell = call.mode, call.is_cell
        self.core._most_threads = torch.get_num_threads()

    def reads(self, weights) -> bool:
        """Whether these tensors' memory is what it reads: ``.data`` may be replaced."""
        return _places(weights) == _places(self._weights)

    def moved(self, call: Call):
        """The core's network anew, where it no longer sees the weights' memory."""
        if self._places == _places(self._weights):
            return None
        return Network(call, self._weights[0].dtype, self._weights).core


def draw_masks(call: Call, input, hx) -> list[torch.Tensor]:
    """Dropout's factors for each boundary of layers, as torch draws them: time first.

    The same draws on the same shapes as torch.nn.RNN's, which leave torch's generator
    in the same state.

    Raises:
        UnfitError: input or hx cannot be read; nothing is drawn, for torch will.
    """
    if not call.dropout:
        return []
    for alias in _aliases(input, hx):
        _array(alias)
    shape = [*input.shape[:-1], call.hidden_size * call.num_directions]
    if call.batch_first:
        shape[:2] = shape[1::-1]
    masks = []
    for _ in range(call.num_layers - 1):
        mask = torch.empty(shape, dtype=input.dtype, device=input.device)
        if call.dropout == 1:
            mask.zero_()
        else:
            mask.bernoulli_(1 - call.dropout).div_(1 - call.dropout)
        masks.append(mask)
    return masks


def _array(alias):
    """A read-only array of a tensor's memory.

    Of an alias, for that of a tensor can be replaced.  Tensor.numpy() would forbid to
    resize it, for good.

    Raises:
        UnfitError: it has no memory, or a storage too small for it.
    """
    if alias is None:
        return None
    try:
        size, offset = alias.untyped_storage().nbytes(), alias.storage_offset()
        array = as_array(to_dlpack(alias), size, offset)
    except (BufferError, RuntimeError) as error:
        raise UnfitError from error
    return -array if alias.is_neg() else array


def _rows(alias):
    """An array whose last axis is contiguous, as the core reads states."""
    array = _array(alias)
    if array is not None and array.strides[-1] != array.itemsize:
        return np.ascontiguousarray(array)
    return array


def own(tensor):
    """A copy that no edit reaches, or UnfitError."""
    _array(tensor.detach())
    return tensor.clone()


def _turned(call, array):
    """A sequence as the core has it, time first, from how the call has it, or back.

    The memory of results is laid out as torch's: what others draw for an output in the
    order of its memory, as torch.nn.Dropout does, falls on the same elements.
    """
    return array.swapaxes(0, 1) if call.batch_first and array is not None else array


def run(net, call: Call, input, hx, masks):
    """(output, h_n), or a cell's state; grad mode is off, or nothing needs it."""
    masks = tuple(map(_array, masks)) if masks else None
    x, h = _aliases(input, hx)
    sequence = _turned(call, _array(x))
    results = net.core._run(sequence, _rows(h), None, call.batch_sizes, masks)
    if call.is_cell:
        return from_numpy(results)
    return from_numpy(_turned(call, results[0])), from_numpy(results[1])


def record(net, call: Call, input, hx, masks):
    """What `run` gives, and a Tape."""
    masks = tuple(map(_array, masks)) if masks else None
    x, h = _aliases(input, hx)
    sequence = _turned(call, _array(x))
    results = net.core._record(sequence, _rows(h), None, call.batch_sizes, masks)
    tape = Tape(results[-1], x, h, net)
    if call.is_cell:
        return from_numpy(results[0]), tape
    return (from_numpy(_turned(call, results[0])), from_numpy(results[1])), tape


def _aliases(input, hx):
    return input.detach(), None if hx is None else hx.detach()


class Tape:
    """What a forward pass left for backward ones; it keeps alive all that it reads.

    share_memory_() moves a tensor's memory away nevertheless, and its storage can be
    resized: whether all is in its place is to be asked first.
    """

    __slots__ = ("_places", "_sequences", "_tape", "net")

    def __init__(self, tape, x, h, net):
        self._tape, self._sequences, self.net = tape, (x, h), net
        self._places = _places(self._sequences)

    def is_intact(self) -> bool:
        """Whether input and hx are where they were; else it must not be used."""
        return _places(self._sequences) == self._places

    def pullback(self, call: Call, d_results, needs):
        """Gradients of input, hx and each weight, None for those not needed."""
        d_output, d_h_n = (*d_results, None)[:2]
        arrays = _turned(call, _rows(d_output)), _rows(d_h_n)
        d_input, *rest = self._tape.pullback(*arrays, needs, self.net.moved(call))
        gradients = _turned(call, d_input), *rest
        return [None if d is None else from_numpy(d) for d in gradients]


def _places(tensors):
    return [
        None if t is None else (t.data_ptr(), t.untyped_storage().nbytes())
        for t in tensors
    ]
