"""Faults, group G: processes that fork; the number in a test's name is its row.

Row 99 belongs to the backward pass.
"""

import os

import pytest
from faults import run_python
from threaded import PRELUDE

SECONDS = 60

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

FORK = (
    PRELUDE
    + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # fork beside other threads

def in_child(function):
    "Call it in a forked child, which must end well within 20 s."
    child = os.fork()
    if child:
        wait(child)
        return
    try:
        signal.alarm(20)
        function()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
    os._exit(1)

def wait(child):
    assert os.waitpid(child, 0)[1] == 0

def check(repeats=1):
    check_calls(calls, expected, repeats)
"""
)


def test_fault_96_child_computes():
    """So do a child of the child, a child of many, and the parent afterwards."""
    code = """
def descend(depth):
    check()
    if depth:
        in_child(lambda: descend(depth - 1))
        in_child(check)
    check()
    assert len(_core.run_team(3, 5)) == 3

in_child(check)  # before any call used threads
descend(3)
"""
    run_python(FORK + code, timeout=SECONDS)


def test_fault_96_a_process_with_an_idle_team_forks_without_warning():
    """Python 3.12 warns of forks beside other threads: at rest there are none."""
    code = """
warnings.simplefilter("error")
for _ in range(20):
    assert len(_core.run_team(3, 5)) == 3
    in_child(lambda: None)
    assert len(_core.run_team(3, 5)) == 3
"""
    run_python(FORK + code, timeout=SECONDS)


def test_fault_97_fork_while_a_call_runs():
    code = """
stop = False
def forever():
    while not stop:
        check()

thread = threading.Thread(target=forever)
thread.start()
for n in range(30):
    time.sleep(0.0007 * n)
    in_child(check)
stop = True
thread.join()
check()
"""
    run_python(FORK + code, timeout=SECONDS)


def test_fault_97_fork_while_the_team_works():
    code = """
_core.run_team(3, 0)
for n in range(10):
    thread = threading.Thread(target=_core.run_team, args=(3, 2000))
    thread.start()
    time.sleep(0.001)
    in_child(lambda: [check(), _core.run_team(3, 10), _core.stop_team()])
    thread.join()
assert len(_core.run_team(3, 5)) == 3
"""
    run_python(FORK + code, timeout=SECONDS)


def test_fault_97_fork_inside_a_call():
    """A signal handler forks; in the child the call goes on, and is right."""
    code = """
net, x = crnn.RNN(64, 128, 2), np.full((3000, 8, 64), 0.5, np.float32)
right = [a.copy() for a in net(x)]
children = []
parent = os.getpid()

def handler(number, frame):
    child = os.fork()
    if child:
        children.append(child)
    else:
        signal.alarm(20)
        check()

signal.signal(signal.SIGUSR1, handler)
for n in range(5):
    thread = threading.Timer(0.002 * (n + 1), os.kill, (parent, signal.SIGUSR1))
    thread.start()
    assert all(map(same_bits, net(x), right))
    if os.getpid() != parent:
        check()
        os._exit(0)
    thread.join()
    while len(children) <= n:
        time.sleep(0.001)
    wait(children[n])
check()
"""
    run_python(FORK + code, timeout=SECONDS)


def test_fault_98_child_destroys_what_it_inherited():
    code = """
import gc
nets = [crnn.RNN(16, 64, 2) for _ in range(3)]
check()
kept = crnn._core.allocations()

def destroy():
    global calls
    nets.clear()
    calls = None
    gc.collect()
    assert crnn._core.allocations() < kept
    assert _core.stop_team()
    check_usable(network())

in_child(destroy)
thread = threading.Thread(target=check, args=(50,))
thread.start()
in_child(destroy)
thread.join()
assert len(nets) == 3
check()
"""
    run_python(FORK + code, timeout=SECONDS)


def test_fault_98_child_leaves_by_the_front_door():
    """Not by _exit: the interpreter ends in the child as it does in the parent."""
    code = """
check()
thread = threading.Thread(target=check, args=(20,), daemon=True)
thread.start()
child = os.fork()
if child:
    wait(child)
check()
"""
    done = run_python(FORK + code, timeout=SECONDS)
    assert done.stderr == ""


PROCESSES = """
import multiprocessing, os, sys
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)
import crnn
from threaded import check_calls, large_calls, results_alone

def job(seed):
    crnn._core.assume_cpus(3)
    calls = large_calls(seed=seed)
    check_calls(calls, results_alone(calls))
    return calls[0]()[1].tobytes()

if __name__ == "__main__":
    here = [job(seed) for seed in range(4)]
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        assert pool.map(job, range(4)) == here
    assert [job(seed) for seed in range(4)] == here
    print("done")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_fault_100_multiprocessing(method, tmp_path):
    script = tmp_path / "processes.py"
    script.write_text(f'"""Jobs in other processes."""\n{PROCESSES}')
    code = "import runpy, sys, warnings\n"
    code += "warnings.simplefilter('ignore', DeprecationWarning)\n"
    code += "runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    done = run_python(code, script, method, timeout=2 * SECONDS)
    assert done.stdout == "done\n"


def test_fault_100_a_pre_forking_server():
    """Its workers answer from one inherited network, and are replaced as they end."""
    code = """
import socket
check()
listener = socket.create_server(("127.0.0.1", 0))

def serve(requests):
    signal.alarm(20)
    for _ in range(requests):
        connection, _ = listener.accept()
        with connection:
            number = connection.recv(1)[0]
            output, *_ = calls[number]()
            connection.sendall(output.tobytes())
    os._exit(0)

def start():
    child = os.fork()
    if not child:
        serve(4)
    return child

children = [start() for _ in range(3)]
for request in range(24):
    number = request % len(calls)
    with socket.create_connection(listener.getsockname()) as connection:
        connection.sendall(bytes([number]))
        with connection.makefile("rb") as answer:
            assert answer.read() == expected[number][0].tobytes()
    if request in (11, 12, 13):
        children.append(start())
    check()
for child in children:
    wait(child)
"""
    run_python(FORK + code, timeout=SECONDS)
