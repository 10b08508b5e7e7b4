"""The forward methods: they look whether the core computes a call, else torch does.

Nothing is explained here: where anything is unusual or wrong, torch's own forward
method answers, with its own words.
"""

import functools
from operator import is_

import numpy as np
import torch
from torch import _VF  # noqa: F401 torch.jit looks up here what torch's forward names
from torch.nn.utils.rnn import PackedSequence

from .. import _core
from . import context, engine, function, worth
from .engine import Call, UnfitError

_TENSORS = {torch.Tensor, torch.nn.Parameter}
_DTYPES = {torch.float32, torch.float64}
_MODES = {"tanh": "RNN_TANH", "relu": "RNN_RELU"}
_CELL_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def over(original, compute):
    """A forward method that computes in the core what it can, the rest by original."""

    # torch.jit reads the source of what is wrapped, and so compiles the original.
    @context.uncompiled
    @functools.wraps(original)
    def forward(self, input, hx=None):
        if context.is_plain() and not context.is_autocast():
            try:
                results = compute(self, input, hx)
                if results is not NotImplemented:
                    return results
            except UnfitError:
                pass
        return original(self, input, hx)

    return forward


def rnn(self, input, hx):
    """What torch.nn.RNN's forward returns.

    Raises:
        UnfitError: the core does not compute this.
        ShapeError: torch would compute this wrongly, in silence.
    """
    _fit(_has_torchs_checks(type(self)))
    if isinstance(input, PackedSequence):
        return _packed(self, input, hx)
    _fit(type(input) in _TENSORS)
    is_batched = input.dim() == 3
    _fit(is_batched or input.dim() == 2)
    batch_first = is_batched and self.batch_first
    B = input.shape[0 if batch_first else 1] if is_batched else 1
    T = input.shape[1 if batch_first else 0]
    call = _call_of(self, T, batch_first)
    _fit(B > 0 and T > 0 and _is_worth_it(call, T * B))
    states = call.num_layers * call.num_directions
    shape = (states, B, call.hidden_size) if is_batched else (states, call.hidden_size)
    return _compute(call, input, hx, shape, _current_weights(self))


def cell(self, input, hx):
    """What torch.nn.RNNCell's forward returns; UnfitError as in `rnn`.

    NotImplemented where the core is no sooner done: many calls are so short that an
    exception would be felt.
    """
    _fit(type(input) in _TENSORS and input.dim() == 2 and input.numel() > 0)
    sizes = self.input_size, self.hidden_size
    if not worth.is_cell_worth_it(*sizes, len(input), context.records()):
        return NotImplemented
    named = self._parameters
    if tuple(named) == _CELL_NAMES:
        weights = list(named.values())
    else:
        weights = [getattr(self, name) for name in _CELL_NAMES]
    bias = weights[2] is not None or weights[3] is not None
    _fit(type(self.nonlinearity) is str and self.nonlinearity in _MODES)
    _fit(sizes[1] > 0)
    call = Call(*sizes, 1, 1, bias, _MODES[self.nonlinearity], is_cell=True)
    shape = (*input.shape[:-1], call.hidden_size)
    return _compute(call, input, hx, shape, weights if bias else weights[:2])


def _fit(condition):
    if not condition:
        raise UnfitError


def _has_torchs_checks(kind):
    """Whether a class has no other methods for those that torch's forward calls.

    Asked one by one, for a loop would be felt.
    """
    base = torch.nn.RNN
    return kind is base or (
        kind.check_forward_args is base.check_forward_args
        and kind.check_input is base.check_input
        and kind.check_hidden_size is base.check_hidden_size
        and kind.get_expected_hidden_size is base.get_expected_hidden_size
        and kind.permute_hidden is base.permute_hidden
        and kind._update_flat_weights is base._update_flat_weights
    )


def _is_worth_it(call, rows):
    return worth.is_network_worth_it(call, rows, context.records())


def _call_of(self, num_steps, batch_first, batch_sizes=None):
    """The Call of a network as its attributes stand."""
    L, p = self.num_layers, self.dropout if self.training else 0.0
    bools = self.bias, self.bidirectional, self.batch_first, self.training
    _fit({bool}.issuperset(map(type, bools)) and type(L) is int)
    _fit(self.mode in _MODES.values())
    if p and L > 1:
        _fit(isinstance(p, float | int) and 0 <= p <= 1)
    D, p = 2 if self.bidirectional else 1, p if L > 1 else 0.0
    sizes = self.input_size, self.hidden_size, L, D, self.bias
    return Call(*sizes, self.mode, num_steps, batch_first, batch_sizes, p)


def _current_weights(self):
    """_flat_weights as torch's forward would bring them up to date, only faster."""
    named, weights = self._parameters, self._flat_weights
    if len(named) != len(weights) or not all(map(is_, named.values(), weights)):
        self._update_flat_weights()
        weights = self._flat_weights
    return weights


def _compute(call, input, hx, shape, weights):
    """Run a call whose states have this shape, recorded if a gradient may be asked."""
    _fit(input.dtype in _DTYPES and input.is_cpu and input.layout is torch.strided)
    _fit(input.shape[-1] == call.input_size)
    _fit(_TENSORS.issuperset(map(type, weights)))
    if hx is not None:
        _fit(type(hx) in _TENSORS and hx.dtype is input.dtype and hx.is_cpu)
        _fit(hx.shape == shape and hx.layout is torch.strided)
    if context.records() and (
        input.requires_grad
        or _any_needs_gradient(weights)
        or (hx is not None and hx.requires_grad)
    ):
        return function.apply(call, *_owned(call, input, hx, weights), *weights)
    net = engine.Network(call, input.dtype, weights)
    return engine.run(net, call, input, hx, engine.draw_masks(call, input, hx))


def _any_needs_gradient(tensors):
    for tensor in tensors:  # noqa: SIM110 a generator takes twice the time
        if tensor.requires_grad:
            return True
    return False


def _owned(call, input, hx, weights):
    """Input and hx, copied where torch keeps a copy or nothing: they may be edited."""
    n = 4 if call.bias else 2
    inputs = weights[: n * call.num_directions : n]
    if not (_is_flat(call, input) and _any_needs_gradient(inputs)):
        input = engine.own(input)
    if hx is not None and not _any_needs_gradient(weights[1::n]):
        hx = engine.own(hx)
    return input, hx


def _is_flat(call, input):
    """Whether torch can see (T, B, I) as (T * B, I) without a copy."""
    if input.dim() != 3 or (not call.batch_first and input.is_contiguous()):
        return True
    t, b = (1, 0) if call.batch_first else (0, 1)
    T, B = input.shape[t], input.shape[b]
    return T == 1 or B == 1 or input.stride(t) == B * input.stride(b)


def _packed(self, sequence, hx):
    data, batch_sizes, sorted_indices, unsorted_indices = sequence
    _fit(type(data) in _TENSORS and data.dim() == 2)
    _fit(type(batch_sizes) is torch.Tensor and batch_sizes.dtype is torch.int64)
    _fit(batch_sizes.dim() == 1 and batch_sizes.is_cpu)
    sizes = batch_sizes.tolist()
    _fit(sizes and sizes[-1] >= 0 and sizes == sorted(sizes, reverse=True))
    B, N = sizes[0], data.shape[0]
    _fit(B > 0 and sum(sizes) <= N)
    if sum(sizes) != N:
        raise _core.ShapeError(
            f"batch_sizes add up to {sum(sizes)} rows, but data has {N}"
        )
    call = _call_of(self, len(sizes), False, np.array(sizes, np.int64))
    shape = (call.num_layers * call.num_directions, B, call.hidden_size)
    _check_order(sorted_indices, unsorted_indices, hx, shape)
    _fit(_is_worth_it(call, N))
    if hx is not None:
        hx = self.permute_hidden(hx, sorted_indices)
    output, h_n = _compute(call, data, hx, shape, _current_weights(self))
    return (
        PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices),
        self.permute_hidden(h_n, unsorted_indices),
    )


def _check_order(sorted_indices, unsorted_indices, hx, shape):
    """Refuse what torch's permutations would cut in silence."""
    for indices in sorted_indices, unsorted_indices:
        if indices is not None and len(indices) != shape[1]:
            raise _core.ShapeError(
                "the indices of a packed sequence must be a permutation of the "
                f"{shape[1]} rows of the batch"
            )
    if hx is not None:
        _fit(type(hx) in _TENSORS and hx.dim() == 3)
        if sorted_indices is not None and hx.shape[1] > shape[1]:
            got = list(hx.shape)
            raise _core.ShapeError(f"Expected hidden size {shape}, got {got}")
        _fit(hx.shape == shape)
