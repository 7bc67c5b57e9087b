"""The on-disk form of a data set: ragged events as memory-mappable columns, written whole or not at all.

    folder/manifest.json                      its origin, and size and SHA-256 of every file below
    folder/<split>/<table>/offsets.npy        (events + 1,) int64: event i is rows offsets[i]:offsets[i + 1]
    folder/<split>/<table>/<column>.npy       (rows, ...) one array for all events of the split, no padding

A writer fills a hidden folder beside the final one and renames it at the end, so that the final name never
shows half a data set. A final folder that is there already may be a mount point, a link, or in a folder that
nobody may write to. Then the hidden folder is inside, and its files are moved at the end, the manifest last.
The next writer removes the files of a writer that was killed, unless the file system has no locks.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets.column_file import ColumnFile, file_sha256, flush_to_disk
from datasets.errors import DataError
from datasets.partial_folder import HIDDEN, is_content, lock_folder

FORMAT = "hepbench-events"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Table:
    """One kind of row: event i is ``columns[name][offsets[i]:offsets[i + 1]]``.

    Args:
        offsets: (events + 1,) first row of each event, and the number of rows.
        columns: (rows, ...) arrays on disk by their names.
    """

    offsets: NDArray[np.int64]
    columns: Mapping[str, np.memmap[Any, Any]]


@dataclass(frozen=True)
class Split:
    """The events of one split. Every table has a run of rows, possibly empty, for each event.

    Args:
        name: Name of the split, for example "train".
        tables: Tables by their names.
    """

    name: str
    tables: Mapping[str, Table]

    def __len__(self) -> int:
        """Returns the number of events."""
        return len(next(iter(self.tables.values())).offsets) - 1

    def table(self, name: str) -> Table:
        """Returns a table by name, or raises DataError."""
        if name not in self.tables:
            raise DataError(f"split {self.name!r} has no table {name!r}; it has {sorted(self.tables)}")
        return self.tables[name]


@dataclass(frozen=True)
class Store:
    """An open data set, whose arrays stay on disk until they are read.

    Args:
        folder: Folder of the data set.
        manifest: Content of its manifest.
        sha256: SHA-256 of the manifest, in hexadecimal, which names the data.
        splits: Splits by their names.
    """

    folder: Path
    manifest: dict[str, Any]
    sha256: str
    splits: Mapping[str, Split]

    def split(self, name: str) -> Split:
        """Returns a split by name, or raises DataError."""
        if name not in self.splits:
            raise DataError(f"{self.folder} has no split {name!r}; it has {sorted(self.splits)}")
        return self.splits[name]


def open_store(folder: Path, verify: bool = True) -> Store:
    """Opens a data set for reading.

    Args:
        folder: Folder that a ``Writer`` has finished.
        verify: Whether every file's SHA-256 is compared with the manifest, which reads all bytes once.
            Sizes are always compared.

    Raises:
        DataError: The folder is no data set, or a file is missing or damaged.
    """
    manifest, sha256 = _read_manifest(folder)
    for name, entry in manifest["files"].items():
        _check_file(folder / name, entry, verify)
    splits = {}
    for split, tables in manifest["splits"].items():
        splits[split] = Split(split, {table: _open_table(folder / split / table) for table in tables})
    return Store(folder, manifest, sha256, splits)


def check_version(store: Store, key: str, version: int) -> None:
    """Raises DataError if another version of a generator made a data set.

    Args:
        store: The data set. Where its manifest has no such key, or null, there is nothing to compare.
        key: The manifest's key that holds a version, such as "generator_version".
        version: The version of the code that is running.
    """
    version_found = store.manifest.get(key)
    if version_found not in (None, version):
        raise DataError(
            f"{store.folder}: expected {key} {version}, got {version_found}, whose data differ; "
            "make the data set again with hepbench data generate"
        )


def _read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    """Returns the manifest of a data set and its SHA-256, or raises DataError."""
    try:
        raw = (folder / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        what = "half-written or not a data set" if folder.exists() else "there is no such folder"
        raise DataError(f"{folder} has no {MANIFEST}: {what}; generate or import it again") from error
    except OSError as error:
        raise DataError(f"cannot read {folder / MANIFEST}: {error.strerror}") from error
    try:
        manifest = json.loads(raw)
        name_and_version = (manifest["format"], manifest["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / MANIFEST} is damaged; generate or import the data set again") from error
    if name_and_version != (FORMAT, FORMAT_VERSION):
        format_found = " ".join(map(str, name_and_version))
        raise DataError(f"{folder}: expected format {FORMAT} {FORMAT_VERSION}, found {format_found}")
    return manifest, hashlib.sha256(raw).hexdigest()


def _check_file(path: Path, entry: dict[str, Any], verify: bool) -> None:
    """Raises DataError unless a file is what its entry of the manifest says."""
    try:
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise DataError(f"{path} is damaged: expected {entry['bytes']} bytes, found {size}")
        if verify and (digest := file_sha256(path)) != entry["sha256"]:
            raise DataError(f"{path} is damaged: expected SHA-256 {entry['sha256']}, found {digest}")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; generate or import the data set again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _open_table(folder: Path) -> Table:
    columns = {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
    return Table(np.asarray(columns.pop("offsets")), columns)


class Writer:
    """Writes a data set block by block: a context manager, in which ``finish`` is the last call.

    Leaving the context without ``finish`` (an error, Ctrl-C) removes everything that was written.
    """

    def __init__(self, folder: Path) -> None:
        """Locks the hidden folder and removes what an earlier writer left in it.

        Args:
            folder: Final folder, which must not exist yet or be empty.

        Raises:
            DataError: The folder holds something, or another process is writing it.
        """
        if folder.is_symlink() and not folder.exists():
            folder = folder.resolve()
        if folder.exists() and (not folder.is_dir() or any(map(is_content, folder.iterdir()))):
            raise DataError(f"{folder} exists already; remove it or choose another folder")
        self.folder = folder
        self._is_inside = folder.exists()
        self.partial = folder / HIDDEN if self._is_inside else folder.parent / f".{folder.name}{HIDDEN}"
        self._files: dict[str, ColumnFile] = {}
        self._splits: dict[str, dict[str, dict[str, int]]] = {}
        self._finished = False
        with _disk_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            self.partial, self._lock = lock_folder(self.partial, folder)
            for leftover in self.partial.iterdir():
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for column in self._files.values():
            column.close()
        if not self._finished:
            shutil.rmtree(self.partial)
        os.close(self._lock)

    def append(self, split: str, table: str, lengths: ArrayLike, columns: Mapping[str, NDArray[Any]]) -> None:
        """Adds events to a table.

        Args:
            split: Name of the split, for example "train".
            table: Name of the table, for example "elements".
            lengths: (events,) number of rows of each event.
            columns: (sum of lengths, ...) arrays of the events' rows, one event after another. Every call
                for a table gives the same columns.

        Raises:
            DataError: The disk is full or cannot be written.
        """
        lengths = np.asarray(lengths, dtype=np.int64)
        if any(len(rows) != lengths.sum() for rows in columns.values()):
            raise ValueError(f"{split}/{table}: expected {lengths.sum()} rows in every column")
        counts = self._splits.setdefault(split, {}).setdefault(table, {"events": 0, "rows": 0})
        first = [] if counts["events"] else [counts["rows"]]
        offsets = np.concatenate([first, counts["rows"] + np.cumsum(lengths)]).astype(np.int64)
        with _disk_errors(self.folder):
            for name, rows in {**columns, "offsets": offsets}.items():
                self._column(f"{split}/{table}/{name}.npy", rows).append(rows)
        counts["events"] += len(lengths)
        counts["rows"] += int(lengths.sum())

    def finish(self, about: Mapping[str, Any]) -> Path:
        """Writes the manifest and gives the folder its final name.

        Args:
            about: Origin of the data as JSON values, without anything that differs between equal runs.

        Returns:
            The final folder.

        Raises:
            DataError: The disk is full or cannot be written.
        """
        for split, tables in self._splits.items():
            if len({counts["events"] for counts in tables.values()}) != 1:
                raise ValueError(f"the tables of split {split!r} differ in their events: {tables}")

        # The name appears last, when every byte is on the disk: a crash leaves no half of a data set behind.
        with _disk_errors(self.folder):
            files = {name: self._files[name].finish() for name in sorted(self._files)}
            manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **about}
            manifest |= {"splits": self._splits, "files": files}
            with (self.partial / MANIFEST).open("w", encoding="utf-8") as file:
                json.dump(manifest, file, indent=2, sort_keys=True)
                file.write("\n")
                file.flush()
                flush_to_disk(file.fileno())
            flush_to_disk(self._lock)
            if self._is_inside:
                for path in (*(self.partial / split for split in self._splits), self.partial / MANIFEST):
                    path.rename(self.folder / path.name)
                self.partial.rmdir()
            else:
                self.partial.rename(self.folder)
            self._finished = True
        return self.folder

    def _column(self, name: str, rows: NDArray[Any]) -> ColumnFile:
        """Returns the file of a column, which the first rows create."""
        if name not in self._files:
            self._files[name] = ColumnFile(self.partial / name, rows)
        return self._files[name]


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turns an error of the disk into a DataError that names the data set."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
