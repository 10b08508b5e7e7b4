"""Memory: reads past the end of an array, failing allocations, leaks."""

import contextlib
import copy
import gc
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults import (
    FREE_THREADED,
    LINUX,
    UNDER_ASAN,
    B,
    H,
    I,
    Packed,
    T,
    both_dtypes,
    check_usable,
    network,
    run_python,
    same_bits,
)
from shapes import draw

import crnn
from crnn import _core

HERE = Path(__file__).parent


@both_dtypes
@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_inputs_against_an_unreadable_page(dtype, isa):
    command = [sys.executable, str(HERE / "guarded.py"), isa, dtype]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"died after {last}\n{done.stderr[-2000:]}"
    assert last == ["done"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_an_unreadable_page_kills_a_reader():
    """Without this the test above would prove nothing."""
    code = (
        "import numpy as np, guarded\n"
        "a = guarded.Guarded().place(np.zeros(3), 'end')\n"
        "print('before', flush=True)\n"
        "print('after', np.lib.stride_tricks.as_strided(a, (4,)).sum(), flush=True)\n"
    )
    done = run_python(code, check=False)
    assert done.returncode != 0 and done.stdout == "before\n"


BATCH_SIZES = np.array([3, 3, 2, 1, 1])


def entry_points():
    """Functions without arguments, by name, and the object each of them uses."""
    x, long = draw(T, B, I), draw(40, 30, I)
    net = network(num_layers=2, bidirectional=True).eval()
    training = network(num_layers=3, dropout=0.5)
    cell = crnn.RNNCell(I, H)
    wide = draw(2000, I)
    state, pickled = net.state_dict(), pickle.dumps(net)
    converted = network()
    lengths = np.arange(30) % 40 + 1
    packed = Packed(draw(10, I), BATCH_SIZES, np.array([2, 0, 1]), np.array([1, 2, 0]))
    return {
        "constructor": (lambda: crnn.RNN(I, H, 2, bidirectional=True), net),
        "cell constructor": (lambda: crnn.RNNCell(I, H), cell),
        "small call": (lambda: net(x), net),
        "call": (lambda: net(long), net),
        "ragged call": (lambda: net(long, lengths=lengths), net),
        "packed call": (lambda: net(packed), net),
        "dropout": (lambda: training(long), net),
        "forward": (lambda: net.forward(long), net),
        "cell call": (lambda: cell(wide), cell),
        "load_state_dict": (lambda: net.load_state_dict(state), net),
        "double": (lambda: converted.double().float(), converted),
        "pickle": (lambda: pickle.loads(pickled), net),
        "dumps": (lambda: pickle.dumps(net), net),
        "deepcopy": (lambda: copy.deepcopy(net), net),
        "copy": (lambda: copy.copy(net), net),
        "reset_parameters": (net.reset_parameters, net),
        "tanh": (lambda: _core.tanh(wide), net),
    }


def fails(function):
    """Whether the function raises MemoryError."""
    try:
        function()
    except MemoryError:
        return True
    return False


@pytest.mark.parametrize("forever", [False, True], ids=["once", "from there on"])
@pytest.mark.parametrize("name", list(entry_points()))
def test_every_failing_allocation(name, forever):
    function, net = entry_points()[name]
    gc.collect()
    before = _core.allocations()
    for n in range(1, 100):
        _core.fail_allocation(n, forever)
        try:
            failed = fails(function)
        finally:
            _core.fail_allocation(0)
        gc.collect()
        assert _core.allocations() == before
        check_usable(net)
        if not failed:
            break
    assert not failed
    allocating = {"constructor", "call", "ragged call", "packed call", "pickle", "copy"}
    assert n > 1 or name not in allocating


def test_an_object_whose_constructor_found_no_memory():
    net = crnn.RNN.__new__(crnn.RNN)
    _core.fail_allocation(1)
    with pytest.raises(MemoryError):
        net.__init__(I, H)
    with pytest.raises(RuntimeError):
        net(draw(T, B, I))
    net.__init__(I, H)
    check_usable(net)


def test_a_conversion_that_finds_no_memory_changes_nothing():
    net = network()
    before = [p.copy() for p in net.parameters()]
    _core.fail_allocation(1)
    with pytest.raises(MemoryError):
        net.double()
    assert all(map(same_bits, net.parameters(), before))
    check_usable(net)


def test_arguments_keep_their_reference_counts():
    net, x, h0 = network(num_layers=2), draw(T, B, I), draw(2, B, H)
    lengths = np.array([2, 4])
    wrong, swapped = draw(T, B, I + 1), x.astype(">f4")
    calls = [
        ((x, h0), {}),
        ((x,), {"hx": h0}),
        ((x, h0), {"lengths": lengths}),
        ((swapped, h0), {}),
        ((wrong, h0), {}),
        ((x, x), {}),
        ((x, h0), {"lengths": wrong}),
        ((x, h0, h0), {}),
        ((x, h0), {"other": wrong}),
    ]
    objects = [net, x, h0, lengths, wrong, swapped, *net.parameters()]
    before = [sys.getrefcount(o) for o in objects]
    for arguments, options in calls:
        for _ in range(10):
            with contextlib.suppress(TypeError, ValueError):
                net(*arguments, **options)
        gc.collect()
        assert [sys.getrefcount(o) for o in objects] == before


def resident_bytes():
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def failing(net, bad):
    try:
        net(bad)
    except ValueError:
        return
    raise AssertionError("no error")


def growth(function, count):
    """What calls keep: blocks of Python, bytes of the process, allocations of C."""

    def sizes():
        gc.collect()
        return sys.getallocatedblocks(), resident_bytes(), _core.allocations()

    before = sizes()
    for _ in range(count):
        function()
    return [now - then for now, then in zip(sizes(), before, strict=True)]


@pytest.mark.skipif(not LINUX or UNDER_ASAN, reason="reads /proc; ASan keeps memory")
def test_no_call_leaks():
    functions = {name: function for name, (function, _) in entry_points().items()}
    net, wrong = network(), draw(400, 30, I + 1)
    functions["shape error"] = lambda: failing(net, wrong)
    functions["dtype error"] = lambda: failing(net, wrong.astype("f8"))
    slow = {"pickle", "copy", "deepcopy", "dumps", "constructor"}
    for name, function in functions.items():
        count = 300 if name in slow else 1000
        for _ in range(20):
            function()
        # CPython 3.12 fills caches of its own for some hundred calls; a leak goes on.
        grown = [growth(function, count) for _ in range(3)]
        assert min(blocks for blocks, _, _ in grown) < 60, name
        assert all(resident < 8 << 20 for _, resident, _ in grown), name
        assert not any(allocations for _, _, allocations in grown), name


@pytest.mark.skipif(UNDER_ASAN, reason="its allocator keeps freed blocks apart")
def test_the_memory_of_a_wide_call_is_kept_for_the_next():
    """New pages for 18 MB of matrices would take longer than the rest."""
    resource = pytest.importorskip("resource", reason="this system has no rusage")

    def page_faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    net, x = crnn.RNN(1500, 1500), draw(16, 8, 1500)
    net(x)
    before = page_faults()
    net(x)
    assert page_faults() - before < 1000


NO_MEMORY = """
import faulthandler, gc, sys
faulthandler.enable()
import _testcapi
import numpy as np, crnn
from faults import check_usable, draw, network
from test_memory import entry_points

function, net = entry_points()[sys.argv[1]]
function()
gc.disable()
for n in range(400):
    failed = False
    _testcapi.set_nomemory(n, n + 1 if sys.argv[2] == "once" else n + 3)
    try:
        function()
    except MemoryError:
        failed = True
    except Exception:
        failed = True
    finally:
        _testcapi.remove_mem_hooks()
    if n % 20 == 0 or not failed:
        check_usable(net)
print("done")
"""


@pytest.mark.skipif(UNDER_ASAN, reason="replaces the allocator under the sanitizer")
@pytest.mark.skipif(
    FREE_THREADED and sys.version_info < (3, 14),
    reason="a list that finds no memory frees what it never had (Python 3.13)",
)
@pytest.mark.parametrize("span", ["once", "thrice"])
@pytest.mark.parametrize(
    "name", ["small call", "call", "ragged call", "packed call", "constructor", "copy"]
)
def test_every_failing_allocation_of_python(name, span):
    """Row 113: the interpreter's own allocations fail, one after the other."""
    pytest.importorskip("_testcapi", reason="this Python has no _testcapi")
    done = run_python(NO_MEMORY, name, span, check=False)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr[-3000:]
