"""The same call by torch's own operators, for gradients that need gradients in turn."""

from itertools import compress

import torch
from torch import _VF

from . import context


def gradients(call, operands, masks, d_results, needs):
    """Gradients of the operands, None for those that need none.

    With grad mode on they can be differentiated again, back to the operands and to
    d_results.

    Args:
        call: what is no tensor.
        operands: input, hx or None, and the weights.
        masks: dropout's factors at each boundary of layers, as the call drew them.
        d_results: a gradient or None for each result of the call.
        needs: whether each operand needs a gradient.
    """
    given = [d for d in d_results if d is not None]
    if not given:
        return [None] * len(operands)

    def results_of(operands):
        results = (
            _cell(call, *operands) if call.is_cell else _rnn(call, operands, masks)
        )
        return [r for r, d in zip(results, d_results, strict=True) if d is not None]

    compute = _transformed if context.is_transformed() else _recorded
    with torch.autocast("cpu", enabled=False):
        found = iter(compute(results_of, operands, needs, given))
    return [next(found) if need else None for need in needs]


def _recorded(results_of, operands, needs, given):
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        operands = [_place(*pair, again) for pair in zip(operands, needs, strict=True)]
        return torch.autograd.grad(
            results_of(operands),
            list(compress(operands, needs)),
            given,
            create_graph=again,
            materialize_grads=True,
        )


def _transformed(results_of, operands, needs, given):
    """Inside torch.vmap, say, where nobody may ask for gradients but its own means."""

    def results_by_needed(*needed):
        needed = iter(needed)
        return results_of(
            [next(needed) if n else t for n, t in zip(needs, operands, strict=True)]
        )

    return torch.func.vjp(results_by_needed, *compress(operands, needs))[1](given)


def _place(operand, need, again):
    """An alias of an operand: one that stands in two places has two gradients.

    need is what it was at the call: requires_grad may have been set since.
    """
    if operand is None:
        return None
    if again and need and operand.requires_grad:
        return operand.view_as(operand)
    return operand.detach().requires_grad_(need)


def _cell(call, input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    step = _VF.rnn_tanh_cell if call.mode == "RNN_TANH" else _VF.rnn_relu_cell
    if hx is None:
        hx = input.new_zeros(len(input), call.hidden_size)
    return [step(input, hx, w_ih, w_hh, b_ih, b_hh)]


def _rnn(call, operands, masks):
    """(output, h_n), a layer at a time, for the masks stand between the layers."""
    x, hx, *weights = operands
    L, D = call.num_layers, call.num_directions
    is_batched = call.batch_sizes is not None or x.dim() == 3
    if call.batch_sizes is not None:
        layout = [torch.from_numpy(call.batch_sizes)]
        B = layout[0][0]
    else:
        layout = []
        if not is_batched:
            x = x.unsqueeze(1)
        elif call.batch_first:
            x = x.transpose(0, 1)
        B = x.shape[1]
    if hx is None:
        hx = x.new_zeros(L * D, B, call.hidden_size)
    elif not is_batched:
        hx = hx.unsqueeze(1)
    layer_of = _VF.rnn_tanh if call.mode == "RNN_TANH" else _VF.rnn_relu
    last = [] if layout else [False]
    n = len(weights) // L
    states = []
    for layer in range(L):
        if layer and masks:
            mask = masks[layer - 1]
            x = x * (mask if is_batched else mask.unsqueeze(1))
        options = [call.bias, 1, 0.0, False, D == 2, *last]
        h = hx[layer * D : (layer + 1) * D]
        x, h = layer_of(x, *layout, h, weights[layer * n : (layer + 1) * n], *options)
        states.append(h)
    h_n = torch.cat(states)
    if not is_batched:
        return [x.squeeze(1), h_n.squeeze(1)]
    return [x.transpose(0, 1) if call.batch_first else x, h_n]
