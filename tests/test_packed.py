"""The contract's section 3: packed sequences, of torch and of four fields in NumPy."""

import numpy as np
import pytest
from faults import Packed, same_bits
from reference import assert_close, packing, reference_of
from shapes import draw

import crnn

I, H = 3, 4  # noqa: E741
LENGTHS = {
    "unsorted": [2, 5, 1, 5, 3],
    "sorted": [5, 5, 3, 2, 1],
    "one": [3],
    "equal": [4, 4],
}
SINGLE_STEPS = [1, 1, 1]
lengths_of_all_kinds = pytest.mark.parametrize(
    "lengths", [*LENGTHS.values(), SINGLE_STEPS], ids=[*LENGTHS, "single steps"]
)


def make(layers=2, bidirectional=True, **options):
    crnn.manual_seed(0)
    options["bidirectional"] = bidirectional
    return crnn.RNN(I, H, layers, **options).eval()


def pack(x, lengths, unsorted=True):
    """A pack of x (T, B, I); without indices when its rows are already sorted."""
    batch_sizes, order, index = packing(lengths)
    indices = (order, np.argsort(order)) if unsorted else (None, None)
    return Packed(x[index], batch_sizes, *indices), index


@lengths_of_all_kinds
@pytest.mark.parametrize("batch_first", [False, True], ids=["TBI", "BTI"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays(dtype, batch_first, lengths, isa):
    """As every sample alone, states in the caller's order; batch_first is ignored."""
    net = make(batch_first=batch_first, dtype=dtype)
    B = len(lengths)
    x, hx = draw(5, B, I, dtype=dtype), draw(4, B, H, dtype=dtype, seed=1)
    packed, index = pack(x, lengths, unsorted=lengths != sorted(lengths)[::-1])
    for state in None, hx:
        result, h_n = net(packed, state)
        assert type(result) is Packed
        for field in "batch_sizes", "sorted_indices", "unsorted_indices":
            assert getattr(result, field) is getattr(packed, field)
        assert type(result.data) is np.ndarray and result.data.flags.c_contiguous
        assert result.data.flags.writeable and h_n.flags.c_contiguous
        for b, n in enumerate(lengths):
            alone = net(x[:n, b], None if state is None else state[:, b])
            assert same_bits(h_n[:, b], alone[1])
            assert same_bits(result.data[index[1] == b], alone[0])
        net.batch_first = False
        y, expected = reference_of(net, x, state, lengths)
        net.batch_first = batch_first
        assert_close(result.data, y[index])
        assert_close(h_n, expected)


@lengths_of_all_kinds
def test_torch(torch, lengths):
    """torch's own object in, torch's own object out, with torch's values."""
    rnn, net = torch.nn.utils.rnn, make()
    oracle = torch.nn.RNN(I, H, 2, bidirectional=True)
    state = {name: torch.from_numpy(a) for name, a in net.state_dict().items()}
    oracle.load_state_dict(state)
    x = torch.from_numpy(draw(max(lengths), len(lengths), I))
    hx = torch.from_numpy(draw(4, len(lengths), H, seed=1))
    packs = [rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)]
    if lengths == sorted(lengths)[::-1]:
        packs.append(rnn.pack_padded_sequence(x, lengths))
    for packed in packs:
        for arguments in (packed,), (packed, hx):
            with torch.no_grad():
                right, right_h_n = oracle(*arguments)
            result, h_n = net(*arguments)
            assert type(result) is rnn.PackedSequence
            for field in "batch_sizes", "sorted_indices", "unsorted_indices":
                assert getattr(result, field) is getattr(packed, field)
            assert_close(result.data, right.data.numpy())
            assert_close(h_n, right_h_n.numpy())
            padded, _ = rnn.pad_packed_sequence(result)
            y, states = net(x, *arguments[1:], lengths=torch.tensor(lengths))
            assert torch.equal(padded, y) and torch.equal(h_n, states)


def test_data_of_any_strides_and_batch_sizes_of_any_strides():
    net, lengths = make(), LENGTHS["unsorted"]
    packed, _ = pack(draw(5, 5, I), lengths)
    expected, h_n = net(packed)
    data = np.repeat(packed.data[::-1], 2, axis=1)[::-1, ::2]
    sizes = np.repeat(packed.batch_sizes, 2)[::2]  # torch reads it as if contiguous
    assert not data.flags.c_contiguous and not sizes.flags.c_contiguous
    for other in packed._replace(data=data), packed._replace(batch_sizes=sizes):
        result, states = net(other)
        assert same_bits(result.data, expected.data) and same_bits(states, h_n)


def test_empty_packs():
    """batch_sizes [0], or zeros at the end, are accepted."""
    net = make()
    empty = Packed(np.zeros((0, I), np.float32), np.array([0]), None, None)
    result, h_n = net(empty)
    assert result.data.shape == (0, 2 * H) and h_n.shape == (4, 0, H)
    packed, _ = pack(draw(5, 5, I), LENGTHS["unsorted"])
    sizes = np.append(packed.batch_sizes, [0, 0])
    expected, states = net(packed)
    result, h_n = net(packed._replace(batch_sizes=sizes))
    assert same_bits(result.data, expected.data) and same_bits(h_n, states)


def test_unsorted_indices_none_is_derived():
    """As by the constructor of torch's class."""
    net = make()
    packed, _ = pack(draw(5, 5, I), LENGTHS["unsorted"])
    hx = draw(4, 5, H)
    _, h_n = net(packed._replace(unsorted_indices=None), hx)
    assert same_bits(h_n, net(packed, hx)[1])


def test_dropout_is_drawn_on_the_packed_rows():
    net = make(dropout=1.0)
    packed, _ = pack(draw(5, 5, I), LENGTHS["unsorted"])
    whole, h_whole = net(packed)
    dropped, h_dropped = net.train()(packed)
    assert same_bits(h_dropped[:2], h_whole[:2])  # before dropout
    assert not same_bits(dropped.data, whole.data)
    net.eval()
    net.weight_ih_l1[:] = net.weight_ih_l1_reverse[:] = 0
    expected, h_n = net(packed)
    assert same_bits(dropped.data, expected.data) and same_bits(h_dropped, h_n)


def wrong(**fields):
    """A pack of three rows with some fields replaced."""
    packed, _ = pack(draw(3, 3, I), [1, 3, 2])
    return packed._replace(**fields)


def int64(*values):
    return np.array(values, np.int64)


def test_wrong_packs_are_refused():
    """Where torch raises, and where it is silent: crnn raises."""
    net, hx = make(), draw(4, 3, H)
    data = wrong().data
    bad = {
        "too few rows": wrong(data=data[:-1]),
        "surplus rows": wrong(data=np.concatenate([data, data])),
        "increasing": wrong(batch_sizes=int64(2, 3, 1)),
        "negative": wrong(batch_sizes=int64(3, 2, 1, -1)),
        "2-D": wrong(batch_sizes=int64([3, 2, 1])),
        "no steps": wrong(batch_sizes=int64()),
        "floats": wrong(batch_sizes=np.array([3.0, 2.0, 1.0])),
        "features": wrong(data=draw(6, I + 1)),
        "3-D data": wrong(data=data[:, None]),
        "1-D data": wrong(data=data[:, 0].copy()),
        "dtype": wrong(data=data.astype(np.float64)),
        "shorter order": wrong(sorted_indices=int64(1, 2)),
        "longer order": wrong(unsorted_indices=int64(2, 0, 1, 3)),
        "repeated order": wrong(sorted_indices=int64(1, 1, 0)),
        "order out of range": wrong(unsorted_indices=int64(2, 0, 3)),
    }
    expected = net(wrong(), hx)
    for name, packed in bad.items():
        for arguments in (packed,), (packed, hx):
            with pytest.raises((ValueError, RuntimeError)):
                net(*arguments)
                pytest.fail(name)
        result, h_n = net(wrong(), hx)
        assert same_bits(result.data, expected[0].data) and same_bits(h_n, expected[1])
    with pytest.raises(TypeError):
        net(tuple(wrong()))  # a plain tuple is no pack


@pytest.mark.parametrize("unsorted", [True, False], ids=["unsorted", "sorted"])
def test_wrong_hx_is_refused(torch, unsorted):
    """torch cuts a wide one in silence; crnn says row 9 of the contract."""
    lengths = LENGTHS["unsorted" if unsorted else "sorted"]
    net, oracle = make(), torch.nn.RNN(I, H, 2, bidirectional=True)
    packed, _ = pack(draw(5, 5, I), lengths, unsorted)
    tensors = torch.nn.utils.rnn.PackedSequence(
        *(None if f is None else torch.from_numpy(f) for f in packed)
    )
    for shape in (4, 6, H), (4, 4, H), (4, 1, H), (3, 5, H), (4, 5, H + 1):
        hx = draw(*shape)
        text = f"Expected hidden size {(4, 5, H)}, got {list(shape)}"
        with pytest.raises(crnn.ShapeError) as caught:
            net(packed, hx)
        assert str(caught.value) == text
        if not unsorted or shape[1] == 5:
            with pytest.raises(RuntimeError) as caught:
                oracle(tensors, torch.from_numpy(hx))
            assert str(caught.value) == text
    for shape in (5, H), (4,), ():
        with pytest.raises(crnn.ShapeError):
            net(packed, draw(*shape))
    with pytest.raises(TypeError):
        net(packed, (draw(4, 5, H),))


def test_dtype_and_feature_size_say_rows_6_and_8(torch):
    net = make()
    with pytest.raises(crnn.DTypeError, match=r"^RNN input dtype \(float64\) does not"):
        net(wrong(data=draw(6, I, dtype="float64")))
    text = f"input.size(-1) must be equal to input_size. Expected {I}, got {I + 1}"
    with pytest.raises(crnn.ShapeError) as caught:
        net(wrong(data=draw(6, I + 1)))
    assert str(caught.value) == text
    with pytest.raises(crnn.ShapeError) as caught:
        net(wrong(data=draw(6, 1, I)))
    assert str(caught.value) == "input must have 2 dimensions, got 3"
    with pytest.raises(crnn.DTypeError, match="mat1 and mat2 must have the same dtype"):
        net(wrong(), draw(4, 3, H, dtype="float64"))


def test_lengths_and_packs_exclude_each_other():
    with pytest.raises((TypeError, ValueError)):
        make()(wrong(), lengths=[1, 3, 2])
