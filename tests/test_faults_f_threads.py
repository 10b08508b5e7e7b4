"""Faults, group F: threads, GIL; the number in a test's name is its row.

Rows 86 to 88 are in test_signals.py, 89 and 90 in test_faults_f_exit.py, 92 in
test_import.py; of row 93 test_layering.py checks that the core calls no Python.  Rows
94 and 95 of the team alone: test_team.py.
"""

import sys
import threading

import numpy as np
import pytest
from faults import (
    FREE_THREADED,
    UNDER_ASAN,
    both_dtypes,
    check_usable,
    run_python,
    same_bits,
)
from shapes import draw
from threaded import PRELUDE, check_calls, large_calls, results_alone

import crnn
from crnn import _core

SECONDS = 60


@pytest.fixture(params=[1, 2, 3, 5])
def members(request):
    """As if the machine had so many CPUs."""
    _core.assume_cpus(request.param)
    yield request.param
    _core.assume_cpus(0)


def in_threads(count, function):
    """Call function(i) in count threads at once; the first error that one had."""
    errors = []
    start = threading.Barrier(count)

    def target(i):
        try:
            start.wait()
            function(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=target, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@both_dtypes
def test_fault_82_many_threads_on_one_object(members, dtype):
    calls = large_calls(dtype)
    expected = results_alone(calls)
    check_calls(calls, expected, repeats=3)
    in_threads(8, lambda i: check_calls(calls, expected, repeats=5))


def test_fault_82_number_of_threads_changes_meanwhile():
    calls = large_calls()
    expected = results_alone(calls)
    _core.assume_cpus(4)
    before = _core.set_num_threads(0)
    try:

        def use(i):
            for n in range(40):
                if i:
                    check_calls(calls, expected)
                else:
                    _core.set_num_threads(n % 6)
                    _core.stop_team()

        in_threads(4, use)
    finally:
        _core.set_num_threads(before)
        _core.assume_cpus(0)


@both_dtypes
def test_fault_83_load_while_computing(members, dtype):
    """Parameters are memory that anyone may write: a call may see old and new ones."""
    net = crnn.RNN(8, 64, 2, dtype=dtype)
    x = draw(64, 8, 8, dtype=dtype)
    states = []
    for seed in 1, 2:
        crnn.manual_seed(seed)
        net.reset_parameters()
        states.append({k: np.array(v) for k, v in net.state_dict().items()})

    def use(i):
        for n in range(60):
            if i:
                output, _ = net(x)
                assert np.isfinite(output).all() and np.abs(output).max() <= 1
            else:
                net.load_state_dict(states[n % 2])

    in_threads(4, use)
    check_usable(net)


@both_dtypes
def test_fault_84_input_changes_while_computing(members, dtype):
    """Rows that nobody writes have the bits they always have."""
    net = crnn.RNN(16, 64, bidirectional=True, dtype=dtype)
    x = draw(64, 16, 16, dtype=dtype)
    output, h_n = net(x)
    end = threading.Event()

    def use(i):
        if i == 0:
            try:
                for _ in range(60):
                    y, h = net(x)
                    assert same_bits(y[:, 1:].copy(), output[:, 1:].copy())
                    assert same_bits(h[:, 1:].copy(), h_n[:, 1:].copy())
            finally:
                end.set()
        else:
            while not end.is_set():
                x[:, 0] = np.nan
                x[:, 0] = i

    in_threads(3, use)
    check_usable(net)


@both_dtypes
def test_fault_85_input_is_resized_while_computing(members, dtype):
    """NumPy refuses, or the call has its own copy of pointer, shape and strides."""
    net = crnn.RNN(16, 64, dtype=dtype)
    x, h0 = draw(64, 16, 16, dtype=dtype), np.zeros((1, 16, 64), dtype)
    expected = net(x, h0)
    end, refused = threading.Event(), []

    def use(i):
        if i == 0:
            try:
                for _ in range(60):
                    assert all(map(same_bits, net(x, h0), expected))
            finally:
                end.set()
            return
        while not end.is_set():
            x.reshape(-1).reshape(x.shape)
            for array in x, h0:
                try:
                    array.resize(array.shape, refcheck=False)
                except ValueError:
                    refused.append(array is x)

    in_threads(2, use)
    check_usable(net)


@pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL")
def test_fault_91_free_threaded_python_stays_so():
    assert not sys._is_gil_enabled()


HANDLER = """
net, x = crnn.RNN(64, 128, 2), np.full((3000, 8, 64), 0.5, np.float32)
right = [a.copy() for a in net(x)]
seen = []

def handler(number, frame):
    ACTION
    seen.append(number)
    signal.setitimer(signal.ITIMER_REAL, 0.01)

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.005)
for _ in range(3):
    assert all(map(same_bits, net(x), right))
signal.signal(signal.SIGALRM, signal.SIG_IGN)
assert seen
check_calls(calls, expected)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    "action",
    [
        "check_calls(calls, expected)",
        "_core.stop_team()",
        "_core.set_num_threads(len(seen) % 4)",
        "assert len(_core.run_team(3, 0)) in (1, 3)",
        "thread = threading.Thread(target=check_calls, args=(calls, expected)); "
        "thread.start(); thread.join()",
    ],
)
def test_fault_94_nested_use(action):
    """A handler runs in the midst of a call, on the caller's thread: no deadlock."""
    run_python(PRELUDE + HANDLER.replace("ACTION", action), timeout=SECONDS)


def test_fault_94_two_copies_of_the_module(tmp_path):
    """Two pools in one process know nothing of each other."""
    code = """
import importlib.util, shutil
other = sys.argv[1] + "/" + _core.__file__.rpartition("/")[2]
shutil.copy(_core.__file__, other)
spec = importlib.util.spec_from_file_location("other._core", other)
second = importlib.util.module_from_spec(spec)
spec.loader.exec_module(second)
second.assume_cpus(3)
assert len(second.run_team(3, 5)) == len(_core.run_team(3, 5)) == 3

def use(core):
    for _ in range(200):
        assert {right for right, _ in core.run_team(3, 2)} == {2}

threads = [threading.Thread(target=use, args=(c,)) for c in (_core, second) * 2]
for thread in threads: thread.start()
for thread in threads: thread.join()
check_calls(calls, expected)
"""
    run_python(PRELUDE + code, tmp_path, timeout=SECONDS)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_fault_95_threads_cannot_be_created(n):
    code = """
_core.fail_thread(int(sys.argv[1]))
check_calls(calls, expected, repeats=3)
check_usable(network())
_core.fail_thread(0)
_core.stop_team()
check_calls(calls, expected, repeats=3)
"""
    run_python(PRELUDE + code, n, timeout=SECONDS)


@pytest.mark.skipif(
    UNDER_ASAN or sys.platform != "linux", reason="needs RLIMIT_NPROC and another user"
)
def test_fault_95_the_system_refuses_threads():
    code = """
import resource
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)  # root has no limit
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    threading.Thread(target=int).start()
except RuntimeError:
    check_calls(calls, expected, repeats=3)
    assert len(_core.run_team(3, 2)) == 1
    print("refused")
"""
    done = run_python(PRELUDE + code, timeout=SECONDS)
    if done.stdout != "refused\n":
        pytest.skip("RLIMIT_NPROC has no effect here")
