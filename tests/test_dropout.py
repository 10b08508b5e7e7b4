"""Dropout between layers (the contract's section 2.5), from crnn's own stream."""

import numpy as np
import pytest
from faults import same_bits
from reference import assert_close, reference_of
from shapes import draw

import crnn

T, B, I, H = 5, 7, 3, 40  # noqa: E741
P = 0.3


def make(layers=2, p=P, **options):
    crnn.manual_seed(0)
    return crnn.RNN(I, H, layers, dropout=p, **options)


def equal(results, expected):
    return all(map(same_bits, results, expected))


def see_through(p=P, dtype="float32", batch_first=False, bidirectional=False):
    """Two layers: the first gives ones, the second its input as it is.

    So the output is the mask; with two directions, twice that of the forward half.
    """
    options = {"dtype": dtype, "batch_first": batch_first, "bias": True}
    net = crnn.RNN(I, H, 2, "relu", dropout=p, bidirectional=bidirectional, **options)
    for name, a in net.named_parameters():
        a[...] = name.startswith("bias_ih_l0")
    for suffix in ("", "_reverse")[: 1 + bidirectional]:
        getattr(net, f"weight_ih_l1{suffix}")[:, :H] = np.eye(H)
    return net


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_mask(p, dtype, isa):
    """Each element by itself is dropped with p, or scaled by 1/(1-p)."""
    net, x = see_through(p, dtype), np.zeros((200, 11, I), dtype)
    crnn.manual_seed(1)
    mask, _ = net(x)
    scale = np.array(1 / (1 - p), dtype)
    assert np.isin(mask, [0, scale]).all()
    dropped = mask == 0
    deviation = np.sqrt(p * (1 - p) / mask.size)
    assert abs(dropped.mean() - p) < 5 * deviation
    for axis in range(3):  # no stripes
        others = tuple({0, 1, 2} - {axis})
        count = mask.size // mask.shape[axis]
        spread = 6 * np.sqrt(p * (1 - p) / count)
        assert np.abs(dropped.mean(others) - p).max() < spread
    again, _ = net(x)
    assert 0.5 * p * (1 - p) < ((again == 0) != dropped).mean()  # fresh at each call


def test_seed_and_isa(isa):
    """The same seed gives the same bits, on every ISA, call after call."""
    net, x = make(3), draw(T, B, I)
    results = []
    for name in isa, "generic":
        crnn._core.set_isa(name)
        crnn.manual_seed(5)
        results.append([a for _ in range(3) for a in net(x)])
    assert equal(*results)
    assert not same_bits(results[0][0], results[0][2])
    crnn.manual_seed(6)
    assert not same_bits(net(x)[0], results[0][0])


def test_output_is_that_of_the_reference(isa):
    """Whatever the mask, it multiplies the layer's output and nothing else."""
    net, twin, x = make(), see_through(), draw(T, B, I)
    hx = draw(2, B, H, seed=1)
    crnn.manual_seed(3)
    mask, _ = twin(x)
    crnn.manual_seed(3)
    results = net(x, hx)
    expected = reference_of(net, x, hx, masks=[mask.astype(np.float64)])
    for result, right in zip(results, expected, strict=True):
        assert_close(result, right)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["D1", "D2"])
def test_h_n_is_before_dropout(bidirectional, isa):
    net, x = make(3, bidirectional=bidirectional), draw(T, B, I)
    D = 2 if bidirectional else 1
    _, dropped = net.train()(x)
    output, whole = net.eval()(x)
    assert same_bits(dropped[:D], whole[:D])
    assert not same_bits(dropped[D:], whole[D:])
    assert same_bits(whole[-D], output[-1, :, :H].copy())
    y, h_n = net.train()(x)
    assert same_bits(h_n[-D], y[-1, :, :H].copy())  # nor on the final output
    assert (np.abs(y) < 1).all() and (y != 0).all()


def test_when_nothing_is_dropped():
    """eval, p = 0, one layer: the bits of a network without dropout."""
    x = draw(T, B, I)
    expected = make(p=0.0)(x)
    assert equal(make().eval()(x), expected)
    assert equal(make().train(False)(x), expected)
    net = make()
    net.dropout = 0
    assert equal(net(x), expected)
    with pytest.warns(UserWarning, match="dropout option"):
        single = make(1)
    assert equal(single(x), make(1, 0.0)(x))


def test_what_draws_nothing():
    """eval, p = 0, p = 1 and one layer leave the stream where it was."""
    net, others, x = make(), [make(p=0), make(p=1), make(1, 0)], draw(T, B, I)
    crnn.manual_seed(2)
    expected = net(x)
    crnn.manual_seed(2)
    for other in net.eval(), *others:
        other(x)
    assert equal(net.train()(x), expected)


def test_p_1_gives_zeros():
    net, x = make(p=1.0), draw(T, B, I)
    results = net(x)
    net.eval().weight_ih_l1[:] = 0
    assert equal(results, net(x))
    net.train().bias_ih_l0[0] = np.inf
    net.mode = "RNN_RELU"
    assert np.isnan(net(x)[0]).all()  # inf * 0


def test_masks_do_not_move_the_stream_of_parameters():
    crnn.manual_seed(4)
    net = crnn.RNN(I, H, 2, dropout=P)
    expected = crnn.RNN(I, H)
    crnn.manual_seed(4)
    net = crnn.RNN(I, H, 2, dropout=P)
    net(draw(T, B, I))
    for a, b in zip(crnn.RNN(I, H).parameters(), expected.parameters(), strict=True):
        assert same_bits(a, b)


def test_unbatched_is_a_batch_of_one():
    net, x = make(3), draw(T, I)
    crnn.manual_seed(1)
    alone = net(x)
    crnn.manual_seed(1)
    batch = net(x[:, None])
    assert equal(alone, (batch[0][:, 0], batch[1][:, 0]))


@pytest.mark.parametrize("batch_first", [False, True], ids=["TBI", "BTI"])
def test_lengths(batch_first, isa):
    """Rows of a ragged batch are dropped out too; padding stays zero."""
    net = see_through(batch_first=batch_first)
    x = np.zeros((B, T, I) if batch_first else (T, B, I), np.float32)
    lengths = np.array([1, 5, 3, 5, 2, 4, 1])
    output, h_n = net(x, lengths=lengths)
    output = output.swapaxes(0, 1) if batch_first else output
    alive = np.arange(T)[:, None] < lengths
    assert not output[~alive].any()
    assert abs((output[alive] == 0).mean() - P) < 0.1
    assert (h_n[0] == 1).all()
    assert same_bits(h_n[1], output[lengths - 1, np.arange(B)])


def test_two_directions_are_dropped_apart():
    net = see_through(bidirectional=True)
    net.weight_ih_l1_reverse[:] = np.roll(net.weight_ih_l1_reverse, H, axis=1)
    output, _ = net(np.zeros((20, B, I), np.float32))
    forward, reverse = output[..., :H] == 0, output[..., H:] == 0
    for dropped in forward, reverse:
        assert abs(dropped.mean() - P) < 0.05
    assert abs((forward & reverse).mean() - P * P) < 0.05
