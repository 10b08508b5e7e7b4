"""Which CPUs a call may use: affinity, control groups, an unreadable system."""

import pytest
from faults import LINUX

from crnn import _core

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
    for root in "/nowhere", "x" * 10_000, __file__:
        assert _core.cpu_quota(root) is None
    for root in None, 1, b"/", "\ud800":
        with pytest.raises((TypeError, UnicodeEncodeError)):
            _core.cpu_quota(root)
