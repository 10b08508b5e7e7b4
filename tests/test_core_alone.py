"""The core without Python, in a C program: on this machine and, emulated, on AArch64.

Beside csrc/core it needs only runtime/machine.c, which knows what the CPU can run.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLAGS = "-std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -ffp-contract=off -Icsrc"
# The generic kernels' results: one checksum, whatever the compiler and the machine.
CHECKSUM = "55da18e5cae6351c"
NATIVE = shlex.split(os.environ.get("CC", "cc"))
CROSS = ["aarch64-linux-gnu-gcc", "-static"]

pytestmark = pytest.mark.skipif(
    not (ROOT / "csrc").is_dir(), reason="needs the source tree"
)


def build_and_run(compiler, emulator, folder):
    """What the program prints; skips where a tool is missing."""
    for tool in compiler[0], *emulator:
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    # The tools are not to be run under a sanitizer's preload.
    plain = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    options = {"capture_output": True, "text": True, "env": plain, "cwd": ROOT}

    def run(*command, timeout=None):
        done = subprocess.run(command, **options, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def compile_source(source):
        target = folder / f"{source.stem}.o"
        run(*compiler, *FLAGS.split(), "-c", source, "-o", target)
        return target

    sources = [*(ROOT / "csrc/core").glob("*.c"), ROOT / "csrc/runtime/machine.c"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = pool.map(compile_source, [ROOT / "tests/core_alone.c", *sources])
    program = folder / "core_alone"
    run(*compiler, *objects, "-o", program, "-lm")
    return run(*emulator, program, timeout=120)


@pytest.mark.parametrize(
    "compiler, emulator, isas",
    [
        pytest.param(NATIVE, [], {"generic"}, id=platform.machine()),
        pytest.param(CROSS, ["qemu-aarch64"], {"generic", "neon"}, id="emulated"),
    ],
)
def test_every_variant_has_the_same_bits(compiler, emulator, isas, tmp_path):
    text = build_and_run(compiler, emulator, tmp_path)
    assert isas <= set(re.findall(r"^(\w+) f(?:32|64) same bits$", text, re.M))
    assert f"checksum {CHECKSUM}" in text
