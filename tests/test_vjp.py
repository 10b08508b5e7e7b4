"""rnn.vjp and RNNCell.vjp against the reference's gradients, torch and differences."""

import itertools

import numpy as np
import pytest
from faults import both_dtypes
from reference import assert_gradient, gradients_of
from shapes import draw
from test_golden import case

import crnn

T, B, I, H = 5, 4, 3, 9  # noqa: E741
LENGTHS = [2, 5, 1, 4]
KINDS = ("batched", "unbatched", "ragged")
both_modes = pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])


def arguments(net, kind, dtype, seed=0):
    """x, hx and lengths (or None) of a call, and gradients of its results."""
    D = 2 if net.bidirectional else 1
    rows = () if kind == "unbatched" else (B,)
    x = draw(T, *rows, I, dtype=dtype, seed=seed)
    d_output = draw(T, *rows, D * H, dtype=dtype, seed=seed + 1)
    if net.batch_first and rows:
        x, d_output = x.swapaxes(0, 1), d_output.swapaxes(0, 1)
    shape = net.num_layers * D, *rows, H
    hx, d_h_n = (draw(*shape, dtype=dtype, seed=seed + n) for n in (2, 3))
    return x, hx, LENGTHS if kind == "ragged" else None, d_output, d_h_n


OPTIONS = [
    {"bias": bias, "batch_first": batch_first, "bidirectional": two, "num_layers": n}
    for bias, batch_first, two, n in itertools.product(
        (True, False), (False, True), (False, True), (1, 2, 3)
    )
]


@both_dtypes
@both_modes
@pytest.mark.parametrize("kind", KINDS)
def test_reference(kind, nonlinearity, dtype):
    for options in OPTIONS:
        crnn.manual_seed(1)
        net = crnn.RNN(I, H, nonlinearity=nonlinearity, dtype=dtype, **options)
        x, hx, lengths, d_output, d_h_n = arguments(net, kind, dtype)
        output, h_n, pullback = net.vjp(x, hx, lengths=lengths)
        again = net(x, hx, lengths=lengths)
        assert output.tobytes() == again[0].tobytes()
        assert h_n.tobytes() == again[1].tobytes()
        found = pullback(d_output, d_h_n)
        right = gradients_of(net, x, hx, lengths, d_output, d_h_n)
        assert list(found) == ["input", "hx", *net.state_dict()]
        for name, value in found.items():
            assert value.dtype == dtype and type(value) is np.ndarray
            assert_gradient(value, right[name])


@both_dtypes
@both_modes
@pytest.mark.parametrize("kind", KINDS)
def test_torch(torch, kind, nonlinearity, dtype):
    rnn = torch.nn.utils.rnn
    for options in OPTIONS:
        crnn.manual_seed(1)
        net = crnn.RNN(I, H, nonlinearity=nonlinearity, dtype=dtype, **options)
        oracle = net.to_torch()
        x, hx, lengths, d_output, d_h_n = arguments(net, kind, dtype)
        *_, pullback = net.vjp(x, hx, lengths=lengths)
        found = pullback(d_output, d_h_n)
        x, hx, d_output, d_h_n = map(torch.from_numpy, (x, hx, d_output, d_h_n))
        inputs = [x.requires_grad_(), hx.requires_grad_(), *oracle.parameters()]
        if lengths is None:
            output, h_n = oracle(x, hx)
        else:
            first = net.batch_first
            packed = rnn.pack_padded_sequence(x, lengths, first, False)
            output, h_n = oracle(packed, hx)
            output, _ = rnn.pad_packed_sequence(output, first, total_length=T)
        loss = (output * d_output).sum() + (h_n * d_h_n).sum()
        right = torch.autograd.grad(loss, inputs)
        for value, gradient in zip(found.values(), right, strict=True):
            assert_gradient(value, gradient.numpy())


# Sums of gradients of the loss output.sum() + 2 * h_n.sum(): contract, section 7.
GOLDEN = {
    "A": "-1.01608226067 1.61505760831 15.3996589552 -0.0561954818757 37.8375682724",
    "B": "1.95409700455 2.10774191033 5.26469506989 17.8647723667 28.1865225223",
    "C": "-21.5635488944 0.74341332988 25.4491464675 -0.387654441498 58.7015601016",
    "D": "18.0726561231 -3.15750964275 9.1717202518 17.8750493905",
}
LAYERS = {  # the other layers and directions: weight_ih, weight_hh, bias
    "C": {
        "l0_reverse": "-6.03906956659 -1.75109165928 -35.877087905",
        "l1": "2.89116407379 -10.0760397433 24.5086780259",
        "l1_reverse": "4.54514607874 -12.0338445255 43.6118938324",
    },
    "D": {
        "l0_reverse": "19.070006087 -1.69763279241",
        "l1": "19.8442196507 0.323197364969",
        "l1_reverse": "47.6168616215 16.2806595869",
    },
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name, isa):
    net, x, h0 = case(name)
    output, h_n, pullback = net.vjp(x, h0)
    found = pullback(np.ones_like(output), np.full_like(h_n, 2))

    def check(names, text):
        sums = [found[n].sum() for n in names if n in found]
        np.testing.assert_allclose(sums, [float(v) for v in text.split()], rtol=1e-11)

    kinds = "weight_ih_", "weight_hh_", "bias_ih_"
    check(("input", "hx", *(k + "l0" for k in kinds)), GOLDEN[name])
    for suffix, text in LAYERS.get(name, {}).items():
        check([k + suffix for k in kinds], text)


@both_modes
@pytest.mark.parametrize("kind", KINDS)
def test_finite_differences(kind, nonlinearity):
    crnn.manual_seed(2)
    net = crnn.RNN(I, H, 2, nonlinearity, bidirectional=True, dtype="float64")
    x, hx, lengths, d_output, d_h_n = arguments(net, kind, "float64")

    def loss():
        output, h_n = net(x, hx, lengths=lengths)
        return (output * d_output).sum() + (h_n * d_h_n).sum()

    *_, pullback = net.vjp(x.copy(), hx.copy(), lengths=lengths)
    found = pullback(d_output, d_h_n)
    arrays = {"input": x, "hx": hx, **net.state_dict()}
    rng = np.random.default_rng(0)
    for name, array in arrays.items():
        for _ in range(5):
            place = tuple(rng.integers(n) for n in array.shape)
            kept, step = array[place], 1e-6
            array[place] = kept + step
            above = loss()
            array[place] = kept - step
            slope = (above - loss()) / (2 * step)
            array[place] = kept
            np.testing.assert_allclose(found[name][place], slope, rtol=1e-6, atol=1e-7)


@both_dtypes
def test_dropout_uses_the_masks_of_its_call(torch, dtype):
    """Against torch on layers with the masks, read off the outputs, between them."""
    crnn.manual_seed(3)
    net = crnn.RNN(I, H, 2, dropout=0.5, dtype=dtype)
    x = draw(T, B, I, dtype=dtype)
    masks = crnn.random.dropout_masks(1, (T, B, H), np.dtype(dtype), 0.5)
    output, _, tape = net._record(x, masks=masks)
    found = tape.pullback(np.ones_like(output), None, (True, False) + 8 * (True,))
    *_, tape = net._record(x, None, None, None, (masks[0].copy(),), **{})
    again = tape.pullback(np.ones_like(output), None, (True, False) + 8 * (True,))
    assert [a is None or a.tobytes() for a in again] == [
        a is None or a.tobytes() for a in found
    ]
    layers = [torch.nn.RNN(n, H, dtype=getattr(torch, dtype)) for n in (I, H)]
    state = {n: torch.from_numpy(a) for n, a in net.state_dict().items()}
    for k, layer in enumerate(layers):
        layer.load_state_dict(
            {n.replace(f"_l{k}", "_l0"): a for n, a in state.items() if f"_l{k}" in n}
        )
    tensor = torch.from_numpy(x).requires_grad_()
    y, _ = layers[0](tensor)
    y, _ = layers[1](y * torch.from_numpy(masks[0]))
    parameters = [p for layer in layers for p in layer.parameters()]
    right = torch.autograd.grad(y.sum(), [tensor, *parameters])
    assert_gradient(output, y.detach().numpy())
    for value, gradient in zip([found[0], *found[2:]], right, strict=True):
        assert_gradient(value, gradient.numpy())


@both_dtypes
@both_modes
@pytest.mark.parametrize("rows", [(), (1,), (7,)], ids=str)
def test_cell(torch, rows, nonlinearity, dtype):
    for bias in True, False:
        crnn.manual_seed(4)
        cell = crnn.RNNCell(I, H, bias, nonlinearity, dtype=dtype)
        oracle = cell.to_torch()
        x, hx, d_h = (
            draw(*rows, n, dtype=dtype, seed=n + s) for s, n in enumerate((I, H, H))
        )
        for state in hx, None:
            h, pullback = cell.vjp(x, state)
            assert h.tobytes() == cell(x, state).tobytes()
            found = pullback(d_h)
            tensors = [
                torch.from_numpy(a).requires_grad_()
                for a in (x, state)
                if a is not None
            ]
            loss = (oracle(*tensors) * torch.from_numpy(d_h)).sum()
            right = torch.autograd.grad(loss, [*tensors, *oracle.parameters()])
            assert ("hx" in found) is (state is not None)
            for value, gradient in zip(found.values(), right, strict=True):
                assert_gradient(value, gradient.numpy())


def test_truncated_backpropagation_through_time():
    """Chunks whose states are passed on, and their gradients back, are the whole."""
    crnn.manual_seed(5)
    net = crnn.RNN(I, H, 2, dtype="float64")
    x, d_output = draw(12, B, I, dtype="float64"), draw(12, B, H, dtype="float64")
    whole = net.vjp(x)[2](d_output)
    pullbacks, h = [], np.zeros((2, B, H))
    for t in range(0, 12, 4):
        _, h, pullback = net.vjp(x[t : t + 4], h)
        pullbacks.append(pullback)
    total, d_h = dict.fromkeys(net.state_dict(), 0), None
    for t, pullback in zip((8, 4, 0), reversed(pullbacks), strict=True):
        found = pullback(d_output[t : t + 4], d_h)
        d_h = found["hx"]
        np.testing.assert_allclose(
            found["input"], whole["input"][t : t + 4], rtol=1e-10
        )
        total = {name: value + found[name] for name, value in total.items()}
    for name, value in total.items():
        np.testing.assert_allclose(value, whole[name], rtol=1e-10, atol=1e-12)


@both_dtypes
def test_plain_arrays_go_to_the_core_at_once(dtype):
    """And give what those do that are looked at first."""
    net = crnn.RNN(I, H, 2, dtype=dtype)
    x, hx, _, d_output, d_h_n = arguments(net, "batched", dtype)
    direct, other = net.vjp(x, hx), net.vjp(x, hx, lengths=[T] * B)
    assert net._record_directly(x, hx) and not net._record_directly(x.tolist(), hx)
    for a, b in zip(direct[:2], other[:2], strict=True):
        assert a.tobytes() == b.tobytes()
    for given in ((), (d_output,), (None, d_h_n), (d_output, d_h_n)):
        found, right = direct[2](*given), other[2](*given)
        assert list(found) == list(right)
        assert all(found[n].tobytes() == right[n].tobytes() for n in found)
    assert "hx" not in net.vjp(x)[2]()


@both_dtypes
@pytest.mark.parametrize("kind", KINDS)
def test_rows_wherever_they_lie(kind, dtype, isa):
    """The same bits from inputs far apart, backwards or of every other element."""
    crnn.manual_seed(6)
    net = crnn.RNN(I, H, 2, bidirectional=True, dtype=dtype)
    x, hx, lengths, d_output, d_h_n = arguments(net, kind, dtype)
    far = np.zeros((*x.shape[:-1], 2000), dtype)
    far[..., :I], far[..., 7 : 7 + 2 * I : 2] = x, x
    backwards = x[::-1].copy()[::-1]
    right = net.vjp(x, hx, lengths=lengths)[2](d_output, d_h_n)
    for same in far[..., :I], far[..., 7 : 7 + 2 * I : 2], backwards:
        found = net.vjp(same, hx, lengths=lengths)[2](d_output, d_h_n)
        for name, value in found.items():
            assert value.tobytes() == right[name].tobytes(), name


def test_tensors_in_and_out(torch):
    net = crnn.RNN(I, H, 2).eval()
    x, hx = torch.randn(T, B, I), torch.randn(2, B, H)
    output, h_n, pullback = net.vjp(x, hx)
    assert type(output) is type(h_n) is torch.Tensor
    found = pullback(torch.ones_like(output), d_h_n=torch.ones_like(h_n))
    assert type(found["input"]) is type(found["hx"]) is torch.Tensor
    assert type(found["weight_ih_l0"]) is np.ndarray
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [5, 2, 4, 1], False, False)
    output, h_n, pullback = net.vjp(packed, hx)
    by_pack = pullback(output, h_n)
    padded, d_h_n, pullback = net.vjp(x, hx, lengths=[5, 2, 4, 1])
    by_lengths = pullback(padded, d_h_n)
    for name in "hx", *net.state_dict():
        a, b = (np.asarray(found[name]) for found in (by_pack, by_lengths))
        assert a.tobytes() == b.tobytes(), name
