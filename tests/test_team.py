"""The thread team by itself: jobs, barriers, users, size, creation of threads."""

import signal
import threading
import time
from pathlib import Path

import pytest
from faults import LINUX, run_python

from crnn import _core

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
    rounds, seen = 10_000, None
    while seen is None:
        first, rounds = [], 2 * rounds
        thread = threading.Thread(
            target=lambda n=rounds, to=first: to.append(_core.run_team(2, n))
        )
        thread.start()
        time.sleep(0.005)
        now = _core.stop_team(), len(_core.run_team(2, 0))
        if not first:  # the thread has the team still
            seen = now
        thread.join()
    check_meeting(first[0], 2, rounds)
    assert seen == (False, 1)
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
        try:
            lines = (task / "status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended since it was listed
        fields = dict(line.split(":\t", 1) for line in lines)
        yield fields["Name"], int(fields["SigBlk"], 16)


@pytest.mark.skipif(
    not LINUX or not Path("/proc/self/task").exists(), reason="no /proc"
)
def test_threads_start_once_sleep_and_block_signals():
    assert _core.stop_team()
    end = time.monotonic() + 1  # what has been joined is listed a moment longer
    while "crnn" in [name for name, _ in statuses()]:
        assert time.monotonic() < end
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


def test_hooks_refuse_what_is_no_count():
    for function in _core.set_num_threads, _core.fail_thread, _core.assume_cpus:
        for wrong in 1.0, "1", None:
            with pytest.raises(TypeError):
                function(wrong)
        for wrong in -1, -(2**70):
            with pytest.raises(ValueError, match="negative"):
                function(wrong)
