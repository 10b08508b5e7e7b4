"""crnn.attention: against torch, finite differences and rows alone."""

import numpy as np
import pytest

from crnn import ShapeError
from crnn.attention import DotAttention

U, T, B, H = 4, 9, 5, 7
LENGTHS = np.array([9, 1, 4, 7, 2])


def example(dtype=np.float64):
    rng = np.random.default_rng(0)
    sizes = (U, B, H), (T, B, H), (U, B, H)
    return [rng.normal(size=size).astype(dtype) for size in sizes]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_equals_torch(torch, dtype):
    states, memory, d_context = example(dtype)
    context, weights, pullback = DotAttention().vjp(states, memory, LENGTHS)
    gradients = pullback(d_context)
    s, m = (torch.tensor(a, requires_grad=True) for a in (states, memory))
    mask = torch.arange(T) < torch.tensor(LENGTHS)[:, None]
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(a.transpose(0, 1) for a in (s, m, m)), attn_mask=mask[:, None], scale=1.0
    ).transpose(0, 1)
    expected.backward(torch.tensor(d_context))
    close = {"rtol": 0, "atol": 1e-12 if dtype == np.float64 else 2e-5}
    np.testing.assert_allclose(context, expected.detach().numpy(), **close)
    np.testing.assert_allclose(gradients["states"], s.grad.numpy(), **close)
    np.testing.assert_allclose(gradients["memory"], m.grad.numpy(), **close)
    np.testing.assert_allclose(weights.sum(2), 1, rtol=1e-5)
    again, same_weights = DotAttention()(states, memory, LENGTHS)
    np.testing.assert_allclose(again, context, **close)
    np.testing.assert_allclose(same_weights, weights, **close)
    assert again.dtype == context.dtype == gradients["memory"].dtype == dtype


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_gradient_by_differences(lengths):
    states, memory, d_context = example()
    gradients = DotAttention().vjp(states, memory, lengths)[2](d_context)
    rng, step = np.random.default_rng(1), 1e-5
    for index, name in enumerate(["states", "memory"]):
        direction = rng.normal(size=(states, memory)[index].shape)
        ends = []
        for e in (step, -step):
            moved = [states, memory]
            moved[index] = moved[index] + e * direction
            ends.append((DotAttention()(*moved, lengths)[0] * d_context).sum())
        slope = (ends[0] - ends[1]) / (2 * step)
        assert slope == pytest.approx((gradients[name] * direction).sum(), rel=1e-6)


@pytest.mark.parametrize("H", [1, 2, 31, 128])
def test_a_row_has_the_same_bits_alone(H):
    rng = np.random.default_rng(2)
    lengths = rng.integers(1, 41, 37)
    states = rng.normal(size=(3, 37, H)).astype(np.float32)
    memory = rng.normal(size=(40, 37, H)).astype(np.float32)
    context, weights = DotAttention()(states, memory, lengths)
    for b, n in enumerate(lengths):
        alone, own = DotAttention()(states[:, [b]], memory[:n, [b]], [n])
        np.testing.assert_array_equal(alone[:, 0], context[:, b])
        np.testing.assert_array_equal(own[:, 0], weights[:, b, :n])
        assert not weights[:, b, n:].any()


def test_what_does_not_fit():
    states, memory, _ = example()
    with pytest.raises(ShapeError, match="states"):
        DotAttention()(states[:, :2], memory)
    for lengths in ([1, 2], LENGTHS * 0, LENGTHS + 1):
        with pytest.raises(ShapeError, match="lengths"):
            DotAttention()(states, memory, lengths)
