"""The files of TrackML events in a folder or a zip file, wherever in it they lie.

The download from Kaggle is a zip file of zip files. Unpacked, it has folders in folders, and events without
truth beside the events to train on.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from datasets.errors import DataError
from datasets.folders import list_some, paths_below
from datasets.trackml.csv_files import FILES
from datasets.trackml.csv_table import File

Events = dict[str, dict[str, File]]
"""The files of each event, by its number of nine digits and by their kind, one of ``csv_files.FILES``."""

_NAME = re.compile(rf"event(\d{{9}})-({'|'.join(FILES)})\.csv(\.gz)?")
_ACTS_NAME = re.compile(r"event\d+-(measurements|particles_\w+|simhits|spacepoints?|[\w-]+-map)\.csv")


@contextmanager
def opened_events(source: Path) -> Iterator[Events]:
    """Gives the files of each event, in a context that keeps a zip file open.

    Args:
        source: A folder, which is searched with all folders in it, or a zip file.

    Raises:
        DataError: There are no events, a file is there twice, or ``source`` cannot be read.
    """
    if source.is_dir():
        yield _by_event(source, _files_below(source))
        return
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{source}: expected a folder or a zip file of TrackML events; {error}") from error
    with archive:
        names = sorted({name for name in archive.namelist() if not name.endswith(("/", "\\"))})
        yield _by_event(source, [File(f"{source}/{name}", partial(archive.open, name)) for name in names])


def _files_below(source: Path) -> list[File]:
    """Returns the files below a folder.

    Raises:
        DataError: An empty folder has the name of a file of an event.
    """
    paths = paths_below(source)
    for path in paths:
        if _NAME.fullmatch(path.name) and path.is_dir():
            raise DataError(f"{path}: expected a file, got an empty folder")
    return [File.at(path) for path in paths if not path.is_dir()]


def _by_event(source: Path, files: Iterable[File]) -> Events:
    """Sorts files into events, and leaves out the files of other kinds."""
    names = []
    events: Events = {}
    for file in files:
        # Zip files made on Windows may have backslashes between the folders.
        name = re.split(r"[/\\]", file.name)[-1]
        names.append(name)
        if match := _NAME.fullmatch(name):
            number, kind, _ = match.groups()
            first = events.setdefault(number, {}).setdefault(kind, file)
            if first is not file:
                raise DataError(f"{source}: expected one file, got both {first.name} and {file.name}")
    if not events:
        raise DataError(f"{source}: expected files like event000001000-hits.csv or .csv.gz, {_got(names)}")
    return events


def _got(names: list[str]) -> str:
    """Returns the end of a message that says what lies there in place of events."""
    if zips := [name for name in names if name.endswith(".zip")]:
        return f"got none: zip files inside, unpack first: {list_some(zips)}"
    if any(_ACTS_NAME.fullmatch(name) for name in names):
        return f"got CSV of ACTS, which has other files: {list_some(names)}"
    return f"got none; found {list_some(names)}"
