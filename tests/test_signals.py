"""Signals during a call: Ctrl-C, handlers that raise or call back, other threads."""

import pytest
from faults import UNDER_ASAN, run_python

import crnn

pytestmark = pytest.mark.skipif(
    not hasattr(__import__("signal"), "setitimer"), reason="needs POSIX signals"
)

MILLISECONDS = 300 if UNDER_ASAN else 100

PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
import crnn
from faults import check_usable, same_bits

if len(sys.argv) > 2:
    crnn._core.set_isa(sys.argv[2])

def constant(*shape, dtype="float32"):
    return np.broadcast_to(np.asarray(0.5, dtype), shape)

def send(seconds, times):
    "Send SIGINT to this process in so many seconds; times gets when."
    def wait():
        time.sleep(seconds)
        times.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=wait)
    thread.start()
    return thread
"""

# Calls of several seconds, whose outputs are hardly touched when they are interrupted.
CASES = {
    "many steps": "crnn.RNN(64, 256), constant(2**16, 8, 64)",
    "float64": "crnn.RNN(64, 128, dtype='f8'), constant(2**16, 8, 64, dtype='f8')",
    "layers": "crnn.RNN(64, 256, 3), constant(2**16, 8, 64)",
    "two ways": "crnn.RNN(64, 256, 2, bidirectional=True), constant(2**14, 16, 64)",
    "one unit": "crnn.RNN(1, 1), constant(2**27, 1, 1)",
    "one unit, two ways": "crnn.RNN(1, 1, bidirectional=True), constant(2**26, 1, 1)",
    "one unit, many rows": "crnn.RNN(1, 1), constant(1, 2**26, 1)",
    "one step": "crnn.RNN(4096, 1024), constant(1, 2**14, 4096)",
    "one unbatched row": "crnn.RNN(2048, 1024), constant(2**16, 2048)",
    "wide input": "crnn.RNN(2**18, 64), constant(128, 32, 2**18)",
    "cell": "crnn.RNNCell(4096, 1024), constant(2**14, 4096)",
    "ragged": "crnn.RNN(64, 256), constant(2**16, 8, 64), [2**16] * 8",
    "padding": "crnn.RNN(1, 1), constant(2**27, 1, 1), [1]",
}

INTERRUPT = """
net, x, *lengths = eval(sys.argv[1])
options = {"lengths": lengths[0]} if lengths else {}
latencies = []
for attempt in range(3):
    times = []
    thread = send(0.15, times)
    try:
        net(x, **options)
        time.sleep(5)  # when the call was faster than the signal
    except KeyboardInterrupt:
        latencies.append(time.perf_counter() - times[0])
    thread.join()
    if latencies[-1] < float(sys.argv[3]):
        break
if x.size <= 2**32 and net.input_size < 10**5:
    check_usable(net)
print(len(latencies), min(latencies))
"""


@pytest.mark.parametrize("isa", sorted({crnn.isas()[0], crnn.isas()[-1]}))
@pytest.mark.parametrize("case", CASES)
def test_fault_86_keyboard_interrupt(case, isa):
    limit = MILLISECONDS / 1000
    done = run_python(PRELUDE + INTERRUPT, CASES[case], isa, limit, timeout=200)
    tries, latency = done.stdout.split()
    assert float(latency) < limit, f"{float(latency) * 1000:.0f} ms, {tries} tries"


def test_fault_87_handler_that_raises():
    run_python(
        PRELUDE
        + """
class Mine(Exception):
    pass

def handler(number, frame):
    raise Mine("signal")

net, x = crnn.RNN(64, 256), constant(2**16, 8, 64)
allocations = crnn._core.allocations()
signal.signal(signal.SIGALRM, handler)
for call in net, net.forward, lambda x: net(x, lengths=[2**16] * 8):
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        call(x)
    except Mine as error:
        assert str(error) == "signal"
    else:
        raise SystemExit("no error")
    check_usable(net)
assert crnn._core.allocations() == allocations
"""
    )


def test_fault_87_handler_that_calls_the_same_object_and_touches_everything():
    """It returns, so the call goes on and gives what it gives undisturbed."""
    run_python(
        PRELUDE
        + """
net = crnn.RNN(64, 128, 2)
check_usable(net)
x = np.array(constant(12000, 8, 64))
h0 = np.zeros((2, 8, 128), np.float32)
expected = net(x, h0)
calls = []

def handler(number, frame):
    calls.append(check_usable(net))
    for array in x, h0:
        try:
            array.resize((1,), refcheck=False)
        except ValueError:
            calls.append("refused")
    for use in lambda: net.__init__(1, 1), lambda: setattr(net, "mode", "RNN_TANH"):
        try:
            use()
        except RuntimeError:
            pass
    net.load_state_dict(net.state_dict())
    net.weight_hh_l0 = net.weight_hh_l0.copy()
    net.double()
    net.float()
    signal.setitimer(signal.ITIMER_REAL, 0.01)

signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.005)
results = net(x, h0)
signal.signal(signal.SIGALRM, signal.SIG_IGN)
assert all(map(same_bits, results, expected))
assert "refused" in calls
"""
    )


def test_fault_88_call_from_another_thread():
    """It cannot look at signals; the main thread answers them meanwhile."""
    run_python(
        PRELUDE
        + """
net, x = crnn.RNN(64, 128), np.array(constant(64, 8, 64))
start = time.perf_counter()
expected = net(x)
seconds = time.perf_counter() - start
repeats = int(min(0.6 / seconds, 2000)) + 1
long, results = np.array(constant(64 * repeats, 8, 64)), []
worker = threading.Thread(target=lambda: results.append(net(long)))
times = []
latencies = []
thread = send(0.1, times)
worker.start()
try:
    while not results:  # an interrupted join() of Python 3.11 believes the thread ended
        time.sleep(0.01)
    time.sleep(5)
except KeyboardInterrupt:
    latencies.append(time.perf_counter() - times[0])
assert latencies[0] < 0.5, latencies
while not results:
    time.sleep(0.01)
worker.join()
thread.join()
output, _ = results[0]
assert same_bits(output[:64], expected[0])
check_usable(net)
"""
    )


def test_fault_87_signal_before_a_small_call_is_not_lost():
    run_python(
        PRELUDE
        + """
net, x, seen = crnn.RNN(3, 5), np.array(constant(4, 2, 3)), []
signal.signal(signal.SIGUSR1, lambda *ignored: seen.append(1))
for _ in range(50):
    os.kill(os.getpid(), signal.SIGUSR1)
    net(x)
assert len(seen) == 50
"""
    )
