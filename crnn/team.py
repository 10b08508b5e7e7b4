"""How many threads calls may use: the setting, CRNN_NUM_THREADS, threadpoolctl.

The threads belong to the process: they start with the first call that is worth it and
sleep between calls.  A result has the same bits whatever their number.
"""

import contextlib
import operator
import os
import sys
import threading
import warnings

from . import _core
from .config import __version__

_core.set_main_thread(threading.main_thread().ident)
os.register_at_fork(after_in_child=lambda: _core.set_main_thread(threading.get_ident()))

_threadpoolctl = None  # the module in which crnn is registered


def checked_number(n: int) -> int:
    """A number of threads; TypeError or ValueError if it cannot be one."""
    if isinstance(n, bool):
        raise TypeError(f"the number of threads must be an int, got {n!r}")
    n = operator.index(n)
    if n < 1:
        raise ValueError(f"the number of threads must be at least 1, got {n}")
    return n


def set_num_threads(n: int) -> None:
    """Let calls use at most n threads, in the whole process.

    Calls never use more than the CPUs that the process may run on, nor than its control
    group grants: a larger n means all of these, now and when their number changes.

    Args:
        n: at least 1.

    Raises:
        TypeError: n is no integer.
        ValueError: n is less than 1.
    """
    register_threadpoolctl()
    _core.set_num_threads(checked_number(n))


def get_num_threads() -> int:
    """How many threads a call from this thread may use now.

    The least of what was set (by `set_num_threads`, else the environment variable
    CRNN_NUM_THREADS, else nothing), the CPUs that this thread may run on, and the quota
    of the process's control group, rounded up.
    """
    register_threadpoolctl()
    return _core.get_num_threads()


class threads(contextlib.ContextDecorator):
    """A context, or a decorator, in which calls use at most n threads.

    Like `set_num_threads` it is for the whole process, other threads included.  In the
    end what was set before is set again.

    Args:
        n: at least 1.

    Raises:
        TypeError: n is no integer.
        ValueError: n is less than 1.

    Example:
        >>> with threads(1):
        ...     get_num_threads()
        1
    """

    def __init__(self, n: int):
        self._n = checked_number(n)
        self._before = []

    def __enter__(self) -> "threads":
        register_threadpoolctl()
        self._before.append(_core.set_num_threads(self._n))
        return self

    def __exit__(self, *error) -> None:
        _core.set_num_threads(self._before.pop())


def read_environment() -> None:
    """Set what ``CRNN_NUM_THREADS`` says; what is no number from 1 up only warns."""
    wanted = os.environ.get("CRNN_NUM_THREADS", "")
    if not wanted:
        return
    digits = wanted.strip()
    if digits.isascii() and digits.isdecimal() and digits.strip("0"):
        # int() refuses thousands of digits; nine are more than there can be threads.
        _core.set_num_threads(int(digits.lstrip("0")[:9]))
    else:
        warnings.warn(
            f"CRNN_NUM_THREADS={wanted!r} is ignored: it is no integer from 1 up",
            RuntimeWarning,
            stacklevel=3,
        )


def register_threadpoolctl() -> bool:
    """Let ``threadpoolctl.threadpool_limits`` and ``threadpool_info`` know of crnn.

    Needed only if threadpoolctl was imported after the last network was made: making
    one, `get_num_threads` and `set_num_threads` register as soon as it has been
    imported.  crnn never imports it, and is there known as the API "crnn".

    Returns:
        Whether threadpoolctl has been imported, and so knows of crnn.
    """
    global _threadpoolctl
    module = sys.modules.get("threadpoolctl")
    if module is not _threadpoolctl and hasattr(module, "register"):
        _threadpoolctl = module
        module.register(_controller(module.LibController))
    return _threadpoolctl is not None


def _controller(base: type) -> type:
    """A subclass of threadpoolctl.LibController for the library of _core."""
    path = os.path.realpath(_core.__file__)

    class CrnnController(base):
        user_api = "crnn"
        internal_api = "crnn"
        filename_prefixes = (os.path.basename(path).lower(),)
        check_symbols = ("PyInit__core",)

        def get_num_threads(self) -> int:
            return _core.get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            _core.set_num_threads(checked_number(num_threads))

        def get_version(self) -> str:
            return __version__

        def set_additional_attributes(self) -> None:
            if self.filepath != path:  # another package's module of the same name
                self.dynlib = None

    return CrnnController
