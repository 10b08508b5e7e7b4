"""patch(): crnn's forward on torch's own classes, and a program that runs so."""

import copy
import io
import pickle
import subprocess
import sys
import threading
import warnings

import pytest
from twins import assert_same_gradients, counted, every_cell, loss_of

I, H, T, B = 3, 4, 5, 2  # noqa: E741


@pytest.fixture
def crnn_torch(torch):
    """crnn.torch; afterwards torch is as it was."""
    import crnn.torch

    before = torch.nn.RNN.forward, torch.nn.RNNCell.forward
    yield crnn.torch
    crnn.torch.unpatch()
    assert (torch.nn.RNN.forward, torch.nn.RNNCell.forward) == before


def is_patched(torch):
    with counted() as made, torch.no_grad():
        torch.nn.RNN(I, H)(torch.zeros(T, B, I))
    return bool(made)


def test_patch_and_unpatch(torch, crnn_torch):
    for _ in range(2):
        crnn_torch.patch()
        crnn_torch.patch()
        assert is_patched(torch)
        crnn_torch.unpatch()
        assert not is_patched(torch)
        crnn_torch.unpatch()


def test_blocks_nest(torch, crnn_torch):
    with crnn_torch.patched():
        with crnn_torch.patched():
            assert is_patched(torch)
        assert is_patched(torch)
        crnn_torch.patch()
        crnn_torch.unpatch()
        assert is_patched(torch)
    assert not is_patched(torch)
    crnn_torch.patch()
    with crnn_torch.patched():
        pass
    assert is_patched(torch)
    with crnn_torch.patched():
        crnn_torch.unpatch()
        assert is_patched(torch)
    assert not is_patched(torch)
    with pytest.raises(ZeroDivisionError), crnn_torch.patched():
        raise ZeroDivisionError
    assert not is_patched(torch)


def test_blocks_overlap_in_threads(torch, crnn_torch):
    failures = []
    barrier = threading.Barrier(4)

    def work(seed):
        barrier.wait()
        for _ in range(50):
            with crnn_torch.patched():
                if torch.nn.RNN.forward is original:
                    failures.append(seed)

    original = torch.nn.RNN.forward
    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and torch.nn.RNN.forward is original


@every_cell()
def test_what_exists_already_is_reached(torch, crnn_torch):
    from torch.nn import RNN  # captured before

    class Mine(RNN):
        def forward(self, input, hx=None):
            return super().forward(input, hx)

    old, mine = RNN(I, H), Mine(I, H)
    cell, x = torch.nn.RNNCell(I, H), torch.randn(T, B, I)
    right, state = old(x)[0], cell(torch.ones(100, I))
    with crnn_torch.patched(), counted() as made:
        assert torch.allclose(old(x)[0], right, atol=1e-6)
        mine(x)
        RNN(I, H, 2, bidirectional=True)(x)
        assert torch.allclose(cell(torch.ones(100, I)), state, atol=1e-6)
        new = RNN(I, H)
        assert type(old) is type(new) is torch.nn.RNN is RNN
        assert isinstance(mine, torch.nn.RNN) and len(made) == 4
    assert torch.equal(old(x)[0], right)
    with counted() as made:
        new(x)
    assert made == []


def test_training_is_the_same(torch, crnn_torch):
    nets = [torch.nn.RNN(I, H, 2, dropout=0.5) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    x = torch.randn(T, B, I)
    for net, way in zip(nets, [None, crnn_torch.patched()], strict=True):
        torch.manual_seed(0)
        if way is None:
            loss_of(net(x)).backward()
        else:
            with way:
                loss_of(net(x)).backward()
    assert_same_gradients(nets[1].parameters(), nets[0].parameters())


def test_pickles_are_torchs(torch, crnn_torch, tmp_path):
    x = torch.randn(T, B, I)
    with crnn_torch.patched():
        net = torch.nn.RNN(I, H)
        right = net(x)[0]
        torch.save(net, tmp_path / "net.pt")
        data = pickle.dumps(net)
        assert torch.equal(copy.deepcopy(net)(x)[0], right)
    assert b"crnn" not in data
    assert torch.allclose(pickle.loads(data)(x)[0], right, atol=1e-6)
    code = (
        "import sys, torch; net = torch.load(sys.argv[1], weights_only=False);"
        "assert 'crnn' not in sys.modules; print(type(net).__module__)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "net.pt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout == "torch.nn.modules.rnn\n", done.stderr


def model(torch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.cell = torch.nn.RNN(I, H), torch.nn.RNNCell(I, H)

        def forward(self, x):
            output, h_n = self.rnn(x)
            return output, h_n, self.cell(x[0])

    return Model()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_compilers_see_torchs_forward(torch, crnn_torch):
    warnings.simplefilter("ignore", torch.jit.TracerWarning)
    net, x = model(torch), torch.randn(T, B, I)
    right = net(x)
    ways = {
        "script": lambda: torch.jit.script(net),
        "trace": lambda: torch.jit.trace(net, x),
        "export": lambda: torch.export.export(net, (x,)).module(),
    }
    for way in ways.values():
        with crnn_torch.patched():
            made = way()
            inside = made(x)
            assert type(net.rnn) is torch.nn.RNN
        for result in inside, made(x):
            for a, b in zip(result, right, strict=True):
                assert torch.allclose(a, b, atol=1e-6)
    file = io.BytesIO()
    with crnn_torch.patched():
        torch.jit.save(torch.jit.script(net), file)
    file.seek(0)
    assert torch.allclose(torch.jit.load(file)(x)[0], right[0], atol=1e-6)


def test_scripted_packed_sequences(torch, crnn_torch):
    """The overloads of torch's forward are still found."""
    code = """
import torch, warnings
from torch.nn.utils.rnn import PackedSequence
warnings.simplefilter("ignore")
import crnn.torch
crnn.torch.patch()

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.RNN(3, 4)

    def forward(self, x: PackedSequence):
        output, h_n = self.rnn(x)
        return output.data

net = Model()
x = torch.nn.utils.rnn.pack_sequence([torch.ones(3, 3), torch.ones(2, 3)])
print(torch.allclose(torch.jit.script(net)(x), net(x), atol=1e-6))
"""
    with open("model.py", "w") as file:  # torch.jit reads the source from a file
        file.write(code)
    done = subprocess.run(
        [sys.executable, "model.py"], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "True\n", done.stderr


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_compile(torch, crnn_torch):
    net, x = model(torch), torch.randn(T, B, I)
    right = net(x)[0]
    for allow_rnn in False, True:
        torch._dynamo.reset()
        with (
            warnings.catch_warnings(),
            torch._dynamo.config.patch(allow_rnn=allow_rnn),
            crnn_torch.patched(),
            counted() as made,
        ):
            warnings.simplefilter("ignore")
            found = torch.compile(net, backend="eager")(x)[0]
        assert torch.allclose(found, right, atol=1e-6)
        assert len(made) == (not allow_rnn)
    torch._dynamo.reset()


def test_another_patch_on_top_is_kept(torch, crnn_torch):
    original = torch.nn.RNN.forward
    seen = []
    crnn_torch.patch()
    inner = torch.nn.RNN.forward
    torch.nn.RNN.forward = lambda *a: (seen.append(1), inner(*a))[1]
    on_top = torch.nn.RNN.forward
    try:
        crnn_torch.unpatch()
        assert torch.nn.RNN.forward is on_top
        torch.nn.RNN(I, H)(torch.zeros(T, B, I))
        assert seen == [1]
    finally:
        torch.nn.RNN.forward = original


PROGRAM = """
import os, sys
import torch
import neighbour
from torch.nn import RNN

class Kept:
    pass

net = RNN(3, 4)
output, h_n = net(torch.zeros(5, 2, 3))
import pickle
assert type(pickle.loads(pickle.dumps(Kept()))) is Kept
print(__name__, sys.argv[1:], type(output.grad_fn).__name__, neighbour.WORD)
print(os.path.basename(sys.argv[0]), os.path.basename(__file__))
sys.exit(3)
"""


def test_run(torch, tmp_path):
    folder = tmp_path / "else where"
    folder.mkdir()
    (folder / "program.py").write_text(PROGRAM)
    (folder / "neighbour.py").write_text("WORD = 'beside'")
    command = [sys.executable, "-W", "error", "-m", "crnn", "run"]
    command += [str(folder / "program.py"), "--epochs", "3", "-v"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert done.stdout == (
        "__main__ ['--epochs', '3', '-v'] RecurrenceBackward beside\n"
        "program.py program.py\n"
    )
    command[-4] = "missing.py"
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "'missing.py'" in done.stderr
