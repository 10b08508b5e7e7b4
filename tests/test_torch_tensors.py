"""Tensors in, tensors out; what else is an array; gradients that nobody would get."""

import array

import numpy as np
import pytest
from faults import Packed, run_python, same_bits
from shapes import draw

import crnn

T, B, I, H = 4, 2, 3, 5  # noqa: E741


def make(**options):
    crnn.manual_seed(0)
    return crnn.RNN(I, H, **options).eval()


def arrays(dtype="float32", states=1):
    return draw(T, B, I, dtype=dtype), draw(states, B, H, dtype=dtype, seed=1)


def equal(tensors, right):
    return all(same_bits(t.numpy(), a) for t, a in zip(tensors, right, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tensors_give_tensors(torch, dtype, isa):
    net = make(num_layers=2, bidirectional=True, dtype=dtype)
    x, hx = arrays(dtype, 4)
    tensors = torch.from_numpy(x), torch.from_numpy(hx)
    for n in 1, 2:
        results, right = net(*tensors[:n]), net(x, *(hx,)[: n - 1])
        assert type(results) is tuple and equal(results, right)
        for result in results:
            assert type(result) is torch.Tensor and result.is_contiguous()
            assert result.device.type == "cpu" and not result.requires_grad
            addresses = {t.data_ptr() for t in (*tensors, *results)}
            assert len(addresses) == 4
            result.zero_()  # writable, and memory of its own
    assert equal(tensors, (x, hx)) and equal(net(*tensors), net(x, hx))
    assert equal(net(tensors[0][:, 0]), net(x[:, 0]))
    lengths = [4, 2]
    for given in lengths, np.array(lengths), torch.tensor(lengths):
        assert equal(net(*tensors, lengths=given), net(x, hx, lengths=lengths))


def test_cell_and_batch_first(torch):
    cell, x, hx = crnn.RNNCell(I, H).eval(), draw(B, I), draw(B, H)
    h = cell(torch.from_numpy(x), torch.from_numpy(hx))
    assert type(h) is torch.Tensor and same_bits(h.numpy(), cell(x, hx))
    net, x = make(batch_first=True), draw(B, T, I)
    assert equal(net(torch.from_numpy(x)), net(x))


def test_strides_of_tensors(torch):
    net, x = make(), draw(T, B, I)
    t = torch.from_numpy(x)
    for other in (
        t.transpose(0, 1).contiguous().transpose(0, 1),
        t.repeat_interleave(2, 2)[:, :, ::2],
        t.permute(2, 0, 1).contiguous().permute(1, 2, 0),
        torch.cat([t, t])[:T],
        torch.nn.Parameter(t, requires_grad=False),
    ):
        results = net(other)
        assert all(type(r) is torch.Tensor for r in results)
        assert equal(results, net(x))
    expanded = t[:, :1].expand(T, 9, I)
    assert equal(net(expanded), net(np.repeat(x[:, :1], 9, 1)))
    hx = torch.zeros(1, 1, H).expand(1, B, H)
    assert equal(net(t, hx), net(x))


def test_mixed_kinds(torch):
    """The input decides what comes back."""
    net, (x, hx) = make(), arrays()
    right = net(x, hx)
    assert equal(net(torch.from_numpy(x), hx), right)
    results = net(x, torch.from_numpy(hx))
    assert all(type(r) is np.ndarray for r in results)
    assert all(map(same_bits, results, right))


def test_dtypes_and_devices(torch):
    net, (x, hx) = make(), map(torch.from_numpy, arrays())
    for dtype in torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool:
        text = (
            f"RNN input dtype ({dtype}) does not match weight dtype (torch.float32). "
            "Convert input: input.to(torch.float32), or convert model: "
            f"model.to({dtype})"
        )
        with pytest.raises(crnn.DTypeError) as caught:
            net(x.to(dtype))
        assert str(caught.value) == text
        with pytest.raises(crnn.DTypeError, match="mat1 and mat2 must have the same"):
            net(x, hx.to(dtype))
    for wrong in (x.to("meta"),), (x, hx.to("meta")):
        with pytest.raises(RuntimeError, match="device"):
            net(*wrong)
    for wrong in x.to_sparse(), x.to(torch.complex64):
        with pytest.raises((TypeError, RuntimeError)):
            net(wrong)
    assert net(x, hx)[0].shape == (T, B, H)


GRADIENT = "crnn.torch.RNN"


def test_tensors_with_gradients_are_refused(torch):
    """They would train wrongly in silence; the error names what does train."""
    net, (x, hx) = make(), map(torch.from_numpy, arrays())
    loose = x.clone().requires_grad_()
    for training in True, False:
        net.train(training)
        for arguments in (loose,), (loose * 2,), (loose, hx):
            with pytest.raises(RuntimeError, match=GRADIENT):
                net(*arguments)
    net.eval()
    with pytest.raises(RuntimeError, match=GRADIENT):
        net(x, hx.clone().requires_grad_())
    packed = torch.nn.utils.rnn.pack_padded_sequence(loose, [4, 2])
    with pytest.raises(RuntimeError, match=GRADIENT):
        net(packed)
    with pytest.raises(RuntimeError, match=GRADIENT):
        crnn.RNNCell(I, H).eval()(loose[0])
    with pytest.raises(RuntimeError, match=GRADIENT):
        net(torch.nn.Parameter(x))
    right = net(x.numpy())
    with torch.no_grad():
        assert equal(net(loose), right) and equal(net.train()(loose), right)
    with torch.inference_mode():
        assert equal(net(loose), right) and equal(net(x + 0), right)
    assert equal(net.eval()(loose.detach()), right)


def test_training_mode_warns_once_in_a_process(torch):
    code = """
import warnings
import crnn, numpy, torch
net, x = crnn.RNN(3, 5), torch.zeros(4, 2, 3)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    net.eval()(x)
    with torch.no_grad():
        net.train()(x)
    with torch.inference_mode():
        net(x)
    net(x.numpy())
    assert not caught
    for _ in range(3):
        net(x)
        crnn.RNN(3, 5)(x)
        crnn.RNNCell(3, 5)(x[0])
assert [w.category for w in caught] == [UserWarning], caught
assert "crnn.torch.RNN" in str(caught[0].message)
assert "eval()" in str(caught[0].message)
assert caught[0].filename == "<string>", caught[0].filename
print("done")
"""
    assert run_python(code, timeout=120).stdout == "done\n"


@pytest.mark.parametrize("first", ["torch", "crnn"])
def test_either_may_be_imported_first(torch, first):
    second = {"torch": "crnn", "crnn": "torch"}[first]
    code = f"""
import sys
import {first}
assert "torch" in sys.modules or "{first}" == "crnn"
import {second}
net = crnn.RNN(3, 5).eval()
y, h_n = net(torch.zeros(4, 2, 3))
assert type(y) is type(h_n) is torch.Tensor
print("done")
"""
    assert run_python(code, timeout=120).stdout == "done\n"


def test_torch_is_never_imported():
    code = """
import sys
import crnn, numpy
sys.modules["torch"] = None  # an import would fail
net = crnn.RNN(3, 5, 2, dropout=0.5, dtype="float64")
x = numpy.zeros((4, 2, 3))
net(x), net(x[:, 0]), net(x, lengths=[4, 2]), net.load_state_dict(net.state_dict())
net.float().eval()(x.astype("f4")), crnn.RNNCell(3, 5)(x[0].astype("f4"))
for wrong in [[0.0]], None, x, object():
    try:
        net(wrong)
    except (TypeError, ValueError):
        pass
print("done")
"""
    assert run_python(code).stdout == "done\n"


@pytest.mark.parametrize("value", [[[0.0] * I] * T, ((0.0,) * I,), [0.0], []], ids=str)
def test_lists_are_refused(value):
    with pytest.raises(TypeError, match="numpy"):
        make()(value)
    with pytest.raises(TypeError, match="numpy"):
        make()(draw(T, B, I), value)


class Exporter:
    """An array behind DLPack alone, as other libraries' arrays are."""

    def __init__(self, a):
        self.a = a

    def __dlpack__(self, **options):
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.a.__dlpack_device__()


def test_dlpack_and_buffers():
    """Objects that export their memory exactly are arrays; results are NumPy's."""
    net, (x, hx) = make(), arrays()
    right = net(x, hx)
    for wrap in Exporter, memoryview:
        results = net(wrap(x), wrap(hx))
        assert all(type(r) is np.ndarray for r in results)
        assert all(map(same_bits, results, right))
    flat = memoryview(array.array("f", x[:, 0].ravel())).cast("B").cast("f", (T, I))
    assert all(map(same_bits, net(flat), net(x[:, 0])))
    with pytest.raises(crnn.ShapeError, match="got 1D array"):
        net(array.array("f", x.ravel()))
    cell = crnn.RNNCell(I, H)
    assert same_bits(cell(array.array("f", x[0, 0])), cell(x[0, 0]))
    double = make().double()
    flat = memoryview(x[:, 0].astype(float).copy())
    assert all(map(same_bits, double(flat), double(x[:, 0].astype(float))))
    batch = np.full(T, 1)
    packed = Packed(memoryview(x[:, 0].copy()), batch, None, None)
    assert same_bits(net(packed)[0].data, net(x[:, 0])[0])


@pytest.mark.parametrize("code", ["i", "b", "B", "q", "H"])
def test_buffers_of_other_types_are_refused(code):
    values = memoryview(array.array(code, [0] * (T * I))).cast("B").cast(code, (T, I))
    for value in values, array.array(code, [0] * I):
        with pytest.raises((TypeError, crnn.ShapeError)):
            make()(value)
    for value in b"\0" * 4 * I, bytearray(4 * I):
        with pytest.raises((TypeError, crnn.ShapeError)):
            make()(value)


def test_subclasses_of_tensor(torch):
    kind = type("Mine", (torch.Tensor,), {})
    x = torch.from_numpy(draw(T, B, I))
    with torch.no_grad():
        assert equal(
            [t.as_subclass(torch.Tensor) for t in make()(x.as_subclass(kind))],
            make()(x.numpy()),
        )
