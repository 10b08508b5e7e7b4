"""crnn.load on checkpoints as torch.save writes them."""

import pickle
import zipfile

import checkpoints
import numpy as np
import pytest
from checkpoints import Tensor, refused
from faults import DTYPES, network, run_python, same_bits

import crnn


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pt"


def as_arrays(value, torch):
    """What crnn.load gives for what was saved."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        is_half = value.is_floating_point() and value.dtype.itemsize == 2
        return (value.float() if is_half else value).numpy()
    if isinstance(value, dict):
        return {key: as_arrays(item, torch) for key, item in value.items()}
    return value


def check_equal(a, b):
    if isinstance(b, np.ndarray):
        assert same_bits(a, b)
    elif isinstance(b, dict):
        assert type(a) is dict and list(a) == list(b)
        for key in b:
            check_equal(a[key], b[key])
    else:
        assert a == b and type(a) is type(b)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_state_dicts(path, torch, protocol):
    for options in {}, {"num_layers": 2, "bidirectional": True, "bias": False}:
        state = torch.nn.RNN(3, 4, **options).state_dict()
        torch.save(state, path, pickle_protocol=protocol)
        check_equal(crnn.load(path), as_arrays(state, torch))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_checkpoints_of_a_training(path, torch, protocol):
    net = torch.nn.Sequential(torch.nn.RNN(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.Adam(net.parameters())
    net[1](net[0](torch.randn(5, 2, 3))[0].flatten(0, 1)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])
    saved = {
        "epoch": 3,
        "loss": 0.25,
        "done": False,
        "note": "é\n",
        "raw": b"\xff" * 300,
        "numbers": [2**70, -(2**40), -1, 255, 65535, None, [], (), (1,), (1, 2, 3)],
        "model_state_dict": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "milestones": dict(schedule.state_dict()["milestones"]),
    }
    extra = {"schedule": schedule.state_dict(), "size": torch.Size((2, 3))}
    extra |= {"device": torch.device("cuda:1"), "dtype": torch.float16}
    torch.save({**saved, **extra}, path, pickle_protocol=protocol)
    loaded = crnn.load(path)
    check_equal({key: loaded[key] for key in saved}, as_arrays(saved, torch))
    assert loaded["schedule"]["milestones"] == {2: 2, 5: 1}
    assert loaded["size"] == (2, 3)
    assert (loaded["device"], loaded["dtype"]) == ("cuda:1", "torch.float16")
    state = loaded["model_state_dict"]
    rnn = crnn.RNN.from_state_dict(state, "0.")
    assert same_bits(rnn.weight_hh_l0, net[0].weight_hh_l0.detach().numpy())


def test_tensors_of_every_kind(path, torch):
    kinds = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
    base = torch.arange(-6, 6).reshape(3, 4)
    saved = {k: base.to(getattr(torch, k)) for k in kinds.split()}
    saved |= {"c": torch.randn(2, dtype=torch.complex64), "scalar": torch.tensor(2.5)}
    saved |= {"empty": torch.zeros(0, 3), "strided": torch.randn(4, 6).t()[1::2, ::3]}
    saved |= {"parameter": torch.nn.Parameter(torch.randn(2, 2))}
    saved |= {"wide": torch.ones(1, 3).expand(5, 3)}
    saved |= {"nan": torch.tensor([float("nan"), -0.0, float("inf"), 1e-45])}
    saved |= {"tiny": torch.tensor([1e-40, -3e38, float("nan")]).bfloat16()}
    torch.save(saved, path)
    check_equal(crnn.load(path), as_arrays(saved, torch))


def test_numpy_scalars(path, torch):
    """Metrics are often such; torch.load(weights_only=True) refuses them."""
    values = [np.float64(0.5), np.float32(0.25), np.int64(-3), np.uint8(7), np.True_]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        torch.save({"best": values}, path, pickle_protocol=protocol)
        loaded = crnn.load(path)["best"]
        assert loaded == values and list(map(type, loaded)) == list(map(type, values))
    for value in np.array([1.0]), np.str_("x"), np.datetime64("2020"):
        torch.save({"best": value}, path)
        refused(path)


def test_tensors_that_shared_memory_still_do(path, torch):
    base = torch.zeros(6)
    torch.save(
        {"a": base, "b": base.view(2, 3), "c": base[4:], "d": base.clone()}, path
    )
    loaded = crnn.load(path)
    loaded["a"][4] = 1
    assert loaded["b"][1, 1] == loaded["c"][0] == 1 and not loaded["d"].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_torch(path, dtype):
    net = network(dtype, num_layers=2)
    state = net.state_dict()
    kind = {"float32": "torch FloatStorage", "float64": "torch DoubleStorage"}[dtype]
    shapes = {name: array.shape for name, array in state.items()}
    tensors = {
        name: Tensor(shape, checkpoints.contiguous(shape), name, kind)
        for name, shape in shapes.items()
    }
    storages = {name: array.tobytes() for name, array in state.items()}
    checkpoints.write(path, tensors, storages)
    code = """
import sys, crnn, numpy
net = crnn.RNN.from_state_dict(crnn.load(sys.argv[1]))
assert "torch" not in sys.modules
print(repr(net), net.weight_hh_l1.tobytes().hex())
"""
    expected = f"{net!r} {net.weight_hh_l1.tobytes().hex()}\n"
    assert run_python(code, path).stdout == expected


def test_big_endian_checkpoints(path):
    raw = np.arange(6, dtype=">f4").tobytes()
    state = {"w": Tensor((2, 3), (3, 1))}
    checkpoints.write(path, state, {"0": raw}, {"byteorder": b"big"})
    assert same_bits(crnn.load(path)["w"], np.arange(6, dtype="f4").reshape(2, 3))
    checkpoints.write(path, state, {"0": raw[::-1]}, {"byteorder": None})
    assert crnn.load(path)["w"][1, 2] == 0


def test_modules_are_refused_with_advice(path, torch):
    torch.save(torch.nn.RNN(3, 4), path)
    message = refused(path, "torch.nn.modules.rnn.RNN")
    assert "torch.save(model.state_dict(), path)" in message
    torch.save({"model": torch.nn.RNN(3, 4), "epoch": 1}, path)
    refused(path, "torch.save(model.state_dict(), path)")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_are_refused_with_advice(path, torch):
    torch.jit.script(torch.nn.Linear(2, 3)).save(str(path))
    refused(path, "torch.jit.load(path).state_dict()")


def test_the_format_before_1_6_is_refused_with_advice(path, torch):
    state = torch.nn.RNN(3, 4).state_dict()
    torch.save(state, path, _use_new_zipfile_serialization=False)
    refused(path, "torch.save(torch.load(path, weights_only=True), path)")
    torch.save(torch.load(path, weights_only=True), path)  # as it says
    check_equal(crnn.load(path), as_arrays(state, torch))


def test_what_is_no_dict_is_refused(path, torch):
    for value, text in (torch.ones(2), "a tensor"), ([1], "list"), (3, "int"):
        torch.save(value, path)
        refused(path, text)


def test_tensors_that_numpy_lacks_are_refused(path, torch):
    torch.save({"s": torch.eye(3).to_sparse()}, path)
    refused(path, "_rebuild_sparse_tensor")
    torch.save({"f": torch.ones(2).to(torch.float8_e4m3fn)}, path)
    refused(path, "which is no plain data")


@pytest.mark.slow
def test_a_hundred_thousand_entries(path, torch):
    state = {f"layer.{i}.weight": torch.full((1,), float(i)) for i in range(10**5)}
    torch.save(state, path)
    loaded = crnn.load(path)
    assert list(loaded) == list(state) and loaded["layer.99999.weight"] == 99999


def test_compressed_again(path):
    state = {"w": Tensor((2, 3), (3, 1))}
    raw = np.arange(6, dtype="<f4").tobytes()
    checkpoints.write(path, state, {"0": raw}, compression=zipfile.ZIP_DEFLATED)
    assert same_bits(crnn.load(path)["w"], np.arange(6, dtype="f4").reshape(2, 3))
