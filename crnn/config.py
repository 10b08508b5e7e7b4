"""The version, the choice of kernels at import, and a description of both."""

import os
import sys
import warnings

import numpy as np

from . import _core

__version__ = "0.1.0"


def select_isa() -> None:
    """Let ``CRNN_ISA`` override the best kernels; a name that cannot run only warns."""
    wanted = os.environ.get("CRNN_ISA", "")
    if not wanted:
        return
    if wanted in _core.isas():
        _core.set_isa(wanted)
    else:
        warnings.warn(
            f"CRNN_ISA={wanted!r} is ignored: this machine can run "
            f"{', '.join(_core.isas())}",
            RuntimeWarning,
            stacklevel=3,
        )


def cpu_name() -> str:
    """The processor's name as the operating system gives it."""
    try:
        with open("/proc/cpuinfo", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    import platform  # only descriptions pay for it

    return platform.processor() or platform.machine()


def show_config() -> None:
    """Print the version, the machine and what crnn uses of it."""
    print(f"crnn     {__version__}")
    print(f"CPU      {cpu_name()}")
    print(f"ISAs     {', '.join(_core.isas())}; using {_core.isa()}")
    print(f"threads  {_core.get_num_threads()}")
    print(f"NumPy    {np.__version__}")
    print(f"Python   {sys.version.split()[0]}")
