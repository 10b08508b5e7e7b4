"""Every combination of arguments against the reference and against torch."""

import numpy as np
import pytest
from faults import Packed
from reference import assert_close, packing, reference_of
from shapes import draw

import crnn

T, B, I, H = 4, 3, 3, 9  # noqa: E741
LENGTHS = [2, 4, 1]
KINDS = ("batched", "unbatched", "ragged", "packed")


def product(test):
    """Parametrise over all options of the network and all kinds of input."""
    axes = {
        "kind": KINDS,
        "dtype": ("float32", "float64"),
        "hx": {"zeros": False, "hx": True},
        "layers": {f"L{n}": n for n in (1, 2, 3)},
        "bidirectional": {"D1": False, "D2": True},
        "batch_first": {"TBI": False, "BTI": True},
        "bias": {"unbiased": False, "bias": True},
        "nonlinearity": ("tanh", "relu"),
    }
    for name, values in axes.items():
        ids, values = (
            (values, values)
            if isinstance(values, tuple)
            else zip(*values.items(), strict=True)
        )
        test = pytest.mark.parametrize(name, values, ids=ids)(test)
    return test


def make(nonlinearity, bias, batch_first, bidirectional, layers, hx, dtype, kind):
    """The network and its arguments x, hx (or None), lengths (or None)."""
    crnn.manual_seed(layers)
    options = {"batch_first": batch_first, "bidirectional": bidirectional}
    net = crnn.RNN(I, H, layers, nonlinearity, bias, dtype=dtype, **options).eval()
    rows = () if kind == "unbatched" else (B,)
    x = draw(T, *rows, I, dtype=dtype)
    if batch_first and rows:
        x = x.swapaxes(0, 1)
    D = 2 if bidirectional else 1
    h0 = draw(layers * D, *rows, H, dtype=dtype, seed=1) if hx else None
    return net, x, h0, LENGTHS if kind in ("ragged", "packed") else None


def run_packed(net, x, h0):
    """Pack x, run it, and pad the output again."""
    batch_sizes, order, index = packing(LENGTHS)
    index = index[::-1] if net.batch_first else index
    packed = Packed(x[index], batch_sizes, order, np.argsort(order))
    result, h_n = net(packed, h0)
    output = np.zeros((*x.shape[:2], result.data.shape[1]), x.dtype)
    output[index] = result.data
    return output, h_n


@product
def test_reference(
    nonlinearity, bias, batch_first, bidirectional, layers, hx, dtype, kind
):
    net, x, h0, lengths = make(
        nonlinearity, bias, batch_first, bidirectional, layers, hx, dtype, kind
    )
    if kind == "packed":
        results = run_packed(net, x, h0)
    else:
        results = net(x, h0, lengths=lengths)
    expected = reference_of(net, x, h0, lengths)
    for result, right in zip(results, expected, strict=True):
        assert type(result) is np.ndarray and result.dtype == dtype
        assert_close(result, right)


@product
def test_torch(
    torch, nonlinearity, bias, batch_first, bidirectional, layers, hx, dtype, kind
):
    net, x, h0, lengths = make(
        nonlinearity, bias, batch_first, bidirectional, layers, hx, dtype, kind
    )
    options = {"batch_first": batch_first, "bidirectional": bidirectional}
    options["dtype"] = getattr(torch, dtype)
    oracle = torch.nn.RNN(I, H, layers, nonlinearity, bias, **options)
    state = {name: torch.from_numpy(a) for name, a in net.state_dict().items()}
    oracle.load_state_dict(state)
    rnn = torch.nn.utils.rnn
    x, h0 = torch.from_numpy(x), None if h0 is None else torch.from_numpy(h0)
    with torch.no_grad():
        if lengths is None:
            results, expected = net(x, h0), oracle(x, h0)
        else:
            packed = rnn.pack_padded_sequence(x, lengths, batch_first, False)
            right, expected_h_n = oracle(packed, h0)
            if kind == "packed":
                result, h_n = net(packed, h0)
                assert type(result) is rnn.PackedSequence
                results, expected = (result.data, h_n), (right.data, expected_h_n)
            else:
                results = net(x, h0, lengths=torch.tensor(lengths))
                padded, _ = rnn.pad_packed_sequence(right, batch_first, total_length=T)
                expected = padded, expected_h_n
    for result, right in zip(results, expected, strict=True):
        assert type(result) is torch.Tensor and result.dtype == right.dtype
        assert_close(result, right.numpy())
