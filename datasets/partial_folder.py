"""The hidden folder in which a data set is written before it gets its final name."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path

from datasets.errors import DataError

HIDDEN = ".partial"  # what the name of such a folder ends with, or begins with inside the final folder


def is_content(path: Path) -> bool:
    """Tells whether a path in a final folder is more than the rest of a writer, or part of a file system."""
    return not path.name.startswith(HIDDEN) and path.name != "lost+found"


def lock_folder(partial: Path, folder: Path) -> tuple[Path, int]:
    """Makes and locks the partial folder, with a lock that ends with the process in every case.

    Args:
        partial: Folder to lock.
        folder: Final folder, for the error.

    Returns:
        The folder and the descriptor of its lock. On a file system that does not lock folders, such as NFS,
        it is another folder, which no other process uses, and the descriptor holds no lock.

    Raises:
        DataError: Another process holds the lock.
    """
    while True:
        partial.mkdir(exist_ok=True)
        try:
            lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # its owner has just renamed or removed it
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking, its owner may have renamed it, and then it is not ours to fill.
            if partial.exists() and os.path.samestat(os.fstat(lock), partial.stat()):
                return partial, lock
            os.close(lock)
        except BlockingIOError as error:
            os.close(lock)
            raise DataError(f"another process is writing {folder}; wait for it or end it") from error
        except OSError:
            os.close(lock)
            private = partial.with_name(f"{partial.name}-{secrets.token_hex(4)}")
            private.mkdir()
            with suppress(OSError):  # another process fills it, having found it empty
                partial.rmdir()
            return private, os.open(private, os.O_RDONLY | os.O_DIRECTORY)
