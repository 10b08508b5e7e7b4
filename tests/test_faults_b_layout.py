"""Faults, group B: memory layout; the number in a test's name is its row."""

import array
import contextlib
import mmap

import numpy as np
import pytest
from faults import (
    B,
    H,
    I,
    T,
    both_dtypes,
    cell,
    check_right,
    check_usable,
    network,
    refused,
    same_bits,
)
from numpy.lib.stride_tricks import as_strided
from shapes import draw

import crnn

OTHER = {"float32": "float64", "float64": "float32"}


def strange_layouts(a):
    """Arrays with the values of a in other memory layouts."""
    ndim = a.ndim
    everywhere = (slice(None, None, -1),) * ndim
    spread = np.zeros([3 * n + 1 for n in a.shape], a.dtype)
    spread[(slice(1, None, 3),) * ndim] = a
    records = np.zeros(a.shape, [("pad", "i4"), ("value", a.dtype), ("tail", "i1")])
    records["value"] = a
    aligned = np.zeros(a.shape, [("value", a.dtype), ("tail", a.dtype)])
    aligned["value"] = a
    shifted = np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:]
    read_only = a.copy()
    read_only.flags.writeable = False
    complex_parts = np.stack([a, a + 1], -1).view(f"c{2 * a.itemsize}")[..., 0]
    return {
        "negative": a[everywhere].copy()[everywhere],
        "fortran": np.asfortranarray(a),
        "transposed": a.transpose(*range(ndim)[::-1]).copy().transpose(),
        "swapped axes": a.swapaxes(0, -1).copy().swapaxes(0, -1),
        "sliced": spread[(slice(1, None, 3),) * ndim],
        "packed record": records["value"],
        "aligned record": aligned["value"],
        "misaligned": shifted.view(a.dtype).reshape(a.shape),
        "read-only": read_only,
        "real part": complex_parts.real,
        "ragged end": np.concatenate([a, a], -1)[..., : a.shape[-1]],
    }


@both_dtypes
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
@pytest.mark.parametrize("kind", list(strange_layouts(np.zeros((1, 1, 1)))))
def test_fault_29_32_33_34_43_layout(kind, bidirectional, dtype, isa):
    net = network(dtype, num_layers=2, bidirectional=bidirectional)
    x = draw(T, B, I, dtype=dtype)
    h0 = draw(4 if bidirectional else 2, B, H, dtype=dtype)
    expected = net(x, h0)
    strange_x, strange_h0 = strange_layouts(x)[kind], strange_layouts(h0)[kind]
    for arguments in (strange_x, h0), (x, strange_h0), (strange_x, strange_h0):
        assert all(map(same_bits, check_right(net, *arguments), expected))
    lengths = [T, 1]
    expected = net(x, h0, lengths=lengths)
    results = net(strange_x, strange_h0, lengths=lengths)
    assert all(map(same_bits, results, expected))
    net.batch_first = True
    result = net(strange_layouts(x.swapaxes(0, 1).copy())[kind], strange_h0)
    assert same_bits(result[0], net(x.swapaxes(0, 1).copy(), h0)[0])


@both_dtypes
@pytest.mark.parametrize("kind", list(strange_layouts(np.zeros((1, 1)))))
def test_fault_29_32_33_34_layout_of_a_cell(kind, dtype):
    net, x, h0 = cell(dtype), draw(B, I, dtype=dtype), draw(B, H, dtype=dtype)
    expected = net(x, h0)
    for arguments in (strange_layouts(x)[kind], h0), (x, strange_layouts(h0)[kind]):
        assert same_bits(net(*arguments), expected)


@both_dtypes
def test_fault_30_zero_strides(dtype):
    net = network(dtype, num_layers=2)
    row, state = draw(I, dtype=dtype), draw(H, dtype=dtype)
    shapes = [(T, B, I), (1, 1, I), (100, 1, I), (1, 100, I)]
    for shape in shapes:
        x, h0 = np.broadcast_to(row, shape), np.broadcast_to(state, (2, shape[1], H))
        results = check_right(net, x, h0)
        assert all(map(same_bits, results, net(x.copy(), h0.copy())))
    constant = np.broadcast_to(np.asarray(0.5, dtype), (T, B, I))
    assert same_bits(net(constant)[0], net(constant.copy())[0])


@both_dtypes
def test_fault_31_overlapping_windows(dtype):
    net, samples = network(dtype), draw(T + B + I, dtype=dtype)
    step = samples.itemsize
    windows = as_strided(samples, (T, B, I), (step, step, step), writeable=False)
    check_right(net, windows)
    assert same_bits(net(windows)[0], net(windows.copy())[0])


@both_dtypes
def test_fault_35_read_only_parameter(dtype):
    """A read-only array's values cannot be assigned; computing still works."""
    net = network(dtype)
    net.weight_ih_l0.flags.writeable = False
    with refused(ValueError, "", net):
        net.weight_ih_l0 = np.zeros((H, I), dtype)
    with refused(ValueError, "", net):
        net.load_state_dict(network(dtype, seed=1).state_dict())
    net.bias_ih_l0 = np.zeros(H, dtype)
    check_right(net, draw(T, B, I, dtype=dtype))


def test_fault_36_array_with_pending_writeback():
    source = draw(T, B, I, dtype="float64")
    flags, cast = [["readwrite", "updateifcopy"]], {"casting": "same_kind"}
    with np.nditer(source, [], flags, op_dtypes=["f4"], **cast) as iterator:
        x = iterator.operands[0]
        assert x.flags.writebackifcopy and x.dtype == np.float32
        check_right(network(), x)


class Hostile(np.ndarray):
    """A subclass that interferes wherever NumPy lets it."""

    mood = "calm"

    def __array_finalize__(self, origin):
        if self.mood == "raise":
            raise KeyError("mine")
        if self.mood == "shrink" and isinstance(origin, np.ndarray):
            with contextlib.suppress(ValueError):
                origin.resize((1,), refcheck=False)

    def __array_wrap__(self, *args):
        raise KeyError("mine")

    def __array_function__(self, *args):
        raise KeyError("mine")

    __array_ufunc__ = None


@both_dtypes
@pytest.mark.parametrize("mood", ["calm", "raise", "shrink"])
def test_fault_37_hostile_subclass(mood, dtype, monkeypatch):
    net, plain, plain_h0 = network(dtype), draw(T, B, I, dtype=dtype), draw(1, B, H)
    plain_h0 = plain_h0.astype(dtype)
    expected = net(plain, plain_h0)
    x, h0 = plain.view(Hostile), plain_h0.view(Hostile)
    monkeypatch.setattr(Hostile, "mood", mood)
    for arguments in (x, plain_h0), (plain, h0), (x, h0):
        with contextlib.suppress(KeyError):
            results = net(*arguments)
            assert [type(r) for r in results] == [np.ndarray] * 2
            assert all(map(same_bits, results, expected))
        check_usable(net)
    with contextlib.suppress(KeyError, ValueError):
        net.weight_hh_l0 = draw(H, H, dtype=dtype).view(Hostile)
    assert type(net.weight_hh_l0) is np.ndarray
    check_usable(net)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@both_dtypes
def test_fault_37_matrix(dtype):
    net, x = network(dtype), draw(T, I, dtype=dtype)
    results = net(np.matrix(x))
    assert [type(r) for r in results] == [np.ndarray] * 2
    assert all(map(same_bits, results, net(x)))


def test_fault_40_memory_map(tmp_path):
    """A file that shrinks under the map kills any reader: copy such arrays first."""
    path = tmp_path / "x.bin"
    draw(T, B, I).tofile(path)
    x = np.memmap(path, np.float32, "r", shape=(T, B, I))
    results = check_right(network(), x)
    assert [type(r) for r in results] == [np.ndarray] * 2
    check_right(network(), np.array(x))


def test_fault_41_buffers_that_could_be_resized():
    """They stay exported while an array reads them, and not a moment longer."""
    net, x = network(), draw(T, B, I)
    owner = bytearray(x.tobytes())
    view = np.frombuffer(owner, np.float32).reshape(T, B, I)
    assert same_bits(net(view)[0], net(x)[0])
    with pytest.raises(BufferError):
        owner.append(0)
    del view
    owner.append(0)

    for owner in array.array("f", x[:, 0].ravel()), mmap.mmap(-1, x[:, 0].nbytes):
        view = memoryview(owner).cast("B").cast("f", (T, I))
        view[0, 0] = x[0, 0, 0]
        assert np.isfinite(net(view)[0]).all()
        view.release()
        owner.append(0) if isinstance(owner, array.array) else owner.close()


def test_fault_42_h0_is_x(isa):
    for layers in 1, T:
        net = crnn.RNN(H, H, layers)
        x = draw(layers, B, H)
        check_right(net, x, x)
        check_right(net, x, x[:, :, :][::-1][::-1])
        check_right(net, x[:, 0], x[:, 0])
    small = crnn.RNNCell(H, H)
    check_right(small, x[0], x[0])
    square = crnn.RNN(H, H)  # the parameters themselves as arguments
    check_right(square, square.weight_ih_l0[None], square.weight_hh_l0[None])


def test_fault_43_padding_itemsize():
    padded = np.zeros((T, B, I), {"names": "a", "formats": ["f4"], "itemsize": 8})
    with refused(TypeError, "", net := network()):
        net(padded)
    check_right(net, padded["a"])
    with refused(ValueError, "0D", net):
        net(np.float32(1)[...])
