"""Modules of torch and of crnn.torch with the same parameters, and what both give.

For tests that have the `torch` fixture: crnn.torch is imported where it is used.
"""

import contextlib

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
GRADIENT_TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


def twins(*arguments, kind="RNN", **options):
    """(torch's module, crnn.torch's), equal in bits."""
    import torch

    import crnn.torch

    plain = getattr(torch.nn, kind)(*arguments, **options)
    ours = getattr(crnn.torch, kind)(*arguments, **options)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


@contextlib.contextmanager
def counted():
    """A list that gets an entry for every network that the core computes."""
    from crnn.torch import engine

    made, network = [], engine.Network

    def count(call, dtype, weights):
        result = network(call, dtype, weights)
        made.append(call)
        return result

    engine.Network = count
    try:
        yield made
    finally:
        engine.Network = network


@contextlib.contextmanager
def every_cell():
    """The core computes cells of any size, those too that it is no sooner done with."""
    from crnn.torch import worth

    limit, worth.is_cell_worth_it = worth.is_cell_worth_it, lambda *sizes: True
    try:
        yield
    finally:
        worth.is_cell_worth_it = limit


def plain_tensors(results):
    """The tensors of a result: a tensor, a pair, packed or not."""
    if hasattr(results, "batch_sizes"):
        return [results.data]
    if isinstance(results, tuple):
        return [tensor for result in results for tensor in plain_tensors(result)]
    return [results]


def loss_of(results):
    """A scalar in which every element of the results counts, each in its own way."""
    total = 0
    for k, tensor in enumerate(plain_tensors(results)):
        steps = tensor.detach().new_ones(tensor.shape).flatten().cumsum(0)
        total = total + ((steps * (k + 1)).cos().view(tensor.shape) * tensor).sum()
    return total


def assert_near(ours, right, tolerances=TOLERANCE):
    """Equal within the tolerance of right's scale, of the same shape and dtype."""
    assert ours.shape == right.shape and ours.dtype == right.dtype
    if right.numel():
        tolerance = tolerances[str(right.dtype).removeprefix("torch.")]
        scale = max(1.0, right.abs().max().item())
        assert (ours - right).abs().max().item() <= tolerance * scale


def assert_same_gradients(ours, right):
    """The gradients of two lists of tensors: near, or None in both."""
    for mine, other in zip(ours, right, strict=True):
        assert (mine.grad is None) == (other.grad is None)
        if other.grad is not None:
            assert mine.grad.is_contiguous() or not mine.is_contiguous()
            assert_near(mine.grad, other.grad, GRADIENT_TOLERANCE)


def edited_raises(function, error=RuntimeError):
    """Whether backward refuses what was edited in place since the forward pass."""
    try:
        function()
    except error as caught:
        assert "inplace" in str(caught)
        return True
    return False
