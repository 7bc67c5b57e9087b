"""The file of one column of a data set, which grows while its rows are made."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class ColumnFile:
    """One growing ``.npy`` file, whose header gets the number of rows at the end.

    Args:
        path: Path of the file, whose folder is made.
        like: Array of the type and the row shape of all rows.
    """

    def __init__(self, path: Path, like: NDArray[Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._dtype, self._shape = like.dtype, like.shape[1:]
        self._rows = 0
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        """Writes rows behind those that are there."""
        if (rows.dtype, rows.shape[1:]) != (self._dtype, self._shape):
            expected = f"(rows, *{self._shape}) {self._dtype}"
            raise ValueError(f"{self._path.stem}: expected {expected}, got {rows.shape} {rows.dtype}")
        self._file.write(np.ascontiguousarray(rows).data)
        self._rows += len(rows)

    def finish(self) -> dict[str, Any]:
        """Completes the file and returns its entry of the manifest."""
        self._file.seek(0)
        self._write_header()  # numpy leaves room in a header for the first axis to grow
        self._file.flush()
        flush_to_disk(self._file.fileno())
        self._file.close()
        return {"bytes": self._path.stat().st_size, "sha256": file_sha256(self._path)}

    def close(self) -> None:
        """Closes the file, whatever its state, because its folder is about to be removed."""
        with suppress(OSError):
            self._file.close()

    def _write_header(self) -> None:
        """Writes a header with the present number of rows at the present place of the file."""
        shape = (self._rows, *self._shape)
        fields = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, fields)


def flush_to_disk(descriptor: int) -> None:
    """Returns when a file or a folder is on the disk, or at once where the file system cannot tell.

    Args:
        descriptor: Descriptor of the file or the folder.

    Raises:
        OSError: The disk is full or damaged.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems and those in user space have no fsync, or none of folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EISDIR):
            raise


def file_sha256(path: Path) -> str:
    """Returns the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
