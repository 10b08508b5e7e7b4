"""The number of threads: setting, context, environment (row 101), threadpoolctl."""

import threading

import numpy as np
import pytest
from faults import check_usable, network, run_python

import crnn
from crnn import _core

CPUS = 6


@pytest.fixture(autouse=True)
def cpus():
    """As if the machine had that many, and nothing were set."""
    _core.assume_cpus(CPUS)
    before = _core.set_num_threads(0)
    yield
    _core.set_num_threads(before)
    _core.assume_cpus(0)


def test_all_cpus_unless_set():
    assert crnn.get_num_threads() == CPUS
    for n in 1, 2, CPUS:
        assert crnn.set_num_threads(n) is None
        assert crnn.get_num_threads() == n
    crnn.set_num_threads(CPUS + 1)
    assert crnn.get_num_threads() == CPUS
    _core.assume_cpus(2)
    assert crnn.get_num_threads() == 2
    _core.assume_cpus(2 * CPUS)
    assert crnn.get_num_threads() == CPUS + 1  # the setting is remembered


@pytest.mark.parametrize("n", [0, -1, -(2**40), np.int64(0), -(10**30)], ids=str)
def test_fault_102_too_few(n):
    crnn.set_num_threads(3)
    for function in crnn.set_num_threads, crnn.threads:
        with pytest.raises(ValueError, match="at least 1"):
            function(n)
    assert crnn.get_num_threads() == 3
    check_usable(network())


@pytest.mark.parametrize(
    "n", [2.5, 2.0, True, np.True_, "2", None, b"2", [2], np.float32(2), 2j], ids=repr
)
def test_fault_102_no_integer(n):
    crnn.set_num_threads(3)
    for function in crnn.set_num_threads, crnn.threads:
        with pytest.raises(TypeError):
            function(n)
    assert crnn.get_num_threads() == 3
    check_usable(network())


@pytest.mark.parametrize("n", [10**6, 2**31, 2**40, 2**64, 10**30, np.uint64(2**63)])
def test_fault_102_large_is_all(n):
    crnn.set_num_threads(n)
    assert crnn.get_num_threads() == CPUS
    check_usable(network())
    with crnn.threads(n):
        assert crnn.get_num_threads() == CPUS


def test_integers_of_other_types():
    class Index:
        def __index__(self):
            return 2

    for n in 2, np.int8(2), np.uint64(2), np.array(2), Index():
        crnn.set_num_threads(n)
        assert crnn.get_num_threads() == 2
        crnn.set_num_threads(1)


def test_context_restores_what_was_set():
    with crnn.threads(2) as context:
        assert crnn.get_num_threads() == 2
        with crnn.threads(1), context:  # again, inside itself
            assert crnn.get_num_threads() == 2
        assert crnn.get_num_threads() == 2
        crnn.set_num_threads(4)
    assert crnn.get_num_threads() == CPUS
    _core.assume_cpus(8)
    assert crnn.get_num_threads() == 8  # nothing was set before, and nothing is now
    with pytest.raises(ZeroDivisionError), crnn.threads(2):
        _ = 1 / 0
    assert crnn.get_num_threads() == 8


def test_decorator():
    @crnn.threads(2)
    def inside(depth):
        assert crnn.get_num_threads() == 2
        return depth and inside(depth - 1)

    inside(3)
    assert crnn.get_num_threads() == CPUS


def test_setting_is_the_process_s():
    seen = []
    with crnn.threads(2):
        thread = threading.Thread(target=lambda: seen.append(crnn.get_num_threads()))
        thread.start()
        thread.join()
    assert seen == [2]


def test_show_config_prints_it(capsys):
    with crnn.threads(2):
        crnn.show_config()
    assert "threads  2\n" in capsys.readouterr().out


READ = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import crnn
crnn._core.assume_cpus(6)
print(crnn.get_num_threads(), len(caught))
assert all("CRNN_NUM_THREADS" in str(w.message) for w in caught)
from faults import check_usable, network
check_usable(network())
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "6 0"),
        ("1", "1 0"),
        ("3", "3 0"),
        ("2 ", "2 0"),
        ("\t2\n", "2 0"),
        ("002", "2 0"),
        ("4000", "6 0"),
        ("9" * 30, "6 0"),
        ("9" * 100_000, "6 0"),
        ("0" * 100_000 + "2", "2 0"),
        ("abc", "6 1"),
        ("-1", "6 1"),
        ("+2", "6 1"),
        ("0", "6 1"),
        ("000", "6 1"),
        ("1e9", "6 1"),
        ("2.0", "6 1"),
        ("2,3", "6 1"),
        ("0x2", "6 1"),
        ("2_0", "6 1"),
        (" ", "6 1"),
        ("\u0662", "6 1"),
        ("\u00b2", "6 1"),
        ("\uff12", "6 1"),
        ("\udcff", "6 1"),
        ("2" + "x" * 100_000, "6 1"),
    ],
    ids=lambda text: ascii(text[:9]),
)
def test_fault_101_crnn_num_threads(value, expected):
    assert run_python(READ, CRNN_NUM_THREADS=value).stdout.strip() == expected


IMPORTS = """
import sys
import crnn
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits
crnn._core.assume_cpus(6)

def ours():
    return [entry for entry in threadpool_info() if entry["internal_api"] == "crnn"]

"""

CHECK = """
entry, = ours()
assert entry["num_threads"] == 6 and entry["version"] == crnn.__version__
assert entry["filepath"].endswith(crnn._core.__file__.rpartition("/")[2])
for limits in 2, {"crnn": 2}, {entry["filepath"]: 2}:
    with threadpool_limits(limits):
        assert crnn.get_num_threads() == 2 and ours()[0]["num_threads"] == 2
        with threadpool_limits(limits=1, user_api="crnn"):
            assert crnn.get_num_threads() == 1
        with threadpool_limits(limits=1, user_api="blas"):
            assert crnn.get_num_threads() == 2
    assert crnn.get_num_threads() == 6
controller = ThreadpoolController()
with controller.select(internal_api="crnn").limit(limits=3):
    assert crnn.get_num_threads() == 3
@controller.wrap(limits=2)
def inside():
    return crnn.get_num_threads()
assert inside() == 2 and crnn.get_num_threads() == 6
crnn.RNN(2, 3)
assert crnn.register_threadpoolctl() and len(ours()) == 1
"""


@pytest.mark.parametrize(
    "occasion",
    [
        "crnn.RNN(2, 3)",
        "crnn.RNNCell(2, 3)",
        "crnn.get_num_threads()",
        "crnn.set_num_threads(6)",
        "with crnn.threads(3): pass",
        "assert crnn.register_threadpoolctl()",
    ],
)
def test_threadpoolctl_imported_after(occasion):
    pytest.importorskip("threadpoolctl", reason="needs threadpoolctl")
    code = "import sys, crnn; assert not crnn.register_threadpoolctl()\n"
    code += "assert 'threadpoolctl' not in sys.modules\n" + IMPORTS
    run_python(code + "assert ours() == []\n" + occasion + CHECK)


def test_threadpoolctl_imported_before():
    pytest.importorskip("threadpoolctl", reason="needs threadpoolctl")
    run_python("import threadpoolctl\n" + IMPORTS + CHECK)


def test_threadpoolctl_leaves_other_modules_of_that_name_alone(tmp_path):
    """Another package may have an extension _core of the same interpreter."""
    pytest.importorskip("threadpoolctl", reason="needs threadpoolctl")
    code = """
import shutil, sys, importlib.util
import crnn
other = sys.argv[1] + "/" + crnn._core.__file__.rpartition("/")[2]
shutil.copy(crnn._core.__file__, other)
spec = importlib.util.spec_from_file_location("other._core", other)
importlib.util.module_from_spec(spec)
assert other in open("/proc/self/maps").read()
import threadpoolctl
assert crnn.register_threadpoolctl()
found = [e["filepath"] for e in threadpoolctl.threadpool_info()]
assert other not in found and crnn._core.__file__ in found
"""
    run_python(code, tmp_path)


def test_threadpoolctl_too_old_or_broken():
    code = """
import sys, types
sys.modules["threadpoolctl"] = types.ModuleType("threadpoolctl")
import crnn
assert not crnn.register_threadpoolctl()
crnn.RNN(2, 3)
"""
    run_python(code)
