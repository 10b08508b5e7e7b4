"""Faults, group G: the process and what surrounds it; a test's name has its row.

Rows 96 to 100 are in test_faults_g_fork.py, 101 and 102 in test_num_threads.py, the
quota of row 104 in test_cpus.py, row 109 in test_import.py, rounding in
test_faults_d_environment.py.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults import LINUX, UNDER_ASAN, run_python
from threaded import PRELUDE, large_calls, results_alone

SECONDS = 60

linux = pytest.mark.skipif(not LINUX, reason="needs Linux")


@linux
def test_fault_103_affinity_changes():
    code = """
cpus = sorted(os.sched_getaffinity(0))
_core.assume_cpus(0)
assert crnn.get_num_threads() <= len(cpus)
for _ in range(3):
    for few in cpus[:1], cpus[-1:], cpus[:2], cpus:
        os.sched_setaffinity(0, few)
        assert crnn.get_num_threads() <= len(few)
        time.sleep(0.11)  # calls look again after a tenth of a second
        assert len(_core.run_team(10**6, 5)) == crnn.get_num_threads()
        check_calls(calls, expected)
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/comm") as file:
                if file.read() == "crnn\\n":  # a worker follows its caller
                    own = os.sched_getaffinity(int(task))
                    assert own and own <= set(few)  # it avoids the others' CPUs

os.sched_setaffinity(0, cpus[:1])  # of this thread alone
crnn.set_num_threads(8)
time.sleep(0.11)
assert crnn.get_num_threads() == 1 == len(_core.run_team(8, 5))
"""
    run_python(PRELUDE + code, timeout=SECONDS)


@linux
@pytest.mark.skipif(UNDER_ASAN, reason="the sanitizer needs the whole address space")
def test_fault_105_little_address_space():
    """At each limit the calls are right or out of memory, however few threads fit."""
    code = """
import resource
checked, refused = 0, 0
for kib in range(0, 40000, 700):
    _core.stop_team()
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (kib << 10), resource.RLIM_INFINITY))
    try:
        assert len(_core.run_team(3, 5)) in (1, 2, 3)
        check_calls(calls, expected)
        checked += 1
    except MemoryError:
        refused += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
assert checked
check_calls(calls, expected)
"""
    run_python(PRELUDE + code, timeout=SECONDS)


def test_fault_106_small_stacks():
    code = """
threading.stack_size(64 << 10)
errors = []
def use():
    try:
        check_calls(calls, expected, repeats=3)
    except BaseException as error:
        errors.append(error)
threads = [threading.Thread(target=use) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not errors, errors
"""
    run_python(PRELUDE + code, timeout=SECONDS)


@linux
def test_fault_107_no_file_can_be_opened():
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
_core.assume_cpus(0)
assert crnn.get_num_threads() == len(os.sched_getaffinity(0))
check_calls(calls, expected)
"""
    run_python(PRELUDE + code, timeout=SECONDS)


@linux
@pytest.mark.skipif(UNDER_ASAN, reason="the sanitizer itself reads /proc")
def test_fault_107_without_proc_and_sys():
    """In a mount namespace of its own, which only root may make."""
    shell = 'umount -l /sys; umount -l /proc && exec "$@"'
    code = (
        PRELUDE
        + """
assert not os.path.exists("/proc/self")
_core.assume_cpus(0)
assert crnn.get_num_threads() == len(os.sched_getaffinity(0))
check_calls(calls, expected)
crnn.show_config()
print("done")
"""
    )
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare")
    done = subprocess.run(
        [unshare, "--mount", "sh", "-c", shell, "sh", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    if "unshare" in done.stderr or "umount: /proc" in done.stderr:
        pytest.skip(f"cannot unmount: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("done\n")


DIGEST = """
import hashlib, sys
import crnn
from threaded import large_calls
digest = hashlib.sha256()
for call in large_calls():
    for array in call():
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


def digest_here():
    digest = hashlib.sha256()
    for results in results_alone(large_calls()):
        for array in results:
            digest.update(array.tobytes())
    return digest.hexdigest()


ENVIRONMENTS = {
    "PYTHONOPTIMIZE": {"PYTHONOPTIMIZE": "2"},
    "PYTHONMALLOC": {"PYTHONMALLOC": "debug"},
    "PYTHONDEVMODE": {"PYTHONDEVMODE": "1"},
    "LC_ALL": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "CRNN_NUM_THREADS": {"CRNN_NUM_THREADS": "1"},
    "nothing": {},
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_fault_111_environment(name):
    done = run_python(DIGEST, **ENVIRONMENTS[name])
    assert (done.stdout, done.stderr) == (digest_here() + "\n", "")


@pytest.mark.parametrize("name", ["de_DE.UTF-8", "fr_FR.UTF-8", "tr_TR.UTF-8"])
def test_fault_111_locale(name):
    """A decimal comma, or a dotless i, in the C library's numbers and letters."""
    code = """
import locale, sys
try:
    locale.setlocale(locale.LC_ALL, sys.argv[1])
except locale.Error:
    print("none")
    raise SystemExit
"""
    done = run_python(code + DIGEST, name)
    if done.stdout == "none\n":
        pytest.skip(f"the locale {name} is not installed")
    assert done.stdout == digest_here() + "\n"
