"""From tensors to the core and back: the only place here that knows the core's names.

A network of the core is made of the weights at each call, and reads them where they
are, so that a call depends on its tensors alone and sees every edit of them.
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


def network(call: Call, dtype: torch.dtype, weights):
    """The core's network of these weights.

    Raises:
        UnfitError: they are not what the sizes ask for, of several dtypes, or freed.
    """
    net = _core.Network()
    try:
        arrays = [_array(w.contiguous()) for w in weights]
        net._borrow(dtype.itemsize, *call[:5], arrays)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UnfitError from error
    net.mode, net._is_cell = call.mode, call.is_cell  # time first, unless told
    net._most_threads = torch.get_num_threads()
    return net


def draw_masks(call: Call, input) -> list[torch.Tensor]:
    """Dropout's factors for each boundary of layers, as torch draws them: time first.

    The same draws on the same shapes as torch.nn.RNN's, which leave torch's generator
    in the same state.
    """
    if not call.dropout:
        return []
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


def _array(tensor):
    """A read-only array of a tensor's memory, or UnfitError.

    Tensor.numpy() would forbid to resize the tensor's memory, for good.
    """
    if tensor is None:
        return None
    tensor = tensor.resolve_neg()
    bytes = tensor.untyped_storage().nbytes()
    try:
        return as_array(to_dlpack(tensor), bytes, tensor.storage_offset())
    except BufferError as error:
        raise UnfitError from error


def _rows(tensor):
    """An array whose last axis is contiguous, as the core reads gradients."""
    if tensor is not None and tensor.stride(-1) != 1:
        tensor = tensor.contiguous()
    return _array(tensor)


def _turned(call, array):
    """A sequence as the core has it, time first, from how the call has it, or back.

    The memory of results is laid out as torch's: what others draw for an output in the
    order of its memory, as torch.nn.Dropout does, falls on the same elements.
    """
    return array.swapaxes(0, 1) if call.batch_first and array is not None else array


def run(net, call: Call, input, hx, masks):
    """(output, h_n), or a cell's state; grad mode is off, or nothing needs it."""
    masks = tuple(map(_array, masks)) if masks else None
    x = _turned(call, _array(input))
    results = net._run(x, _array(hx), None, call.batch_sizes, masks)
    if call.is_cell:
        return from_numpy(results)
    return from_numpy(_turned(call, results[0])), from_numpy(results[1])


def record(net, call: Call, input, hx, masks, weights):
    """What `run` gives, and a Tape; the weights are those that net is made of."""
    masks = tuple(map(_array, masks)) if masks else None
    # Aliases keep the memory of input and hx alive, whatever becomes of the tensors.
    x = input.detach()
    h = None if hx is None else hx.detach()
    sequence = _turned(call, _array(x))
    results = net._record(sequence, _array(h), None, call.batch_sizes, masks)
    tape = Tape(results[-1], x, h, weights)
    if call.is_cell:
        return from_numpy(results[0]), tape
    return (from_numpy(_turned(call, results[0])), from_numpy(results[1])), tape


class Tape:
    """What a forward pass left for backward ones; it keeps alive all that it reads.

    Those are aliases: a parameter's ``.data`` may be replaced.  Where their memory is
    another, as share_memory_() and resizing a storage leave them, so are their places.
    """

    __slots__ = ("_places", "_sequences", "_tape", "_weight_places", "_weights")

    def __init__(self, tape, x, h, weights):
        self._tape, self._sequences = tape, (x, h)
        self._weights = [w.detach() for w in weights]
        self._places, self._weight_places = _places((x, h)), _places(self._weights)

    def is_intact(self) -> bool:
        """Whether input and hx are where they were; else it must not be used."""
        return _places(self._sequences) == self._places

    def pullback(self, call: Call, d_results, needs):
        """Gradients of input, hx and each weight, None for those not needed."""
        net = None
        if _places(self._weights) != self._weight_places:
            net = network(call, self._sequences[0].dtype, self._weights)
        d_output, d_h_n = (*d_results, None)[:2]
        d_output = _turned(call, _rows(d_output))
        d_input, *rest = self._tape.pullback(d_output, _rows(d_h_n), needs, net)
        gradients = _turned(call, d_input), *rest
        return [None if d is None else from_numpy(d) for d in gradients]


def _places(tensors):
    return [
        None if t is None else (t.data_ptr(), t.untyped_storage().nbytes())
        for t in tensors
    ]
