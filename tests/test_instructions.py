"""No call executes more instructions than recorded: a slowdown that no clock shows."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import crnn

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("valgrind") is None, reason="needs valgrind"),
    pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="valgrind, or a sanitizer"),
    pytest.mark.skipif("avx2" not in crnn.isas(), reason="the record is for avx2"),
    # CPython 3.13 executes 8 % more of its own around the smallest call.
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the record is of 3.11"),
    pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="needs the source tree"),
]


def test_instructions(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import instructions

    assert instructions.excesses(instructions.count()) == []
