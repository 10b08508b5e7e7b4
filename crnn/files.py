"""Whole files: read into memory, written at once; and the error for bad content."""

import os
import stat


class FormatError(ValueError):
    """A file does not hold what its format promises: the message says which and why."""

    def __init__(self, path: str, reason: str):
        super().__init__(path, reason)

    def __str__(self) -> str:
        return ": ".join(map(str, self.args))


FormatError.__module__ = "crnn"


def _open(path: str, flags: int) -> int:
    # Non-blocking, for the open of a pipe would wait until somebody writes into it.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_special(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise FormatError(path, "it is a pipe, a device or the like, no regular file")


def read_file(path: str) -> bytes:
    """The content of a regular file.

    In memory and not mapped, so that nobody can change or cut it while it is parsed.

    Raises:
        OSError: it cannot be opened or read, or is a directory.
        FormatError: it is a pipe or a device, or the path holds a NUL.
    """
    _refuse_nul(path)
    with open(path, "rb", opener=_open) as file:
        _refuse_special(path, os.fstat(file.fileno()).st_mode)
        return file.read()


def write_file(path: str, data: bytes) -> None:
    """Make data the content of the file: all of it or, on an error, none.

    A symbolic link stays one, and the file that it leads to is replaced.

    Raises:
        OSError: it cannot be written, or is a directory.
        FormatError: it is a pipe or a device, or the path holds a NUL.
    """
    _refuse_nul(path)
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isdir(target):
        _refuse_special(path, os.stat(target).st_mode)
    part = f"{target}.{os.urandom(4).hex()}.part"
    with open(part, "xb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, target)
        except BaseException:
            os.unlink(part)
            raise


def _refuse_nul(path: str) -> None:
    if "\0" in path:
        raise FormatError(path, "the path holds a NUL")
