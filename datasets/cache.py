"""The folders of data sets for which nobody named a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets.errors import DataError
from datasets.partial_folder import HIDDEN


def cache_root() -> Path:
    """Returns the folder that ``HEPBENCH_DATA`` names, otherwise ``hepbench`` in the user's cache folder.

    Raises:
        DataError: The folder begins with the home of a user whom this machine does not know.
    """
    for variable, folder in (("HEPBENCH_DATA", ""), ("XDG_CACHE_HOME", "hepbench")):
        if value := os.environ.get(variable):
            return expand_home(value, variable) / folder
    # Not Path.home(): a container may run as a user that has no home.
    return Path(os.environ.get("HOME", "/"), ".cache", "hepbench")


def expand_home(path: str | Path, name: str) -> Path:
    """Returns a path with its leading ``~`` replaced, which a shell does not do within quotes.

    Args:
        path: Any path.
        name: The variable or option that gave the path, for the error.

    Raises:
        DataError: The path begins with the home of a user whom this machine does not know.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DataError(f"{name}={path}: there is no such home folder; write the whole path") from error


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """Gives a folder for temporary data, on the disk of the data set that is made of them.

    Args:
        beside: Folder of that data set. Its parents are made where they are missing. Where the folder is
            there, the temporary one is inside, because its parent may be on another disk.

    Yields:
        The folder, which is removed on leaving the context.

    Raises:
        DataError: The folder cannot be made.
    """
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        if beside.is_dir():
            scratch = TemporaryDirectory(prefix=f"{HIDDEN}-", dir=beside)
        else:
            scratch = TemporaryDirectory(prefix=f".{beside.name}-", dir=beside.parent)
    except OSError as error:
        raise DataError(f"cannot write to {beside.parent}: {error.strerror}") from error
    with scratch as folder:
        yield Path(folder)
