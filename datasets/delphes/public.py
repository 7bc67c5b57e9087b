"""Import of the public MLPF data set, Zenodo record 4559324, which ``datasets.delphes.fetch`` downloads.

The files may lie in one folder or in folders below it, such as ``pythia8_ttbar/raw`` and ``pythia8_qcd/raw``,
and be compressed (``.pkl.bz2``) or not (``.pkl``). ``datasets.delphes.pickles`` reads one of them.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datasets.delphes.generator import SPLITS, TABLE
from datasets.delphes.pickles import read_file
from datasets.delphes.simulation import Rows
from datasets.errors import DataError
from datasets.folders import list_some, paths_below
from datasets.parallel import Progress
from datasets.store import Writer

EVENTS_PER_FILE = 100
RECORD_URL = "https://zenodo.org/api/records/4559324"

_NAME = re.compile(r"(tev14_pythia8_(ttbar|qcd)_(\d+)_(\d+)\.pkl)(?:\.bz2)?")


def sort_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns the names of data files by process, in the order of their numbers, without all other names."""
    numbered: dict[str, list[tuple[int, int, str]]] = {process: [] for process in SPLITS}
    for name in names:
        if match := _NAME.fullmatch(name):
            numbered[match[2]].append((int(match[3]), int(match[4]), name))
    return {process: [name for _, _, name in sorted(files)] for process, files in numbered.items()}


def import_folder(
    source: Path,
    folder: Path,
    train_events: int | None = None,
    validation_events: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Turns downloaded files into a data set with splits "train" (ttbar) and "validation" (QCD).

    Args:
        source: Folder that has the files in it or in folders below it. Their order is that of their numbers.
        folder: Folder of the data set, which must not exist yet.
        train_events: Number of ttbar events, by default all.
        validation_events: Number of QCD events, by default all.
        progress: Called with the number of files that are read and their total.

    Returns:
        The folder, complete. If anything fails, there is none.

    Raises:
        DataError: There are too few files, one is damaged, the folder exists, or the disk is full.
    """
    if not source.is_dir():
        raise DataError(f"{source} is no folder; fetch the public data set into it first")

    # The files are chosen before anything is written.
    counts = {"ttbar": train_events, "qcd": validation_events}
    paths = paths_below(source)
    by_name = _by_name_in_record(source, paths)
    names = sort_names(by_name)
    for process, count in counts.items():
        _check_enough(source, process, len(names[process]), count, paths)
    names = {process: names[process][: _files_needed(count)] for process, count in counts.items()}

    # A file may hold fewer events than the public ones do, so that events are counted while they are read.
    done = 0
    with Writer(folder) as writer:
        for process, split in SPLITS.items():
            missing = counts[process]
            for name in names[process]:
                events = read_file(by_name[name])[:missing]
                _append(writer, split, events)
                missing = None if missing is None else missing - len(events)
                done += 1
                if progress is not None:
                    progress(done, sum(map(len, names.values())))
            if missing:
                raise DataError(f"{source}: {missing} {process} events are missing from its files")
        return writer.finish(_about(names))


def _by_name_in_record(source: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Returns the data files by the names that the record gives them, which end with ``.pkl.bz2``.

    Raises:
        DataError: A file is there twice, or a folder has its name.
    """
    by_name: dict[str, Path] = {}
    for path in paths:
        if match := _NAME.fullmatch(path.name):
            if path.is_dir():
                raise DataError(f"{path}: expected a file, got an empty folder")
            first = by_name.setdefault(f"{match[1]}.bz2", path)
            if first is not path:
                raise DataError(f"{source}: expected one file, got both {first} and {path}")
    return by_name


def _files_needed(events: int | None) -> int | None:
    """Returns the number of files that have ``events`` events, or None for all files."""
    return None if events is None else -(-events // EVENTS_PER_FILE)


def _check_enough(source: Path, process: str, files: int, events: int | None, paths: Iterable[Path]) -> None:
    """Refuses too few files of a process, in a line that says what lies in the folder instead."""
    if events is not None and events < 1:
        raise DataError(f"the number of {process} events must be at least 1, got {events}")
    needed = _files_needed(events) or 1
    if files < needed:
        found = list_some([str(path.relative_to(source)) for path in paths])
        raise DataError(
            f"{source} holds {files} files of {EVENTS_PER_FILE} {process} events, {needed} are needed: "
            "ask for fewer events or fetch more files; "
            f"looked for tev14_pythia8_{process}_*.pkl.bz2 or .pkl in it and the folders below, found {found}"
        )


def _append(writer: Writer, split: str, events: list[tuple[Rows, Rows]]) -> None:
    """Adds events to a split."""
    inputs, targets = zip(*events, strict=True)
    columns = {"inputs": np.concatenate(inputs), "targets": np.concatenate(targets)}
    writer.append(split, TABLE, [len(rows) for rows in inputs], columns)


def _about(names: Mapping[str, list[str]]) -> dict[str, Any]:
    """Returns what the manifest says of the data's origin, the same for compressed files and for others."""
    return {
        "reader": "hepbench delphes_public",
        "source": RECORD_URL,
        "source_files": dict(names),
        "versions": {"hepbench": importlib.metadata.version("hepbench"), "numpy": np.__version__},
        "processes": {split: process for process, split in SPLITS.items()},
    }
