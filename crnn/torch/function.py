"""The node of autograd's graph: a whole call, forward and backward, in the core."""

import functools
from itertools import compress, islice

import torch

from . import context, engine, replay


@functools.cache
def kept_weights(needs, num_layers, num_directions, bias, several_steps):
    """Which weights torch keeps for backward and hence checks for edits in place.

    A product keeps a factor exactly where the other factor needs a gradient.

    Args:
        needs: whether input, hx and each weight need a gradient.
        several_steps: whether a state is ever read that is not hx.
    """
    input, hx, *weights = needs
    n = 4 if bias else 2
    cells = [weights[i : i + n] for i in range(0, len(weights), n)]
    kept, below = [], input
    for layer in range(num_layers):
        own = cells[layer * num_directions : (layer + 1) * num_directions]
        for cell in own:
            state = hx or (several_steps and (below or any(cell)))
            kept += [below, state, False, False][:n]
        below = below or hx or any(map(any, own))
    return tuple(kept)


def _versions(tensors):
    """How often each was edited in place; UnfitError where nobody counts it."""
    try:
        return [t._version for t in tensors if t is not None]
    except RuntimeError as error:  # made in inference mode
        raise engine.UnfitError from error


def _is_dense(gradient):
    if type(gradient) is not torch.Tensor or gradient.layout is not torch.strided:
        return False
    return not context.is_batched(gradient)


_EDITED = (
    "one of the variables needed for gradient computation has been modified by an "
    "inplace operation: a parameter that these gradients are computed again from"
)


class Recurrence(torch.autograd.Function):
    """output, h_n = Recurrence.apply(call, input, hx, *weights); of a cell, h alone.

    The core's tape holds the states, so results may be edited.  Input, hx and the
    weights that torch keeps are saved as well, for autograd to find edits of them.
    """

    @staticmethod
    def forward(ctx, call, input, hx, *weights):
        net = engine.Network(call, input.dtype, weights)
        hooked = context.has_saving_hooks()  # they alone decide what is kept, and how
        kept = (True,) * len(weights)
        if not hooked:
            kept = kept_weights(
                ctx.needs_input_grad[1:],
                *(call.num_layers, call.num_directions, call.bias),
                call.num_steps > 1,
            )
        ctx.rest = [None if k else w for w, k in zip(weights, kept, strict=True)]
        ctx.versions = _versions(ctx.rest)
        masks = engine.draw_masks(call, input, hx)
        ctx.set_materialize_grads(False)
        ctx.call, ctx.tape = call, None
        if hooked:
            results = engine.run(net, call, input, hx, masks)
        else:
            results, ctx.tape = engine.record(net, call, input, hx, masks)
        kept = compress(weights, kept)
        # What a cell's own backward reads is its result.
        ctx.save_for_backward(input, hx, *kept, *masks, *[results] * call.is_cell)
        return results

    @staticmethod
    def backward(ctx, *d_results):
        saved = ctx.saved_tensors  # raises if edited in place, or freed
        call, tape, needs = ctx.call, ctx.tape, ctx.needs_input_grad[1:]
        if not context.keeps_graph():
            ctx.tape = None
        given = [d for d in d_results if d is not None]
        if not given:
            return None, *[None] * len(needs)
        if tape is not None and not tape.is_intact():
            tape = None
        again = torch.is_grad_enabled() or not context.is_plain()
        again = again or not all(map(_is_dense, given))
        input, hx, *saved = saved
        saved = iter(saved)
        weights = [w if w is not None else next(saved) for w in ctx.rest]
        masks = list(islice(saved, (call.num_layers - 1) * (call.dropout > 0)))
        if (again or tape is None) and _versions(ctx.rest) != ctx.versions:
            raise RuntimeError(_EDITED)
        if again and tape is not None and not tape.net.reads(weights):
            raise RuntimeError(_EDITED)
        if not again:
            try:
                if tape is None:
                    net = engine.Network(call, input.dtype, weights)
                    _, tape = engine.record(net, call, input, hx, masks)
                return None, *tape.pullback(call, d_results, needs)
            except engine.UnfitError:
                pass  # torch computes it, or says what is wrong
        operands = [input, hx, *weights]
        return None, *replay.gradients(call, operands, masks, d_results, needs)


# Function.apply looks for torch.func's transforms first, as `context.is_plain` has.
apply = super(torch.autograd.Function, Recurrence).apply
