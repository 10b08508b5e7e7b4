"""A zip file in memory, checked before anything in it is unpacked."""

import io
import struct
import zipfile
import zlib

from .files import FormatError

# What zipfile lets out on hostile bytes, apart from its own error.
_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)
_ERRORS += (ValueError, LookupError, OverflowError, RuntimeError)

# The methods whose output can be bounded while it is unpacked.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# A compressed file may hold this many times its size, and never less than this.
MAX_SWELLING = 100
MIN_ROOM = 1 << 20


class Archive:
    """The members of a zip file by name.

    Raises:
        FormatError: it is damaged, encrypted, has two members of one name, bytes before
            or after it, members that share bytes, or that swell beyond MAX_SWELLING.
    """

    def __init__(self, path: str, data: bytes):
        self.path = path
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _ERRORS as error:
            raise FormatError(path, f"a damaged zip file: {error}") from error
        members = self._zip.infolist()
        self.sizes = {member.filename: member.file_size for member in members}
        if len(self.sizes) != len(members):
            raise FormatError(path, "a zip file with two members of one name")
        if any(m.filename != m.orig_filename for m in members):
            raise FormatError(path, "a zip file with a NUL in a name")
        if any(m.flag_bits & 1 or m.compress_type not in METHODS for m in members):
            raise FormatError(path, "a zip file, encrypted or exotically compressed")
        first = min((m.header_offset for m in members), default=self._zip.start_dir)
        end = len(data) - 22 - len(self._zip.comment)
        if first != 0 or data[end : end + 4] != b"PK\5\6":
            raise FormatError(path, "a zip file with bytes before or after it")
        if len(members) != _count_members(data, end):
            raise FormatError(path, "a damaged zip file: it lacks members")
        if sum(m.compress_size for m in members) > len(data):
            raise FormatError(path, "a zip file whose members overlap")
        if sum(self.sizes.values()) > MAX_SWELLING * len(data) + MIN_ROOM:
            raise FormatError(
                path, f"a zip file that would swell to over {MAX_SWELLING} times"
            )

    def read(self, name: str) -> bytes:
        """One member, of exactly the size that the directory gives.

        Raises:
            FormatError: it is missing or damaged.
        """
        if name not in self.sizes:
            raise FormatError(self.path, f"the member {name!r} is missing")
        try:
            with self._zip.open(name) as member:
                # A size bounds what is unpacked, whatever the stream would go on to.
                data = member.read(self.sizes[name])
        except _ERRORS as error:
            raise FormatError(self.path, f"{name!r} is damaged: {error}") from error
        if len(data) != self.sizes[name]:
            raise FormatError(self.path, f"{name!r} is cut short")
        return data


def _count_members(data: bytes, end: int) -> int:
    """How many members there are by the record at data[end:], which zipfile ignores."""
    locator = end - 20  # of the same record with wide numbers, if there is one
    if locator >= 0 and data[locator : locator + 4] == b"PK\6\7":
        (wide,) = struct.unpack_from("<Q", data, locator + 8)
        if wide + 40 <= locator:
            return struct.unpack_from("<Q", data, wide + 32)[0]
    return struct.unpack_from("<H", data, end + 10)[0]
