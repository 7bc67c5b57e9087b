"""Zip files inside zip files, as the archive of the TrackML challenge has them."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from datasets.errors import DataError

_HEADER_BYTES = 30  # of a member, before its name
_LENGTHS_AT = 26  # of the name and of what follows it, two bytes each


class _Section(io.RawIOBase):
    """A part of a file, as a file of its own that is open for reading.

    Args:
        path: The file.
        start: First byte of the part.
        size: Number of bytes.
    """

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file = path.open("rb")
        self._start, self._size, self._position = start, size, 0

    def readable(self) -> bool:
        """Returns True."""
        return True

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the position in the part."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Moves to a position and returns it."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Reads bytes into a buffer and returns their number."""
        wanted = min(len(buffer), max(0, self._size - self._position))
        self._file.seek(self._start + self._position)
        content = self._file.read(wanted)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
        super().close()


def open_inner(archive: zipfile.ZipFile, name: str, path: Path | None, stack: ExitStack) -> zipfile.ZipFile:
    """Opens a zip file inside another one.

    One that is stored is read where it lies. A compressed one, in which nobody can move about, is unpacked
    into a temporary file.

    Args:
        archive: The outer zip file.
        name: Name of the inner one.
        path: Path of the outer one, or None where it is inside another one itself.
        stack: Closes what is opened here.

    Raises:
        DataError: It is damaged, encrypted, or does not fit on the disk.
    """
    member = archive.getinfo(name)
    try:
        if path is not None and member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1:
            file: IO[bytes] = io.BufferedReader(_Section(path, _start(path, member), member.file_size))
            stack.callback(file.close)
        else:
            file = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack closes it)
            with archive.open(name) as packed:
                shutil.copyfileobj(packed, file, 1 << 20)
        return stack.enter_context(zipfile.ZipFile(file))
    except (OSError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{archive.filename or ''}/{name}: expected a zip file, got: {error}") from error


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """Returns the first byte of the content of a member, whose header has a name and more before it."""
    with path.open("rb") as file:
        file.seek(member.header_offset + _LENGTHS_AT)
        name_bytes, extra_bytes = struct.unpack("<HH", file.read(4))
    return int(member.header_offset + _HEADER_BYTES + name_bytes + extra_bytes)
