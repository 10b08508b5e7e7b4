"""Running a program that knows nothing of crnn, patched."""

import os
import runpy
import sys

from .patching import patched


def run(path, arguments=()) -> None:
    """Run a Python script as ``python path arguments...`` would, patched.

    ``sys.argv`` and the first entry of ``sys.path`` are the script's, and stay so.

    Args:
        path: of the script.
        arguments: strings for it.
    """
    sys.argv = [path, *arguments]
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    with patched():
        runpy.run_path(path, run_name="__main__")
