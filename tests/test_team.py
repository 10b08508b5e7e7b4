"""The thread team by itself: jobs, barriers, users, size, creation, CPUs it may use."""

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from faults import LINUX, UNDER_ASAN, run_python

from crnn import _core

ROOT = Path(__file__).parent.parent
RUNTIME = sorted(ROOT.glob("csrc/runtime/*.c"))
CPUS = 5


@pytest.fixture(autouse=True)
def cpus():
    """As if the machine had that many, for calls of at most as many threads."""
    _core.assume_cpus(CPUS)
    before = _core.set_num_threads(0)
    yield CPUS
    _core.set_num_threads(before)
    _core.assume_cpus(0)
    _core.fail_thread(0)


def check_meeting(members, size, rounds):
    assert len(members) == size
    assert [right for right, _ in members] == [rounds] * size
    # All were told the same of each barrier.
    assert len({quick for _, quick in members}) == 1
    assert 0 <= members[0][1] <= 2 * rounds


@pytest.mark.parametrize("rounds", [0, 1, 2, 50])
@pytest.mark.parametrize("size", range(1, CPUS + 1))
def test_members_meet(size, rounds):
    for _ in range(5):
        check_meeting(_core.run_team(size, rounds), size, rounds)
    time.sleep(0.001)  # the workers sleep
    check_meeting(_core.run_team(size, rounds), size, rounds)


def test_size_is_the_least_of_all_limits():
    for wanted in -1, 0, 1, 3, CPUS, CPUS + 1, 2**40:
        size = min(max(wanted, 1), CPUS)
        check_meeting(_core.run_team(wanted, 1), size, 1)
    for setting in 1, 2, CPUS, CPUS + 1:
        _core.set_num_threads(setting)
        size = min(setting, CPUS)
        assert _core.get_num_threads() == size
        check_meeting(_core.run_team(CPUS, 1), size, 1)
    _core.set_num_threads(0)
    for assumed in 1, 2, CPUS:
        _core.assume_cpus(assumed)
        check_meeting(_core.run_team(CPUS, 1), assumed, 1)


def test_many_more_threads_than_cpus():
    _core.assume_cpus(64)
    check_meeting(_core.run_team(64, 3), 64, 3)
    assert _core.stop_team()


def test_no_memory_is_kept():
    _core.run_team(3, 1)
    before = _core.allocations()
    for size in range(1, CPUS + 1):
        _core.run_team(size, 2)
    assert _core.allocations() == before
    _core.fail_allocation(1)
    with pytest.raises(MemoryError):
        _core.run_team(3, 1)
    check_meeting(_core.run_team(3, 1), 3, 1)


def test_the_second_user_is_alone():
    """It neither waits nor shares; ending the team is refused meanwhile."""
    first, seen = [], []
    _core.run_team(2, 1)
    thread = threading.Thread(target=lambda: first.append(_core.run_team(2, 5_000)))
    thread.start()
    while not first:
        stopped = _core.stop_team()
        seen.append((stopped, len(_core.run_team(2, 0))))
    thread.join()
    check_meeting(first[0], 2, 5_000)
    assert (False, 1) in seen
    check_meeting(_core.run_team(2, 1), 2, 1)


def test_users_resizing_and_stopping_at_once():
    end, failures = time.monotonic() + 1, []

    def use(wanted):
        while time.monotonic() < end:
            members = _core.run_team(wanted, 3)
            if not 1 <= len(members) <= wanted or {m[0] for m in members} != {3}:
                failures.append(members)

    def disturb():
        n = 0
        while time.monotonic() < end:
            n += 1
            _core.set_num_threads(n % (CPUS + 2))
            _core.stop_team()
            assert 1 <= _core.get_num_threads() <= CPUS

    threads = [threading.Thread(target=use, args=(n,)) for n in (2, 3, CPUS)]
    threads.append(threading.Thread(target=disturb))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures and not any(thread.is_alive() for thread in threads)
    _core.set_num_threads(0)
    check_meeting(_core.run_team(CPUS, 3), CPUS, 3)


def statuses():
    """Name, and mask of blocked signals, of each thread of this process."""
    for task in Path("/proc/self/task").iterdir():
        fields = dict(
            line.split(":\t", 1) for line in (task / "status").read_text().splitlines()
        )
        yield fields["Name"], int(fields["SigBlk"], 16)


@pytest.mark.skipif(
    not LINUX or not Path("/proc/self/task").exists(), reason="no /proc"
)
def test_threads_start_once_sleep_and_block_signals():
    assert _core.stop_team()
    assert "crnn" not in [name for name, _ in statuses()]
    for _ in range(3):
        _core.run_team(3, 2)
        ours = [blocked for name, blocked in statuses() if name == "crnn"]
        assert len(ours) == 2
    faults = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGABRT"}
    for number in range(1, 32):
        if number in (signal.SIGKILL, signal.SIGSTOP):
            continue
        expected = signal.Signals(number).name not in faults
        assert [bool(blocked >> (number - 1) & 1) for blocked in ours] == [expected] * 2
    time.sleep(0.01)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.05


def test_fault_95_creation_fails_at_each_thread():
    code = """
import time
from crnn import _core
_core.assume_cpus(5)
for n in 1, 2, 5, 6:
    _core.stop_team()
    time.sleep(1.1)  # a refusal is remembered for a second
    _core.fail_thread(n)
    for _ in range(3):
        members = _core.run_team(5, 4)
        assert [m[0] for m in members] == [4] * min(n, 5), (n, members)
_core.fail_thread(0)
time.sleep(1.1)
assert len(_core.run_team(5, 4)) == 5
"""
    run_python(code)


QUOTAS = {
    "none": ({}, None),
    "version 2": ({"cgroup": "0::/a/b\n", "/a/b/cpu.max": "150000 100000\n"}, 2),
    "version 2, max": ({"cgroup": "0::/a\n", "/a/cpu.max": "max 100000\n"}, None),
    "version 2, at the root": ({"cgroup": "0::/\n", "/cpu.max": "300000 100000"}, 3),
    "version 2, of a parent": (
        {"cgroup": "0::/a/b\n", "/a/b/cpu.max": "max 9", "/a/cpu.max": "10 10\n"},
        1,
    ),
    "version 2, the least": (
        {"cgroup": "0::/a\n", "/a/cpu.max": "400 100", "/cpu.max": "700 200"},
        4,
    ),
    "version 2, the name of the host": ({"cgroup": "0::/x/y\n", "/cpu.max": "2 1"}, 2),
    "version 2, outside": ({"cgroup": "0::/../x\n", "/cpu.max": "2 1"}, 2),
    "version 2, tiny": ({"cgroup": "0::/a\n", "/a/cpu.max": "1000 100000\n"}, 1),
    "version 1": (
        {
            "cgroup": "9:pids:/p\n4:cpuset,cpu,cpuacct:/a/b\n2:cpuacct:/c\n",
            "/cpu/a/b/cpu.cfs_quota_us": "250000\n",
            "/cpu/a/b/cpu.cfs_period_us": "100000\n",
            "/c/cpu.max": "1 1",
        },
        3,
    ),
    "version 1, without": (
        {
            "cgroup": "1:cpu:/\n",
            "/cpu/cpu.cfs_quota_us": "-1\n",
            "/cpu/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "version 1, no period": ({"cgroup": "1:cpu:/", "/cpu/cpu.cfs_quota_us": "5"}, None),
    "both": (
        {
            "cgroup": "1:cpu:/a\n0::/b\n",
            "/cpu/a/cpu.cfs_quota_us": "300",
            "/cpu/a/cpu.cfs_period_us": "100",
            "/b/cpu.max": "200 100",
        },
        2,
    ),
    "nonsense": ({"cgroup": "\0:\n::::\n0::\n0::/a", "/a/cpu.max": "x y z"}, None),
    "no newline, no group": ({"cgroup": "0", "/cpu.max": "1 1"}, None),
    "zero": ({"cgroup": "0::/a\n", "/a/cpu.max": "0 0\n"}, None),
    "negative": ({"cgroup": "0::/a\n", "/a/cpu.max": "-5 -1\n"}, None),
    "empty files": ({"cgroup": "0::/a\n", "/a/cpu.max": ""}, None),
    "huge": ({"cgroup": "0::/a\n", "/a/cpu.max": f"{10**30} 1\n"}, 2**63 - 1),
    "long": ({"cgroup": "0::/" + "a" * 5000 + "\n", "/cpu.max": "2 1"}, 2),
    "deep": ({"cgroup": "0::" + "/a" * 1900 + "\n", "/a/cpu.max": "2 1"}, 2),
}


@pytest.mark.skipif(not LINUX, reason="control groups are Linux's")
@pytest.mark.parametrize("case", QUOTAS)
def test_fault_104_quota_of_the_control_group(case, tmp_path):
    files, expected = QUOTAS[case]
    for name, text in files.items():
        inside = "proc/self/cgroup" if name == "cgroup" else f"sys/fs/cgroup{name}"
        path = tmp_path / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert _core.cpu_quota(str(tmp_path)) == expected


@pytest.mark.skipif(not LINUX, reason="control groups are Linux's")
def test_quota_of_odd_roots():
    for root in "/nowhere", "x" * 10_000, str(ROOT / "setup.py"):
        assert _core.cpu_quota(root) is None
    for root in None, 1, b"/", "\ud800":
        with pytest.raises((TypeError, UnicodeEncodeError)):
            _core.cpu_quota(root)


def test_hooks_refuse_what_is_no_count():
    for function in _core.set_num_threads, _core.fail_thread, _core.assume_cpus:
        for wrong in 1.0, "1", None:
            with pytest.raises(TypeError):
                function(wrong)
        for wrong in -1, -(2**70):
            with pytest.raises(ValueError, match="negative"):
                function(wrong)


def build(folder, *options):
    """The C program that exercises the team, or skip the test."""
    compiler = shutil.which("gcc")
    if compiler is None or not RUNTIME:
        pytest.skip("needs gcc and the source tree")
    program = folder / "team_stress"
    sources = [Path(__file__).parent / "team_stress.c", *RUNTIME]
    command = [compiler, "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic"]
    command += ["-Werror", *options, "-pthread", *sources, "-lm", "-o", program]
    done = subprocess.run(command, capture_output=True, text=True)
    if any(text in done.stderr for text in ("cannot find", "unrecognized argument")):
        pytest.skip(f"gcc has no {options}")
    assert done.returncode == 0, done.stderr
    return program


def run(program, *arguments):
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )


def check_done(done):
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.skipif(UNDER_ASAN, reason="is itself a run under sanitizers")
def test_team_under_thread_sanitizer(tmp_path):
    program = build(tmp_path, "-fsanitize=thread")
    planted = run(program, "race")
    if "unexpected memory mapping" in planted.stderr:
        pytest.skip("the thread sanitizer does not run here")
    assert "data race" in planted.stderr  # it sees
    check_done(run(program))


@pytest.mark.skipif(UNDER_ASAN, reason="is itself a run under sanitizers")
def test_team_under_address_sanitizer(tmp_path):
    options = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    program = build(tmp_path, *options)
    check_done(run(program))
    check_done(run(program, "fork"))
