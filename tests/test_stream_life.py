"""Streams and the interpreter: copies, references, memory, threads, signals."""

import contextlib
import copy
import gc
import pickle
import sys
import threading
import weakref

import numpy as np
import pytest
from faults import UNDER_ASAN, both_dtypes, run_python, same_bits
from shapes import draw
from test_stream import check_stream, inputs, make

import crnn
from crnn import _core

MILLISECONDS = 300 if UNDER_ASAN else 100


@both_dtypes
@pytest.mark.parametrize("batch_size", [None, 3])
def test_copies(batch_size, dtype):
    rnn, x = make(3, 4, 2, dtype=dtype), inputs(batch_size, 3, dtype)
    stream = rnn.stream(batch_size)
    stream.step(x[0])
    state = stream.state
    copies = copy.copy(stream), copy.deepcopy(stream)
    pickles = [pickle.loads(pickle.dumps(stream, p)) for p in range(2, 6)]
    stream.reset()
    assert copies[0].network is rnn and copies[1].network is not rnn
    for other in *copies, *pickles:
        assert type(other) is crnn.Stream and other.batch_size == batch_size
        assert same_bits(other.state, state)
        check_stream(other, x[1:], state)
    assert not stream.state.any()


class Sub(crnn.Stream):
    """With a __dict__."""


def test_subclass_weak_reference_and_cycle():
    rnn, x = make(3, 4), inputs(None, 3)
    stream = Sub(rnn)
    rnn.stream_of_mine = stream  # a cycle
    stream.itself = stream
    check_stream(stream, x)
    assert type(copy.copy(stream)) is Sub
    dead, allocations = weakref.ref(stream), _core.allocations()
    del stream, rnn
    gc.collect()
    assert dead() is None and _core.allocations() < allocations
    stream = make(3, 4).stream()
    check_stream(stream, x)  # it keeps its network
    assert weakref.ref(stream)() is stream


def test_streams_of_many_threads():
    rnn, xs = make(8, 64, 2), [draw(50, 3, 8, seed=i) for i in range(8)]
    expected, results = [rnn(x)[0] for x in xs], [None] * 8

    def run(i):
        stream = rnn.stream(3)
        results[i] = np.stack([stream.step(x_t) for x_t in xs[i]])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(map(same_bits, results, expected))


def test_a_step_allocates_nothing_but_its_result():
    stream, x = make(64, 64).stream(), draw(64)
    out = np.empty(64, np.float32)
    gc.collect()
    blocks, allocations = sys.getallocatedblocks(), _core.allocations()
    for _ in range(1000):
        stream.step(x, out)
        stream.step(x)
        stream.step(x, out=out)
    assert _core.allocations() == allocations
    assert sys.getallocatedblocks() - blocks < 20


def test_reference_counts():
    rnn = make(3, 4, 2)
    stream, x, out = rnn.stream(2), draw(2, 3), np.empty((2, 4), np.float32)
    wrong, rows = draw(2, 5), np.array([1])
    calls = [
        lambda: stream.step(x),
        lambda: stream.step(x, out),
        lambda: stream.step(x.astype(">f4"), out=out),
        lambda: stream.step(wrong),
        lambda: stream.step(x, wrong),
        lambda: stream.step(x, other=out),
        lambda: stream.reset(stream.state, rows=None),
        lambda: stream.reset(rows=rows),
        lambda: stream.reset(wrong, rows=rows),
        lambda: rnn.stream(2),
    ]
    objects = [rnn, stream, x, out, wrong, rows, *rnn.parameters()]
    before = [sys.getrefcount(o) for o in objects]
    for call in calls:
        for _ in range(10):
            with contextlib.suppress(TypeError, ValueError):
                call()
        gc.collect()
        assert [sys.getrefcount(o) for o in objects] == before


NO_MEMORY = """
import gc
import _testcapi
import numpy as np
from faults import same_bits
from test_stream import check_stream, inputs, make

rnn = make(3, 4, 2)
stream, x = rnn.stream(2), inputs(2, 3)
out = np.empty((2, 4), np.float32)
uses = [
    lambda: stream.step(x[0]),
    lambda: stream.step(x[0].astype(">f4"), out),
    lambda: stream.reset(rows=[1]),
    lambda: stream.state,
    lambda: rnn.stream(3),
]
for use in uses:
    use()
gc.disable()
for use in uses:
    for n in range(200):
        state, failed = stream.state, False
        _testcapi.set_nomemory(n, n + 1)
        try:
            use()
        except MemoryError:
            failed = True
        except Exception:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        assert not failed or same_bits(stream.state, state)
        if not failed:
            break
    check_stream(stream, x, stream.state)
print("done")
"""


@pytest.mark.skipif(UNDER_ASAN, reason="replaces the allocator under the sanitizer")
def test_every_failing_allocation_of_python():
    pytest.importorskip("_testcapi", reason="this Python has no _testcapi")
    done = run_python(NO_MEMORY, check=False)
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr[-3000:]


PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
import crnn
from faults import same_bits
from shapes import draw

crnn.set_num_threads(1)
rnn = crnn.RNN(4096, 1024)
B, took = 128, 0
while took < 0.2:  # seconds: long enough to be disturbed on any machine
    B *= 2
    stream = rnn.stream(B)
    x = np.full((B, 4096), 0.5, np.float32)
    began = time.perf_counter()
    stream.step(x)
    took = time.perf_counter() - began
stream.reset()

def check():
    small = rnn.stream(3)
    small.reset(stream.state[:, :3])
    y = small.step(x[:3])
    stream.step(x)
    assert same_bits(stream.state[0, :3], y)
"""


def test_fault_86_keyboard_interrupt():
    run_python(
        PRELUDE
        + """
latencies = []
for attempt in range(3):
    times = []
    def wait():
        time.sleep(0.1)
        times.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=wait)
    before = stream.state
    thread.start()
    try:
        while True:
            before = stream.state
            stream.step(x)
    except KeyboardInterrupt:
        latencies.append(time.perf_counter() - times[0])
    thread.join()
    assert same_bits(stream.state, before)
    if latencies[-1] < float(sys.argv[1]):
        break
assert min(latencies) < float(sys.argv[1]), latencies
check()
""",
        MILLISECONDS / 1000,
    )


def test_a_stream_has_one_step_at_a_time():
    """Another thread, and a signal handler amid a step, get an error; it goes on."""
    run_python(
        PRELUDE
        + """
refused = []

def use(*ignored):
    for name, *arguments in ("step", x), ("reset",), ("reset", None, [0]):
        try:
            getattr(stream, name)(*arguments)
        except RuntimeError as error:
            refused.append(str(error))
    assert not stream.state.any()  # of the last step that ended
    assert stream.batch_size == B
    for array in x, out:
        try:
            array.resize((1,), refcheck=False)
        except ValueError:
            refused.append("resize")

out = np.empty((B, 1024), np.float32)
signal.signal(signal.SIGALRM, use)
signal.setitimer(signal.ITIMER_REAL, 0.02)
stream.step(x, out)
signal.setitimer(signal.ITIMER_REAL, 0)
assert refused == ["a step of this stream is under way"] * 3 + ["resize"] * 2, refused
assert same_bits(stream.state[0], out)
check()

stream.reset()
refused.clear()
thread = threading.Thread(target=lambda: (time.sleep(0.02), use()))
thread.start()
stream.step(x, out)
thread.join()
assert refused == ["a step of this stream is under way"] * 3 + ["resize"] * 2, refused
assert same_bits(stream.state[0], out)
check()
"""
    )


def test_threads_that_race_for_one_stream():
    """Every step that did not raise was made, one after the other."""
    rnn = make(3, 64)
    stream, x, made = rnn.stream(200), draw(200, 3), []

    def run():
        for _ in range(40):
            try:
                stream.step(x)
            except RuntimeError:
                continue
            made.append(1)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    steps = np.broadcast_to(x, (len(made), 200, 3))
    assert same_bits(stream.state, rnn(steps)[1])
