"""crnn.torch.RNN and RNNCell, and the conversion of modules that are torch's."""

import copy

import torch
from torch.nn.utils.parametrize import type_before_parametrizations

from . import forward as _forward


class RNN(torch.nn.RNN):
    """torch.nn.RNN with forward and backward computed by crnn.

    Arguments, parameters, results, gradients and errors are those of torch.nn.RNN, and
    so is everything that is inherited: initial values from torch's seed, state_dict,
    hooks, ``.to()``.  Parameters are torch's tensors, read at each call, so that every
    edit of them is seen, those through ``.data`` included.

    What crnn does not compute is left to torch's own forward method: devices other than
    the CPU, dtypes other than float32 and float64, autocast, tensor subclasses,
    torch.func and forward-mode AD, torch.compile, trace, script and export; and so are
    calls that it is sooner done with, such as few steps of a wide layer.
    Gradients with ``create_graph=True`` are computed by torch's operators.  A call uses
    at most as many threads as `torch.set_num_threads` and `crnn.set_num_threads` allow.

    Inputs: input, hx=None
        * input: (T, B, I), with batch_first (B, T, I), unbatched (T, I), or a
          PackedSequence.
        * hx: (L*D, B, H), for unbatched input (L*D, H); None is zeros.

    Outputs: output, h_n
        * output: (T, B, D*H), (B, T, D*H) or (T, D*H), or a PackedSequence.
        * h_n: (L*D, B, H) or (L*D, H).

    Raises:
        crnn.ShapeError: (a RuntimeError and ValueError) a PackedSequence whose parts do
            not fit together, which torch computes wrongly in silence.

    Example:
        >>> import torch
        >>> rnn = RNN(10, 20, 2)
        >>> output, h_n = rnn(torch.randn(5, 3, 10))
        >>> output.sum().backward()
        >>> rnn.weight_ih_l0.grad.shape
        torch.Size([20, 10])

    Differences from torch: the memory of results cannot be resized; where a parameter
    was edited in place that backward alone does not need, or its ``.data`` replaced,
    ``create_graph=True`` is refused; a parameter edited in place that backward needs is
    refused by each backward pass of a call, also by one that stops above its layer;
    under torch.autograd.graph.saved_tensors_hooks the states are not kept but computed
    again; torch.jit.script puts a torch.nn.RNN in this module's place; what knows
    modules by their exact class, as torch.fx its leaves and torch.ao.quantization what
    it replaces, does not know this one: there, use `patch`.
    """

    __module__ = "crnn.torch"

    forward = _forward.over(torch.nn.RNN.forward, _forward.rnn)

    def __prepare_scriptable__(self):
        """Let torch.jit.script compile the class that it knows."""
        return _scriptable(self, RNN, torch.nn.RNN)


class RNNCell(torch.nn.RNNCell):
    """torch.nn.RNNCell with forward and backward computed by crnn; see `RNN`.

    Left to torch, which is sooner done with them, are batches of fewer than 32 rows, or
    of fewer than 2^19 / (H (I + H)), and on a processor without AVX-512 also those of
    fewer than H (I + H) / 2^13 and all that are trained.

    Inputs: input, hx=None
        * input: (N, I) or (I,).
        * hx: (N, H) or (H,); None is zeros.

    Outputs: h'
        (N, H) or (H,).  As in torch, backward needs it as it is: it must not be edited
        in place before.

    Example:
        >>> import torch
        >>> cell = RNNCell(10, 20)
        >>> cell(torch.randn(3, 10)).shape
        torch.Size([3, 20])
    """

    __module__ = "crnn.torch"

    forward = _forward.over(torch.nn.RNNCell.forward, _forward.cell)

    def __prepare_scriptable__(self):
        """Let torch.jit.script compile the class that it knows."""
        return _scriptable(self, RNNCell, torch.nn.RNNCell)


def convert(module: torch.nn.Module) -> torch.nn.Module:
    """Let crnn compute every torch.nn.RNN and RNNCell in a module, itself included.

    In place: only the class of each changes, so optimizers, hooks, ties and references
    to parameters hold.  A pickle of the module then needs crnn where it is read; its
    state_dict does not.  Subclasses of torch.nn.RNN that have code of their own are
    left alone; `patch` reaches those that call the inherited forward method.

    Args:
        module: any module.

    Returns:
        The same module.

    Example:
        >>> import torch
        >>> model = convert(torch.nn.Sequential(torch.nn.RNN(10, 20)))
        >>> type(model[0])
        <class 'crnn.torch.RNN'>
    """
    ours = {torch.nn.RNN: RNN, torch.nn.RNNCell: RNNCell}
    for child in module.modules():
        kind = type_before_parametrizations(child)
        if kind in ours:
            _with_class(child, _rebased(type(child), kind, ours[kind]))
    return module


def _scriptable(module, ours, base):
    """What torch.jit.script is to compile; subclasses have code of their own."""
    return _with_class(copy.copy(module), base) if type(module) is ours else module


def _with_class(module, kind):
    module.__class__ = kind
    return module


def _rebased(kind, base, new_base):
    """A class as kind, which is base or a parametrized base, over another base."""
    if kind is base:
        return new_base
    own = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
    return type(kind.__name__, (new_base,), own)
