"""crnn.from_onnx and crnn.to_onnx against onnxruntime and ONNX's own test vectors."""

import sys

import numpy as np
import onnx_models as om
import pytest
from faults import DTYPES, check_usable, network, same_bits
from onnx_models import numpy_helper, onnx
from shapes import draw

import crnn

TOLERANCE = {"rtol": 0, "atol": 1e-6}
OPTIONS = (
    {},
    {"bias": False, "num_layers": 2},
    {"nonlinearity": "relu", "batch_first": True},
    {"bidirectional": True},
    {"num_layers": 3, "bidirectional": True, "batch_first": True},
    {"num_layers": 2, "bidirectional": True, "bias": False, "nonlinearity": "relu"},
)
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


def close(a, b):
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, **TOLERANCE)


@each_option
@pytest.mark.parametrize("hx", [False, True])
@pytest.mark.parametrize("lengths", [False, True])
def test_onnxruntime_agrees_with_what_is_written(tmp_path, options, hx, lengths):
    net, path = network(**options).eval(), tmp_path / "net.onnx"
    crnn.to_onnx(net, path, hx=hx, lengths=lengths)
    made = onnx.load(path)
    onnx.checker.check_model(made, full_check=True)
    T, B = 7, 5
    x = draw(*((B, T) if net.batch_first else (T, B)), 3)
    feeds, arguments = {"input": x}, {}
    if hx:
        D = 2 if net.bidirectional else 1
        feeds["hx"] = arguments["hx"] = draw(D * net.num_layers, B, 5, seed=1)
    if lengths:
        arguments["lengths"] = np.array([3, 7, 1, 5, 7])
        feeds["lengths"] = arguments["lengths"].astype("i4")
    for ours, theirs in zip(net(x, **arguments), om.run(made, **feeds), strict=True):
        close(ours, theirs)


@each_option
@pytest.mark.parametrize("dtype", DTYPES)
def test_there_and_back(tmp_path, options, dtype):
    net = network(dtype, **options)
    for extra in {}, {"hx": True, "lengths": True}:
        crnn.to_onnx(net, tmp_path / "net.onnx", **extra)
        twin = crnn.from_onnx(tmp_path / "net.onnx")
        assert repr(twin) == repr(net) and twin.mode == net.mode and not twin.training
        assert all(map(same_bits, twin.parameters(), net.parameters()))
    check_usable(twin)


@pytest.mark.filterwarnings("ignore")
@each_option
@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("folded", [False, True])
def test_what_torch_exports(tmp_path, torch, options, fixed, folded):
    module = torch.nn.RNN(3, 4, **options).eval()
    path, x = tmp_path / "net.onnx", torch.randn(6, 5, 3)
    axes = {} if fixed else {"x": {0: "a", 1: "b"}}
    torch.onnx.export(
        *(module, x, path),
        dynamo=False,
        input_names=["x"],
        dynamic_axes=axes,
        do_constant_folding=folded,
    )
    net = crnn.from_onnx(path)
    assert repr(net).replace(", nonlinearity=relu", "") == repr(module)
    for name, parameter in module.named_parameters():
        assert same_bits(getattr(net, name), parameter.detach().numpy())
    theirs = om.run(onnx.load(path), x=x.numpy())
    for a, b in zip(net(x.numpy()), theirs, strict=True):
        close(a, b)


@pytest.mark.filterwarnings("ignore")
def test_a_network_in_the_middle_of_torch_s_graph(tmp_path, torch):
    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(11, 3)
            self.rnn = torch.nn.RNN(3, 4, 2, batch_first=True, bidirectional=True)
            self.head = torch.nn.Linear(8, 2)

        def forward(self, tokens):
            return self.head(self.rnn(self.embedding(tokens))[0])

    module, path = Tagger().eval(), tmp_path / "tagger.onnx"
    tokens = torch.randint(11, (2, 6))
    axes = {"tokens": {0: "B", 1: "T"}}
    torch.onnx.export(
        *(module, tokens, path),
        dynamo=False,
        input_names=["tokens"],
        dynamic_axes=axes,
    )
    net, rest = crnn.from_onnx(path), crnn.load(path)
    assert net.batch_first and net.num_layers == 2 and net.bidirectional
    output, _ = net(rest["embedding.weight"][tokens.numpy()])
    (matrix,) = [a for a in rest.values() if a.shape == (8, 2)]
    logits = output @ matrix + rest["head.bias"]
    (theirs,) = om.run(onnx.load(path), tokens=tokens.numpy())
    np.testing.assert_allclose(logits, theirs, rtol=0, atol=1e-5)


def vectors():
    from onnx.backend.test.case.node import collect_testcases

    return [case for case in collect_testcases("RNN") if "rnn" in case.name]


@pytest.mark.filterwarnings("ignore")
def test_onnx_s_own_vectors():
    cases = vectors()
    assert len(cases) >= 6
    for case in cases:
        made, reverse = onnx.ModelProto(), False
        made.CopyFrom(case.model)
        inputs, outputs = case.data_sets[0]
        feeds = dict(zip((i.name for i in made.graph.input), inputs, strict=True))
        for name in feeds.keys() & {"W", "R", "B"}:
            tensor = numpy_helper.from_array(feeds.pop(name), name)
            made.graph.initializer.append(tensor)
        for attribute in made.graph.node[0].attribute:
            if attribute.name == "direction" and attribute.s == b"reverse":
                with pytest.raises(crnn.FormatError, match="reverse only"):
                    crnn.from_onnx(made)
                attribute.s, reverse = b"forward", True  # as the message says
        net = crnn.from_onnx(made)
        x = feeds["X"]
        output, h_n = net(x[::-1] if reverse else x, feeds.get("initial_h"))
        if net.batch_first:  # (B, T, D, H) and (B, D, H)
            output, h_n = output[:, :, None], h_n.swapaxes(0, 1)
        else:  # (T, D, B, H)
            D = 2 if net.bidirectional else 1
            output = output.reshape(*output.shape[:2], D, -1).swapaxes(1, 2)
        if reverse:
            output = output[::-1]
        results = {"Y": output, "Y_h": h_n}
        names = [o for o in made.graph.node[0].output if o]
        for name, right in zip(names, outputs, strict=True):
            close(results[name], right)


def test_half_and_double(tmp_path):
    weights = om.weights("", dtype="float16")
    made = om.model([om.rnn("X", "")], weights)
    net = crnn.from_onnx(made)
    assert net.weight_ih_l0.dtype == np.float32
    assert np.array_equal(net.weight_ih_l0, weights["W"][0])
    onnx.save(made, tmp_path / "net.onnx")
    assert same_bits(crnn.load(tmp_path / "net.onnx")["W"], weights["W"].astype("f4"))


def test_weights_in_a_file_beside(tmp_path):
    made = om.model([om.rnn("X", "")], om.weights(""))
    path = tmp_path / "net.onnx"
    options = {
        "save_as_external_data": True,
        "location": "net.bin",
        "size_threshold": 0,
    }
    onnx.save(made, path, **options)
    assert len(list(tmp_path.iterdir())) == 2
    net = crnn.from_onnx(path)
    assert np.array_equal(net.weight_ih_l0, om.weights("")["W"][0])
    (tmp_path / "net.bin").write_bytes(b"")
    with pytest.raises((crnn.FormatError, OSError)):
        crnn.from_onnx(path)
    (tmp_path / "net.bin").unlink()
    with pytest.raises((crnn.FormatError, OSError)):
        crnn.from_onnx(path)


def test_a_path_that_leads_out_of_the_folder(tmp_path):
    made = om.model([om.rnn("X", "")], om.weights(""))
    for tensor in made.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../secret.bin")
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    (folder / "net.onnx").write_bytes(made.SerializeToString())
    with pytest.raises(crnn.FormatError):
        crnn.from_onnx(folder / "net.onnx")


def test_without_the_onnx_library(tmp_path, monkeypatch):
    made = om.model([om.rnn("X", "")], om.weights(""))
    onnx.save(made, tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnx.reference", None)
    for call in (
        lambda: crnn.from_onnx(tmp_path / "net.onnx"),
        lambda: crnn.load(tmp_path / "net.onnx"),
        lambda: crnn.to_onnx(network(), tmp_path / "other.onnx"),
    ):
        with pytest.raises(ImportError, match=r"pip install crnn\[onnx\]"):
            call()


def test_to_onnx_refuses(tmp_path, torch):
    path = tmp_path / "net.onnx"
    for what in crnn.RNNCell(3, 4), torch.nn.RNN(3, 4), None, {}:
        with pytest.raises(TypeError, match=r"crnn\.RNN"):
            crnn.to_onnx(what, path)
    with pytest.raises(TypeError):
        crnn.to_onnx(network(), path, True)
    with pytest.raises(IsADirectoryError):
        crnn.to_onnx(network(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_names_in_the_file(tmp_path):
    crnn.to_onnx(network(num_layers=2), tmp_path / "net.onnx", hx=True, lengths=True)
    made = onnx.load(tmp_path / "net.onnx")
    assert [i.name for i in made.graph.input] == ["input", "hx", "lengths"]
    assert [o.name for o in made.graph.output] == ["output", "h_n"]
    assert {"W_l0", "R_l0", "B_l0", "W_l1"} <= {t.name for t in made.graph.initializer}
