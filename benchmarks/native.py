"""C and C++ beside these scripts, compiled on demand with the system's compiler."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from cases import ROOT

FOLDER = ROOT / "build" / "benchmarks"
DEFAULTS = {".c": ("CC", "cc"), ".cpp": ("CXX", "c++")}


def library(source: Path, *flags: str) -> ctypes.CDLL:
    """The file as a shared library; compiled if it is newer than the last time.

    Raises:
        OSError: there is no compiler, or it fails; the message is the compiler's.
    """
    target = FOLDER / f"{source.stem}.so"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        compile_to(target, source, flags)
    return ctypes.CDLL(str(target))


def compile_to(target, source, flags):
    variable, default = DEFAULTS[source.suffix]
    compiler = os.environ.get(variable, default)
    if shutil.which(compiler) is None:
        raise OSError(f"needs a compiler: {compiler} is not there")
    FOLDER.mkdir(parents=True, exist_ok=True)
    # Processes may compile at once: each writes its own file, the last one stays.
    new = target.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O3", "-march=native", "-shared", "-fPIC", "-Wall", "-Wextra"]
    done = subprocess.run(
        [*command, str(source), *flags, "-o", str(new)], capture_output=True, text=True
    )
    if done.returncode:
        raise OSError(f"{compiler} cannot compile {source.name}:\n{done.stderr}")
    new.replace(target)
