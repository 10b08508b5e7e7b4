"""Faults, group F: calls while the process ends; a test's name has its row."""

import time

import pytest
from faults import LINUX, run_python
from threaded import PRELUDE

SECONDS = 60

EXITS = {
    "computing": "",
    "from a second thread": "threading.Thread(target=time.sleep, args=(0.05,)).start()",
    "by SystemExit": "sys.exit(0)",
    "by os._exit": "os._exit(0)",
    "with atexit": "import atexit; atexit.register(check_calls, calls, expected)",
}


@pytest.mark.parametrize("delay", [0, 0.003, 0.05])
@pytest.mark.parametrize("way", EXITS)
def test_fault_89_daemon_threads_at_exit(way, delay):
    code = """
def forever():
    while True:
        check_calls(calls, expected)

for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(float(sys.argv[1]))
"""
    done = run_python(PRELUDE + code + EXITS[way], delay, timeout=SECONDS)
    assert done.stderr == ""


def test_fault_89_long_call_in_a_daemon_thread_at_exit():
    code = """
net, x = crnn.RNN(64, 256), np.broadcast_to(np.float32(0.5), (2**16, 16, 64))
threading.Thread(target=net, args=(x,), daemon=True).start()
time.sleep(0.3)
print(time.time())
"""
    done = run_python(PRELUDE + code, timeout=SECONDS)
    assert time.time() - float(done.stdout) < 1
    assert done.stderr == ""


def test_fault_90_calls_while_the_interpreter_ends():
    code = """
import atexit, gc

class Last:
    "Calls when it dies: at the latest with the modules."
    def __del__(self, check=check_calls, calls=calls, expected=expected):
        try:
            check(calls, expected)
        except (RuntimeError, TypeError, AttributeError, ImportError) as error:
            print("refused", type(error).__name__)
        print("called")

atexit.register(check_calls, calls, expected)
last = Last()
cycle = [Last()]
cycle.append(cycle)
sys.modules["last"] = Last()
crnn.kept = Last()
check_calls(calls, expected)
"""
    done = run_python(PRELUDE + code, timeout=SECONDS)
    assert done.stderr == "" and "called" in done.stdout


@pytest.mark.skipif(not LINUX, reason="looks at /proc")
def test_fault_89_no_thread_dies_while_its_team_works():
    """The members use its stack: it must not take the GIL, which would end it."""
    code = """
def tasks():
    states = {}
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/stat") as file:
            name, state = file.read().split()[1:3]
        states[int(task)] = name, state
    return states

class Late:
    "Its end holds up that of the interpreter, beyond the last lock."
    def __del__(self, time=time, tasks=tasks, os=os, open=open):
        for _ in range(10):
            end = time.perf_counter() + 0.02
            while time.perf_counter() < end:
                pass
            now = tasks()
            if ("(crnn)", "R") in now.values():
                print("works" if callers[0] in now else "died", flush=True)

callers = []
net, x = crnn.RNN(64, 1024), np.broadcast_to(np.float32(0.5), (64, 2**11, 64))
def use():
    callers.append(threading.get_native_id())
    net(x)

sys.modules["late"] = Late()
threading.Thread(target=use, daemon=True).start()
time.sleep(0.15)
"""
    done = run_python(PRELUDE + code, timeout=SECONDS)
    assert "died" not in done.stdout and done.stderr == ""
