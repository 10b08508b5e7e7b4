"""The thread team without Python, under the thread and the address sanitizer."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from faults import UNDER_ASAN

HERE = Path(__file__).parent
RUNTIME = sorted(HERE.parent.glob("csrc/runtime/*.c"))

pytestmark = pytest.mark.skipif(UNDER_ASAN, reason="is itself a run under sanitizers")


def build(folder, *options):
    """The C program that exercises the team, or skip the test."""
    compiler = shutil.which("gcc")
    if compiler is None or not RUNTIME:
        pytest.skip("needs gcc and the source tree")
    program = folder / "team_stress"
    sources = [HERE / "team_stress.c", *RUNTIME]
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


def test_team_under_thread_sanitizer(tmp_path):
    program = build(tmp_path, "-fsanitize=thread")
    planted = run(program, "race")
    if "unexpected memory mapping" in planted.stderr:
        pytest.skip("the thread sanitizer does not run here")
    assert "data race" in planted.stderr  # it sees
    check_done(run(program))


def test_team_under_address_sanitizer(tmp_path):
    options = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    program = build(tmp_path, *options)
    check_done(run(program))
    check_done(run(program, "fork"))
