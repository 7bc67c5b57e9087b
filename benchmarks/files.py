"""Files that are written whole or not at all. Standard library only."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Mapping[str, Any], *, replace: bool = True) -> None:
    """Writes strict JSON, whole or not at all: a temporary file, fsync, rename.

    Raises:
        FileExistsError: ``path`` exists, and is not to be replaced.
        OSError: The folder cannot be written or is full; ``path`` is then as it was.
        ValueError: ``content`` holds NaN or an infinity.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n", replace=replace)


def temporary_path(path: Path) -> Path:
    """Returns a hidden path beside ``path`` that no other process uses.

    Containers that share a folder have the same process numbers, so the name is random.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def write_text(path: Path, text: str, *, replace: bool = True) -> None:
    """Writes a file whole or not at all.

    Raises:
        FileExistsError: ``path`` exists, and is not to be replaced.
        OSError: The folder cannot be written or is full; ``path`` is then as it was.
    """
    temporary = temporary_path(path)
    try:
        with temporary.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            try:
                os.fsync(file.fileno())
            except OSError as error:  # some network file systems and those in user space have no fsync
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
                    raise
        if replace:
            temporary.replace(path)
        else:
            _rename_to_new(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Gives a file a name that no file has yet, or raises FileExistsError."""
    try:
        path.hardlink_to(temporary)  # asks the server of a network file system, and no cache
    except FileExistsError:
        raise
    except OSError:  # a file system without such links
        path.touch(exist_ok=False)
        temporary.replace(path)


def file_stamp(path: Path) -> tuple[int, int] | None:
    """Returns a value that changes each time the file is written; None where there is no file."""
    if not path.exists():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns
