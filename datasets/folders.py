"""Search of folders for data files, wherever below them the files lie, and words for what lies there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets.errors import DataError


def paths_below(folder: Path) -> list[Path]:
    """Returns the files and the empty folders below a folder, in the order of their names.

    Links to folders are followed, and every folder is searched once. Hidden folders are left out: they hold
    the trash, checkpoints of notebooks and snapshots of file servers, which repeat the files beside them.

    Args:
        folder: Folder to search.

    Raises:
        DataError: A folder cannot be read.
    """
    paths: list[Path] = []
    visited: set[Path] = set()
    pending = [folder]
    try:
        while pending:
            directory = pending.pop()

            # A link may lead back to a folder above it.
            if directory.resolve() in visited:
                continue
            visited.add(directory.resolve())

            # An empty folder is listed because it may bear the name of a file that somebody expects.
            children = sorted(directory.iterdir())
            if not children:
                paths.append(directory)
            for child in children:
                if not child.is_dir():
                    paths.append(child)
                elif not child.name.startswith("."):
                    pending.append(child)
    except OSError as error:
        raise DataError(f"cannot search {folder}: {error}") from error
    return sorted(path for path in paths if path != folder)


def list_some(names: Sequence[str], limit: int = 3) -> str:
    """Returns a phrase that gives the first names and the number of those left out.

    Args:
        names: All the names.
        limit: Largest number of names to give.
    """
    if not names:
        return "nothing"
    phrase = ", ".join(names[:limit])
    return phrase if len(names) <= limit else f"{phrase} and {len(names) - limit} more"
