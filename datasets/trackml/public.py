"""TrackML CSV events, the public ones and others of their format, in and out of a hits data set."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from datasets import parallel
from datasets.errors import DataError
from datasets.parallel import Progress
from datasets.store import Writer, open_store
from datasets.trackml.archive import Events, opened_events
from datasets.trackml.columns import append_events, read_event
from datasets.trackml.csv_files import FILES, check_format, has_no_hits, read_files, write_files
from datasets.trackml.generator import SPLITS


def import_events(
    source: Path,
    folder: Path,
    train_events: int | None = None,
    validation_events: int | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Turns TrackML CSV events into a data set with splits "train" and "validation".

    Events without truth, such as the test events of the challenge, and events without hits are left out.

    Args:
        source: A folder or a zip file with files as ``datasets.trackml.csv_files`` says, at any depth.
        folder: Folder of the data set, which must not exist yet.
        train_events: Number of events to train on, the first in the order of their names. By default all that
            validation leaves.
        validation_events: Number of events to validate on, the last ones. By default a tenth of all, at least
            one. A single event is for training: there is no split "validation" then.
        progress: Called with the number of events that are read and their total.
        tell: Called with a line about events that are left out.

    Returns:
        The folder, complete. If anything fails, there is none.

    Raises:
        DataError: There are too few events, a file is missing or damaged, the folder exists, or the disk
            is full.
    """
    with opened_events(source) as events, Writer(folder) as writer:
        numbers = _usable_events(source, events, tell)
        train, validation = _split(source, len(numbers), train_events, validation_events)
        chosen = dict(zip(SPLITS, (numbers[:train], numbers[len(numbers) - validation :]), strict=True))
        for number in chain.from_iterable(chosen.values()):
            _check_complete(source, number, list(events[number]))
        done = 0
        for split, of_split in chosen.items():
            for number in of_split:
                append_events(writer, split, [read_files(events[number])])
                done = parallel.report(progress, done + 1, train + validation)
        return writer.finish(_about(chosen))


def _usable_events(source: Path, events: Events, tell: Callable[[str], None] | None) -> list[str]:
    """Returns the numbers of the events that have hits and truth, in their order.

    An event with a file that is missing otherwise is among them: it is no reason to stop unless it is chosen.
    """
    # An event that has neither truth nor particles is a test event, or comes from another program.
    without_truth = [number for number, files in events.items() if files.keys() == {"hits"}]
    for number in without_truth:
        check_format(events[number]["hits"])
    empty = [
        number for number, files in events.items() if files.keys() >= FILES.keys() and has_no_hits(files)
    ]

    # Nobody should learn of missing events from the size of the data set.
    for reason, numbers in (("truth", without_truth), ("hits", empty)):
        if numbers and tell is not None:
            tell(f"left out {len(numbers)} of {len(events)} events without {reason}, such as {min(numbers)}")
    usable = sorted(events.keys() - {*without_truth, *empty})
    if not usable:
        raise DataError(
            f"{source}: expected {', '.join(FILES)} of events; got {len(without_truth)} events without truth "
            f"and {len(empty)} without hits, and no others"
        )
    return usable


def _check_complete(source: Path, number: str, kinds: list[str]) -> None:
    """Refuses an event of which a file is missing."""
    if missing := [kind for kind in FILES if kind not in kinds]:
        raise DataError(
            f"{source}: expected {', '.join(FILES)} of event {number}, got no {' and no '.join(missing)}"
        )


def _split(source: Path, events: int, train: int | None, validation: int | None) -> tuple[int, int]:
    """Returns the numbers of events of the two splits."""
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
    """Returns the manifest's entries on the data's origin."""
    return {
        "source": "imported",
        "reader": "hepbench trackml_csv",
        "source_events": dict(chosen),
        "versions": {"hepbench": importlib.metadata.version("hepbench"), "numpy": np.__version__},
    }


def export_events(folder: Path, output: Path, progress: Progress | None = None) -> Path:
    """Writes a hits data set as TrackML CSV files, numbered from 1, with the events of "train" first.

    Args:
        folder: A hits data set.
        output: Folder of the files, which must not exist yet.
        progress: Called with the number of events that are written and their total.

    Returns:
        The output folder, complete. If anything fails, there is none.

    Raises:
        DataError: The folder is no hits data set, the output exists, or the disk is full.
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
    """Gives a folder to fill, which gets its final name at the end and is removed if anything fails."""
    if folder.exists():
        raise DataError(f"{folder} exists already; remove it or choose another folder")
    partial_folder = folder.parent / f".{folder.name}.partial"
    try:
        shutil.rmtree(partial_folder, ignore_errors=True)  # from a process that was killed
        partial_folder.mkdir(parents=True)
        yield partial_folder
        partial_folder.rename(folder)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)
