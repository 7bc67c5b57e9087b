"""Reader of the public MLPF data set, Zenodo record 4559324 (fetched by `datasets.delphes.fetch`).

Each file is a bz2-compressed pickle of 100 events, a dict of lists with one array per event:
X (n, 12), ygen (n, 7) and ycand (n, 7), laid out as `datasets.delphes.simulation` says. The candidates of
Delphes' own particle flow, ycand, are checked and left behind: no workload uses them.
"""

from __future__ import annotations

import bz2
import importlib.metadata
import pickle
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from datasets.delphes.generator import SPLITS, TABLE
from datasets.delphes.simulation import N_INPUTS, N_TARGETS, Rows
from datasets.errors import DataError
from datasets.parallel import Progress
from datasets.store import Writer

EVENTS_PER_FILE = 100
RECORD_URL = "https://zenodo.org/api/records/4559324"

_NAME = re.compile(r"tev14_pythia8_(ttbar|qcd)_(\d+)_(\d+)\.pkl\.bz2")
_COLUMNS = {"X": N_INPUTS, "ygen": N_TARGETS, "ycand": N_TARGETS}
_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    # numpy 1 and numpy 2 write different names
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
}


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of plain containers and numpy arrays; a pickle can name any function to call."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def sort_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the data files among `names` by process, in the order of their numbers."""
    found: dict[str, list[tuple[int, int, str]]] = {process: [] for process in SPLITS}
    for name in names:
        if match := _NAME.fullmatch(name):
            found[match[1]].append((int(match[2]), int(match[3]), name))
    return {process: [name for _, _, name in sorted(files)] for process, files in found.items()}


def read_file(path: Path) -> list[tuple[Rows, Rows]]:
    """Read one file.

    Args:
        path: a bz2-compressed pickle of the public data set.

    Returns:
        inputs (n, 12) and targets (n, 7), float32, of each event.

    Raises:
        DataError: the file is truncated, is something else, or asks for more than arrays.
    """
    try:
        with bz2.open(path, "rb") as stream:
            content = _ArraysOnly(stream).load()
            stream.read(1)  # the check sum of a bz2 stream comes after its last byte
    except pickle.UnpicklingError as error:
        raise DataError(f"{path} is not a pickle of arrays: {error}") from error
    except EOFError as error:
        raise DataError(f"{path} is truncated; fetch it again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read as bz2: {error}") from error
    except (AttributeError, IndexError, KeyError, MemoryError, TypeError, ValueError) as error:
        raise DataError(f"{path} is a damaged pickle: {error}") from error
    return _events(path, content)


def _events(path: Path, content: Any) -> list[tuple[Rows, Rows]]:
    if not isinstance(content, dict) or not _COLUMNS.keys() <= content.keys():
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{path}: expected a dict with X, ygen and ycand, found {found}")
    lists = [content[name] for name in _COLUMNS]
    if not all(isinstance(events, list) for events in lists) or len({len(events) for events in lists}) != 1:
        raise DataError(f"{path}: expected X, ygen and ycand to be lists of one length")
    if not lists[0]:
        raise DataError(f"{path} holds no events")
    for index, arrays in enumerate(zip(*lists, strict=True)):
        for (name, width), array in zip(_COLUMNS.items(), arrays, strict=True):
            _check_array(f"{path}: event {index}, {name}", array, width)
        if len({len(array) for array in arrays}) != 1:
            raise DataError(f"{path}: event {index}: X, ygen and ycand differ in their rows")
    return [(x.astype(np.float32), y.astype(np.float32)) for x, y, _ in zip(*lists, strict=True)]


def _check_array(what: str, array: Any, width: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise DataError(f"{what}: expected an array of floats, found {type(array).__name__}")
    if array.ndim != 2 or array.shape[1] != width:
        raise DataError(f"{what}: expected shape (n, {width}), found {array.shape}")
    if not np.isfinite(array).all():
        raise DataError(f"{what}: found values that are not finite")


def import_folder(
    source: Path,
    folder: Path,
    train_events: int | None = None,
    validation_events: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Turn downloaded files into a data set with splits "train" (ttbar) and "validation" (QCD).

    Args:
        source: folder with tev14_pythia8_*.pkl.bz2 files; their order is that of their numbers.
        folder: where the data set goes; must not exist yet.
        train_events: how many ttbar events; by default all there are.
        validation_events: how many QCD events; by default all there are.
        progress: called with the files read and their total.

    Returns:
        The folder, complete; when anything fails there is none.

    Raises:
        DataError: there are too few files, one is damaged, the folder exists, or the disk is full.
    """
    if not source.is_dir():
        raise DataError(f"{source} is no folder; fetch the public data set into it first")
    wanted = {"ttbar": train_events, "qcd": validation_events}
    names = sort_names(path.name for path in source.iterdir())
    files = {process: [source / name for name in names[process]] for process in SPLITS}
    for process, count in wanted.items():
        _check_enough(source, process, len(files[process]), count)
    used = {process: _files_for(files[process], count) for process, count in wanted.items()}
    total = sum(map(len, used.values()))
    done = 0
    with Writer(folder) as writer:
        for process, split in SPLITS.items():
            left = wanted[process]
            for path in used[process]:
                events = read_file(path)[:left]
                _append(writer, split, events)
                left = None if left is None else left - len(events)
                done += 1
                if progress is not None:
                    progress(done, total)
            if left:
                raise DataError(f"{source}: {left} {process} events are missing from its files")
        return writer.finish(_about(used))


def _check_enough(source: Path, process: str, files: int, events: int | None) -> None:
    if events is not None and events < 1:
        raise DataError(f"the number of {process} events must be at least 1, got {events}")
    needed = 1 if events is None else -(-events // EVENTS_PER_FILE)
    if files < needed:
        raise DataError(
            f"{source} holds {files} files of {EVENTS_PER_FILE} {process} events, {needed} are needed: "
            "ask for fewer events or fetch more files"
        )


def _files_for(files: list[Path], events: int | None) -> list[Path]:
    return files if events is None else files[: -(-events // EVENTS_PER_FILE)]


def _append(writer: Writer, split: str, events: list[tuple[Rows, Rows]]) -> None:
    inputs, targets = zip(*events, strict=True)
    columns = {"inputs": np.concatenate(inputs), "targets": np.concatenate(targets)}
    writer.append(split, TABLE, [len(rows) for rows in inputs], columns)


def _about(used: dict[str, list[Path]]) -> dict[str, Any]:
    """Return what the manifest says of the data's origin."""
    return {
        "reader": "hepbench delphes_public",
        "source": RECORD_URL,
        "source_files": {process: [path.name for path in files] for process, files in used.items()},
        "versions": {"hepbench": importlib.metadata.version("hepbench"), "numpy": np.__version__},
        "processes": {split: process for process, split in SPLITS.items()},
    }
