"""TrackML CSV events, the public ones and others of their format, in and out of a hits data set."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from datasets import parallel
from datasets.errors import DataError
from datasets.parallel import Progress
from datasets.store import Writer, open_store
from datasets.trackml.columns import append_events, read_event
from datasets.trackml.csv_files import FILES, File, read_files, write_files
from datasets.trackml.generator import SPLITS

_NAME = re.compile(rf"event(\d{{9}})-({'|'.join(FILES)})\.csv(\.gz)?")


def import_events(
    source: Path,
    folder: Path,
    train_events: int | None = None,
    validation_events: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Turn TrackML CSV events into a data set with splits "train" and "validation".

    Args:
        source: a folder or a zip file with files as `datasets.trackml.csv_files` says.
        folder: where the data set goes; must not exist yet.
        train_events: how many of the first events, in the order of their names, to train on; by default
            all that validation leaves.
        validation_events: how many of the last events to validate on; by default a tenth of them, at
            least one. A single event is for training: there is no split "validation" then.
        progress: called with the events read and their total.

    Returns:
        The folder, complete; when anything fails there is none.

    Raises:
        DataError: there are too few events, a file is missing or damaged, the folder exists, or the disk
            is full.
    """
    with _events(source) as events, Writer(folder) as writer:
        numbers = sorted(events)
        counts = _split(source, len(numbers), train_events, validation_events)
        chosen = dict(zip(SPLITS, (numbers[: counts[0]], numbers[len(numbers) - counts[1] :]), strict=True))
        done = 0
        for split, of_split in chosen.items():
            for number in of_split:
                append_events(writer, split, [read_files(events[number])])
                done = parallel.report(progress, done + 1, sum(counts))
        return writer.finish(_about(chosen))


@contextmanager
def _events(source: Path) -> Iterator[dict[str, dict[str, File]]]:
    """Give the files of each event, by its number and their kinds."""
    if source.is_dir():
        yield _by_event(source, [File(str(path), path.read_bytes) for path in sorted(source.iterdir())])
        return
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{source}: expected a folder or a zip file of TrackML events; {error}") from error
    with archive:
        names = sorted(archive.namelist())
        yield _by_event(source, [File(f"{source}/{name}", partial(archive.read, name)) for name in names])


def _by_event(source: Path, files: Iterable[File]) -> dict[str, dict[str, File]]:
    events: dict[str, dict[str, File]] = {}
    for file in files:
        if match := _NAME.fullmatch(PurePosixPath(file.name).name):
            number, kind, _ = match.groups()
            other = events.setdefault(number, {}).setdefault(kind, file)
            if other is not file:
                raise DataError(f"{source}: expected one file, got both {other.name} and {file.name}")
    if not events:
        raise DataError(f"{source}: expected files like event000001000-hits.csv or .csv.gz, got none")
    for number, found in sorted(events.items()):
        if missing := [kind for kind in FILES if kind not in found]:
            raise DataError(
                f"{source}: expected {', '.join(FILES)} of event {number}, got no {' and no '.join(missing)}"
            )
    return events


def _split(source: Path, events: int, train: int | None, validation: int | None) -> tuple[int, int]:
    """Return how many events go to each split."""
    if validation is None:
        validation = max(1, events // 10) if events > 1 else 0
    if train is None:
        train = events - validation
    if train < 1 or train + validation > events:
        raise DataError(
            f"{source}: expected at least {max(train, 1) + validation} events, "
            f"{max(train, 1)} to train and {validation} to validate on; got {events}"
        )
    return train, validation


def _about(chosen: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return what the manifest says of the data's origin."""
    return {
        "source": "imported",
        "reader": "hepbench trackml_csv",
        "source_events": dict(chosen),
        "versions": {"hepbench": importlib.metadata.version("hepbench"), "numpy": np.__version__},
    }


def export_events(folder: Path, output: Path, progress: Progress | None = None) -> Path:
    """Write a hits data set as TrackML CSV files: events from 1, those of "train" first.

    Args:
        folder: a hits data set.
        output: where the files go; must not exist yet.
        progress: called with the events written and their total.

    Returns:
        The output folder, complete; when anything fails there is none.

    Raises:
        DataError: the folder is no hits data set, the output exists, or the disk is full.
    """
    store = open_store(folder)
    splits = [store.splits[name] for name in SPLITS if name in store.splits]
    events = [(split, index) for split in splits for index in range(len(split))]
    with _whole_folder(output) as partial_folder:
        for number, (split, index) in enumerate(events, start=1):
            write_files(read_event(split, index), partial_folder, number)
            parallel.report(progress, number, len(events))
    return output


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to fill, which gets its final name at the end and is removed when anything fails."""
    if folder.exists():
        raise DataError(f"{folder} exists already; remove it or choose another folder")
    partial_folder = folder.parent / f".{folder.name}.partial"
    try:
        shutil.rmtree(partial_folder, ignore_errors=True)  # what a killed process left
        partial_folder.mkdir(parents=True)
        yield partial_folder
        partial_folder.rename(folder)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
