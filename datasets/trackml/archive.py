"""The files of TrackML events in a folder or a zip file, wherever in it they lie.

The download from Kaggle is a zip file of zip files, of which ``train_sample.zip`` repeats events of another.
Unpacked, it has folders in folders, and events without truth beside the events to train on.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from datasets.errors import DataError
from datasets.folders import list_some, paths_below
from datasets.trackml.csv_files import FILES
from datasets.trackml.csv_table import File
from datasets.trackml.nested_zip import open_inner

Events = dict[str, dict[str, File]]
"""The files of each event, by its number of nine digits and by their kind, one of ``csv_files.FILES``."""

_NAME = re.compile(rf"event(\d{{9}})-({'|'.join(FILES)})\.csv(\.gz)?")
_ACTS_NAME = re.compile(r"event\d+-(measurements|particles_\w+|simhits|spacepoints?|[\w-]+-map)\.csv")


@contextmanager
def opened_events(source: Path) -> Iterator[Events]:
    """Gives the files of each event, in a context that keeps zip files open.

    Args:
        source: A folder, which is searched with all folders in it, or a zip file. Zip files inside are
            searched where no events lie beside them.

    Raises:
        DataError: There are no events, a file is there twice, or ``source`` cannot be read.
    """
    with ExitStack() as stack:
        if source.is_dir():
            files = _files_below(source)
            if not any(map(_is_of_event, files)):
                zips = [Path(file.name) for file in files if _is_zip(file.name)]
                files += [file for path in zips for file in _files_in(stack, _opened(stack, path), path)]
        else:
            files = _files_in(stack, _opened(stack, source), source)
        yield _by_event(source, files)


def _opened(stack: ExitStack, path: Path) -> zipfile.ZipFile:
    """Returns a zip file that is open until the end of ``stack``."""
    try:
        return stack.enter_context(zipfile.ZipFile(path))
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: expected a folder or a zip file of TrackML events; {error}") from error


def _files_in(stack: ExitStack, archive: zipfile.ZipFile, path: Path, inside: str = "") -> list[File]:
    """Returns the files in a zip file, and those of the zip files in it where it has no events itself.

    Args:
        stack: Closes what is opened here.
        archive: The zip file.
        path: Its path, or that of the outermost zip file around it.
        inside: Its name in that one, with a slash, or an empty text.
    """
    names = sorted({name for name in archive.namelist() if not name.endswith(("/", "\\"))})
    files = []
    for name in names:
        member = archive.getinfo(name)
        content = (member.file_size, member.CRC)
        files.append(_Member(f"{path}/{inside}{name}", partial(archive.open, name), content))
    if any(map(_is_of_event, files)):
        return list(files)
    all_files: list[File] = list(files)
    for name in filter(_is_zip, names):
        inner = open_inner(archive, name, path if not inside else None, stack)
        all_files += _files_in(stack, inner, path, f"{inside}{name}/")
    return all_files


@dataclass(frozen=True)
class _Member(File):
    """A file in a zip file.

    Attributes:
        content: Size and check sum, the same for two files that are the same.
    """

    content: tuple[int, int]


def _base_name(name: str) -> str:
    """Returns the last part of a path. Zip files made on Windows may have backslashes between the folders."""
    return re.split(r"[/\\]", name)[-1]


def _is_of_event(file: File) -> bool:
    return _NAME.fullmatch(_base_name(file.name)) is not None


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip") and not _base_name(name).startswith("._")  # metadata of macOS


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
        name = _base_name(file.name)
        names.append(name)
        if match := _NAME.fullmatch(name):
            number, kind, _ = match.groups()
            first = events.setdefault(number, {}).setdefault(kind, file)
            if first is not file and not _is_same(first, file):
                raise DataError(f"{source}: expected one file, got both {first.name} and {file.name}")
    if not events:
        raise DataError(f"{source}: expected files like event000001000-hits.csv or .csv.gz, {_got(names)}")
    return events


def _is_same(first: File, second: File) -> bool:
    """Tells whether two files of zip files have the same content."""
    return isinstance(first, _Member) and isinstance(second, _Member) and first.content == second.content


def _got(names: list[str]) -> str:
    """Returns the end of a message that says what lies there in place of events."""
    if any(_ACTS_NAME.fullmatch(name) for name in names):
        return f"got CSV of ACTS, which has other files: {list_some(names)}"
    return f"got none; found {list_some(names)}"
