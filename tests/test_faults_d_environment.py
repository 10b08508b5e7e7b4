"""Faults, group D: the caller's floating-point environment (rows 58 to 61).

Rounding, flushing, traps and flags are set through the C library, in interpreters of
their own: what goes wrong here kills the process or falsifies everything after it.
"""

import pytest
from faults import LINUX, MACHINE, run_python

pytestmark = pytest.mark.skipif(
    not LINUX or MACHINE not in ("x86_64", "aarch64"),
    reason="knows the floating-point environment of Linux on x86-64 and AArch64 only",
)

PRELUDE = """
import ctypes, sys
import numpy as np
import crnn
from faults import draw, same_bits, network, cell

X86 = sys.argv[1] == "x86_64"
libm = ctypes.CDLL("libm.so.6")

class Environment(ctypes.Structure):  # the end of x86's fenv_t is MXCSR
    _fields_ = [("words", ctypes.c_uint32 * 8)]

def control_and_flags():
    env = Environment()
    libm.fegetenv(ctypes.byref(env))
    return (env.words[7],) if X86 else (env.words[0], env.words[1])

def set_control(bits, clear=0):
    env = Environment()
    libm.fegetenv(ctypes.byref(env))
    place = 7 if X86 else 0
    env.words[place] = env.words[place] & ~clear | bits
    libm.fesetenv(ctypes.byref(env))

UP, DOWN, ZERO = (0x4000, 0x2000, 0x6000) if X86 else (0x400000, 0x800000, 0xC00000)
FLUSH = 0x8040 if X86 else 1 << 24

def calls(dtype):
    small = network(dtype, num_layers=2, bidirectional=True)
    large = crnn.RNN(8, 64, dtype=dtype)
    x, wide = draw(4, 2, 3, dtype=dtype), draw(64, 8, 8, dtype=dtype)
    tiny = np.full((4, 2, 3), np.finfo(dtype).smallest_subnormal * 5, dtype)
    alike = network(dtype, nonlinearity="relu", bias=False)
    one, states = cell(dtype), draw(4, 2, 5, dtype=dtype)
    lengths = np.array([4, 2])
    hot = np.array([[[np.inf, np.nan, 1e30]]], dtype)
    return [
        lambda: small(x),
        lambda: small(x, states),
        lambda: small(x, lengths=lengths),
        lambda: large(wide),
        lambda: alike(tiny),
        lambda: small(hot),
        lambda: (one(x[0]),),
        lambda: (crnn._core.tanh(np.ravel(wide)),),
        lambda: (crnn._core.tanh(np.ravel(tiny)),),
    ]
"""


def run(code):
    return run_python(PRELUDE + code, MACHINE)


def test_fault_58_environment_and_flags_are_as_before():
    run("""
for dtype in "float32", "float64":
    for call in calls(dtype):
        call()
        for bits in 0, UP, DOWN, ZERO, FLUSH:
            libm.feclearexcept(0x3f)
            set_control(bits)
            before = control_and_flags()
            call()
            after = control_and_flags()
            set_control(0, clear=UP | DOWN | ZERO | FLUSH)
            assert after == before, (dtype, bits, before, after)
""")


def test_fault_58_environment_is_as_before_after_an_error():
    run("""
net, cell_ = network(), cell()
for bits in 0, UP, FLUSH:
    set_control(bits)
    before = control_and_flags()[0] & (ZERO | FLUSH)
    for bad in draw(4, 2, 9), draw(1), draw(4, 2, 3, dtype="float64"), None, "x":
        for module in net, cell_:
            try:
                module(bad)
            except Exception:
                pass
            else:
                raise SystemExit("no error")
    after = control_and_flags()[0] & (ZERO | FLUSH)
    set_control(0, clear=ZERO | FLUSH)
    assert after == before == bits
""")


def test_fault_59_results_do_not_depend_on_the_environment():
    run("""
for dtype in "float32", "float64":
    for call in calls(dtype):
        expected = call()
        for bits in UP, DOWN, ZERO, FLUSH, UP | FLUSH:
            set_control(bits)
            results = call()
            set_control(0, clear=UP | DOWN | ZERO | FLUSH)
            assert all(map(same_bits, results, expected)), (dtype, bits)
""")


def test_fault_59_same_seed_same_weights_where_subnormals_are_flushed():
    run("""
expected = [p.tobytes() for p in network().parameters()]
set_control(FLUSH)
parameters = [p.tobytes() for p in network().parameters()]
set_control(0, clear=FLUSH)
assert parameters == expected
""")


def test_fault_60_traps_do_not_fire():
    done = run("""
INVALID_DIVISION_OVERFLOW = 1 | 4 | 8 if X86 else 1 | 2 | 4
for dtype in "float32", "float64":
    for call in calls(dtype):
        expected = call()
        libm.feclearexcept(0x3f)
        if libm.feenableexcept(INVALID_DIVISION_OVERFLOW) == -1:
            print("no traps")
            raise SystemExit
        results = call()
        libm.fedisableexcept(INVALID_DIVISION_OVERFLOW)
        assert all(map(same_bits, results, expected))
""")
    if done.stdout == "no traps\n":
        pytest.skip("this processor has no floating-point traps")


def test_fault_60_errstate_sees_nothing():
    run("""
for dtype in "float32", "float64":
    for call in calls(dtype):
        expected = call()
        with np.errstate(all="raise"):
            assert all(map(same_bits, call(), expected))
""")


def test_fault_61_import_leaves_subnormal_arithmetic_alone():
    run("""
assert control_and_flags()[0] & (FLUSH | ZERO) == 0
for dtype in "float32", "float64":
    tiny = np.full(64, np.finfo(dtype).smallest_subnormal)
    assert (tiny * 1 == tiny).all() and (tiny + tiny == 2 * tiny).all() and tiny.all()
assert 5e-324 * 1.0 > 0
""")
