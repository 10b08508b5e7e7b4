"""What the tests of faults share: small networks, proof that errors did no harm."""

import collections
import contextlib
import os
import platform
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from reference import assert_close, reference_of
from shapes import draw

import crnn

DTYPES = ("float32", "float64")
T, B, I, H = 4, 2, 3, 5  # noqa: E741
UNDER_ASAN = "libasan" in os.environ.get("LD_PRELOAD", "")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
LINUX = sys.platform == "linux"
MACHINE = platform.machine()

# As torch's PackedSequence, in the four fields that count.
Packed = collections.namedtuple(
    "Packed", "data batch_sizes sorted_indices unsorted_indices"
)

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def network(dtype="float32", seed=0, **options):
    crnn.manual_seed(seed)
    return crnn.RNN(I, H, dtype=dtype, **options)


def cell(dtype="float32", seed=0, **options):
    crnn.manual_seed(seed)
    return crnn.RNNCell(I, H, dtype=dtype, **options)


def same_bits(a, b):
    """Whether two arrays have one shape, one dtype and the same bits."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def check_usable(net):
    """Make a right call; it gives the right answer."""
    dtype = next(net.parameters()).dtype
    is_cell = isinstance(net, crnn.RNNCell)
    rows = (B,) if is_cell else (B, T) if net.batch_first else (T, B)
    x = draw(*rows, net.input_size, dtype=dtype)
    check_right(net, x)


def check_right(net, x, hx=None, lengths=None):
    """Make this call; it gives what the reference gives, and writes no input."""
    arrays = [a for a in (x, hx) if a is not None]
    before = [a.tobytes() for a in arrays]
    arguments = () if hx is None else (hx,)
    options = {} if lengths is None else {"lengths": lengths}
    results = net(x, *arguments, **options)
    expected = reference_of(net, x, hx, lengths)
    if isinstance(net, crnn.RNNCell):
        results, expected = (results,), (expected,)
    for result, right in zip(results, expected, strict=True):
        assert type(result) is np.ndarray
        assert result.dtype == next(net.parameters()).dtype
        assert_close(result, right)
    assert [a.tobytes() for a in arrays] == before
    return results


@contextlib.contextmanager
def refused(error, text, net, *arrays):
    """The body raises error with text, writes no array and leaves net usable."""
    before = [a.tobytes() for a in arrays]
    parameters = [p.tobytes() for p in net.parameters()]
    with pytest.raises(error) as caught:
        yield caught
    assert text in str(caught.value)
    assert [a.tobytes() for a in arrays] == before
    assert [p.tobytes() for p in net.parameters()] == parameters
    del caught
    check_usable(net)


def run_python(code, *arguments, timeout=60, memory=None, check=True, **environment):
    """Run code in a fresh interpreter; memory limits its address space in bytes.

    One that outlives the timeout, in seconds, is made to tell where it is.
    """
    if memory and not UNDER_ASAN:  # whose shadow memory needs the whole address space
        limit = f"import resource as r; r.setrlimit(r.RLIMIT_AS, ({memory},) * 2)\n"
        code = limit + code
    options = ["-W", "error", "-X", "faulthandler"]
    command = [sys.executable, *options, "-c", code, *map(str, arguments)]
    path = os.pathsep.join(
        p for p in (str(Path(__file__).parent), os.environ.get("PYTHONPATH")) if p
    )
    timeout *= 5 if UNDER_ASAN else 1
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **environment},
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            out, err = process.communicate()
            pytest.fail(f"still running after {timeout} s\n{out}{err}")
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        assert done.returncode == 0, f"{done.returncode}\n{out}{err}"
    return done
