"""Where data sets lie that nobody gave a folder for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets.errors import DataError


def cache_root() -> Path:
    """The folder that ``HEPBENCH_DATA`` names, else ``hepbench`` in the user's cache folder."""
    named = os.environ.get("HEPBENCH_DATA")
    if named:
        return Path(named)
    # Not Path.home(): a container may run as a user that has no home.
    return Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/"), ".cache")) / "hepbench"


@contextmanager
def scratch_folder(beside: Path) -> Iterator[Path]:
    """Gives a folder for data that are not kept, on the disk of the data set that is made of them.

    Args:
        beside: Folder of that data set; its parents are made where they are missing.

    Raises:
        DataError: The folder cannot be made.
    """
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        scratch = TemporaryDirectory(prefix=f".{beside.name}-", dir=beside.parent)
    except OSError as error:
        raise DataError(f"cannot write to {beside.parent}: {error.strerror}") from error
    with scratch as folder:
        yield Path(folder)
