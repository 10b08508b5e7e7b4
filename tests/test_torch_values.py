"""crnn.torch against torch itself: values and gradients, element by element."""

import itertools

import pytest
from twins import (
    assert_near,
    assert_same_gradients,
    counted,
    every_cell,
    loss_of,
    plain_tensors,
    twins,
)

I, H, T, B = 3, 4, 5, 2  # noqa: E741

OPTIONS = [
    {
        "num_layers": layers,
        "nonlinearity": nonlinearity,
        "bias": bias,
        "batch_first": batch_first,
        "bidirectional": bidirectional,
    }
    for nonlinearity, layers, bias, batch_first, bidirectional in itertools.product(
        ["tanh", "relu"], [1, 2, 3], [True, False], [False, True], [False, True]
    )
]


def inputs_of(torch, net, dtype):
    """(input, hx) of every layout, by name."""
    x = torch.randn(T, B, I, dtype=dtype)
    states = net.num_layers * (1 + net.bidirectional)
    hx = torch.randn(states, B, H, dtype=dtype)
    rows = x.transpose(0, 1) if net.batch_first else x
    pack = torch.nn.utils.rnn.pack_padded_sequence
    return {
        "batched": (rows, hx),
        "unbatched": (x[:, 0], hx[:, 0]),
        "sorted": (pack(x, [5, 3]), hx),
        "unsorted": (pack(x, [2, 5], enforce_sorted=False), hx),
        "one step": (rows[:, :1] if net.batch_first else rows[:1], hx),
    }


def leaf(value):
    """A copy that needs a gradient; of a packed sequence, one whose data does."""
    if hasattr(value, "batch_sizes"):
        return value._replace(data=leaf(value.data))
    return value.detach().clone().requires_grad_()


def check(net, given, hx):
    """The results, and the tensors whose gradients a loss of them has filled."""
    net.zero_grad()
    x, h = leaf(given), None if hx is None else leaf(hx)
    results = net(x, h)
    loss_of(results).backward()
    return results, [*plain_tensors(x), *([] if h is None else [h]), *net.parameters()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: "-".join(map(str, o.values()))
)
def test_every_option_and_layout(torch, options, dtype):
    torch.manual_seed(1)
    plain, ours = twins(I, H, **options, dtype=getattr(torch, dtype))
    for given, hx in inputs_of(torch, plain, getattr(torch, dtype)).values():
        for h in None, hx:
            right, tensors = check(plain, given, h)
            with counted() as made:
                results, mine = check(ours, given, h)
            assert len(made) == 1
            assert type(results) is tuple and type(results[0]) is type(right[0])
            pairs = zip(plain_tensors(results), plain_tensors(right), strict=True)
            for result, value in pairs:
                assert_near(result, value)
                assert result.stride() == value.stride() and result.requires_grad
            assert_same_gradients(mine, tensors)
            with torch.no_grad(), counted() as made:
                quick = ours(given, h)
            assert len(made) == 1
            for a, b in zip(plain_tensors(quick), plain_tensors(results), strict=True):
                assert torch.equal(a, b) and not a.requires_grad


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [None, 1, 7, 40])
def test_cell(torch, nonlinearity, bias, dtype, rows):
    dtype = getattr(torch, dtype)
    plain, ours = twins(
        I, H, bias, kind="RNNCell", nonlinearity=nonlinearity, dtype=dtype
    )
    shape = [] if rows is None else [rows]
    x, hx = torch.randn(*shape, I, dtype=dtype), torch.randn(*shape, H, dtype=dtype)
    for h in None, hx:
        right, tensors = check(plain, x, h)
        with counted() as made, every_cell():
            result, mine = check(ours, x, h)
        assert len(made) == (rows is not None)
        assert_near(result, right)
        assert_same_gradients(mine, tensors)
        with torch.no_grad(), every_cell():
            assert torch.equal(ours(x, h), result)
        assert torch.equal(ours(x, h), right)  # that small a cell is torch's to compute


@pytest.mark.parametrize("bidirectional", [False, True])
def test_golden_relations(torch, bidirectional):
    """The last states are in the output, bit for bit."""
    _, ours = twins(I, H, bidirectional=bidirectional)
    output, h_n = ours(torch.randn(T, B, I))
    assert torch.equal(h_n[0], output[-1, :, :H])
    if bidirectional:
        assert torch.equal(h_n[1], output[0, :, H:])


def test_any_strides(torch):
    plain, ours = twins(I, H, 2)
    x, hx = torch.randn(T, B, I), torch.randn(2, B, H)
    views = [
        (x.transpose(0, 1).contiguous().transpose(0, 1), hx),
        (x.repeat_interleave(2, 2)[:, :, ::2], hx),
        (torch.cat([x, x], 1)[:, :B], hx.transpose(1, 2).contiguous().transpose(1, 2)),
        (x[:, :1].expand(T, B, I), hx[:, :1].expand(2, B, H)),
        (x.flip(0), hx.repeat_interleave(2, 2)[:, :, ::2]),
        (torch.nn.Parameter(x), torch.nn.Parameter(hx)),
    ]
    for given, h in views:
        right, tensors = check(plain, given, h)
        with counted() as made:
            output, h_n = ours(given, h)
            results, mine = check(ours, given, h)
        assert len(made) == 2 and type(output) is torch.Tensor
        for result, value in zip(results, right, strict=True):
            assert_near(result, value)
        assert_same_gradients(mine, tensors)
        assert torch.equal(output, results[0]) and torch.equal(h_n, results[1])


def test_weights_of_any_strides(torch):
    plain, ours = twins(I, H)
    x = torch.randn(T, B, I)
    for net in plain, ours:
        net.weight_hh_l0.data = torch.ones(H, 2 * H).cumsum(1)[:, ::2].cos()
        net.weight_ih_l0.data = torch.ones(I, H).cumsum(0).sin().t()
    with counted() as made:
        right, tensors = check(plain, x, None)
        results, mine = check(ours, x, None)
    assert len(made) == 2  # backward sees edits of what had to be copied
    assert_near(results[0], right[0])
    for mine_, other in zip(mine, tensors, strict=True):
        assert_near(mine_.grad, other.grad)


def test_nothing_is_written_or_shared(torch):
    _, ours = twins(I, H, 2, batch_first=True)
    x, hx = torch.randn(B, T, I), torch.randn(2, B, H)
    before = x.clone(), hx.clone()
    output, h_n = ours(x, hx)
    tensors = output, h_n, x, hx, *ours.parameters()
    assert len({t.untyped_storage().data_ptr() for t in tensors}) == len(tensors)
    loss_of((output, h_n)).backward()
    assert torch.equal(x, before[0]) and torch.equal(hx, before[1])


def test_packed_sequences_keep_their_index_objects(torch):
    _, ours = twins(I, H)
    x = torch.randn(T, B, I)
    given = torch.nn.utils.rnn.pack_padded_sequence(x, [2, 5], enforce_sorted=False)
    result, _ = ours(given)
    assert type(result) is type(given) and result.data.is_contiguous()
    for field in "batch_sizes", "sorted_indices", "unsorted_indices":
        assert getattr(result, field) is getattr(given, field)


def test_torchs_generator_gives_torchs_numbers(torch):
    """Contract, section 7."""
    import crnn.torch

    torch.manual_seed(0)
    ours = crnn.torch.RNN(2, 3)
    given = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 2)])
    rows = [[-0.0645, -0.7274, 0.4531], [-0.3970, -0.6950, 0.6009]]
    rows.append([-0.3877, -0.7310, 0.6806])
    assert torch.allclose(ours(given)[0].data, torch.tensor(rows), atol=1e-4)


def test_long_and_wide(torch):
    """Sizes at which the core divides its work among threads."""
    for sizes in (64, 2, 30, 64), (40, 33, 17, 96):
        T, B, I, H = sizes  # noqa: E741
        plain, ours = twins(I, H, 2, bidirectional=True)
        x = torch.randn(T, B, I)
        right, tensors = check(plain, x, None)
        results, mine = check(ours, x, None)
        assert_near(results[0], right[0])
        assert_same_gradients(mine, tensors)
