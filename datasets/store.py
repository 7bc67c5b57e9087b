"""The on-disk form of a data set: ragged events as memory-mappable columns, written whole or not at all.

    folder/manifest.json                      what made it; size and SHA-256 of every file below
    folder/<split>/<table>/offsets.npy        (events + 1,) int64: event i is rows offsets[i]:offsets[i + 1]
    folder/<split>/<table>/<column>.npy       (rows, ...) one array for all events of the split, no padding

A writer fills a hidden folder beside the final one and renames it at the end, so the final name
never shows half a data set; what a killed writer left is swept up by the next one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from datasets.errors import DataError

FORMAT = "hepbench-events"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Table:
    """One kind of row: event i is columns[name][offsets[i]:offsets[i + 1]]."""

    offsets: NDArray[np.int64]
    columns: Mapping[str, np.memmap[Any, Any]]


@dataclass(frozen=True)
class Split:
    """The events of one split; every table has a (possibly empty) run of rows for each."""

    name: str
    tables: Mapping[str, Table]

    def __len__(self) -> int:
        return len(next(iter(self.tables.values())).offsets) - 1

    def table(self, name: str) -> Table:
        """Return a table by name, or raise DataError."""
        if name not in self.tables:
            raise DataError(f"split {self.name!r} has no table {name!r}; it has {sorted(self.tables)}")
        return self.tables[name]


@dataclass(frozen=True)
class Store:
    """An open data set; arrays stay on disk until they are read."""

    folder: Path
    manifest: dict[str, Any]
    sha256: str
    splits: Mapping[str, Split]

    def split(self, name: str) -> Split:
        """Return a split by name, or raise DataError."""
        if name not in self.splits:
            raise DataError(f"{self.folder} has no split {name!r}; it has {sorted(self.splits)}")
        return self.splits[name]


def open_store(folder: Path, verify: bool = True) -> Store:
    """Open a data set for reading.

    Args:
        folder: where a `Writer` left it.
        verify: compare every file's SHA-256 with the manifest (reads all bytes once); sizes are
            always compared.

    Raises:
        DataError: the folder is no data set, or a file is missing or damaged.
    """
    manifest, sha256 = _read_manifest(folder)
    for name, entry in manifest["files"].items():
        _check_file(folder / name, entry, verify)
    splits = {}
    for split, tables in manifest["splits"].items():
        splits[split] = Split(split, {table: _open_table(folder / split / table) for table in tables})
    return Store(folder, manifest, sha256, splits)


def _read_manifest(folder: Path) -> tuple[dict[str, Any], str]:
    try:
        raw = (folder / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        what = "half-written or not a data set" if folder.exists() else "there is no such folder"
        raise DataError(f"{folder} has no {MANIFEST}: {what}; generate or import it again") from error
    except OSError as error:
        raise DataError(f"cannot read {folder / MANIFEST}: {error.strerror}") from error
    try:
        manifest = json.loads(raw)
        found = (manifest["format"], manifest["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder / MANIFEST} is damaged; generate or import the data set again") from error
    if found != (FORMAT, FORMAT_VERSION):
        raise DataError(f"{folder}: expected format {FORMAT} {FORMAT_VERSION}, found {found[0]} {found[1]}")
    return manifest, hashlib.sha256(raw).hexdigest()


def _check_file(path: Path, entry: dict[str, Any], verify: bool) -> None:
    try:
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise DataError(f"{path} is damaged: expected {entry['bytes']} bytes, found {size}")
        if verify and (digest := _sha256(path)) != entry["sha256"]:
            raise DataError(f"{path} is damaged: expected SHA-256 {entry['sha256']}, found {digest}")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; generate or import the data set again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _open_table(folder: Path) -> Table:
    columns = {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
    return Table(np.asarray(columns.pop("offsets")), columns)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Writer:
    """Writes a data set block by block; use as a context manager and end with `finish`.

    Leaving the context without `finish` (an error, Ctrl-C) removes everything written.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder's place in writing.

        Args:
            folder: the final name; it must not exist yet, or be an empty folder.

        Raises:
            DataError: something is there already, or another process is writing it.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} exists already; remove it or choose another folder")
        self.folder = folder
        self.partial = folder.parent / f".{folder.name}.partial"
        self._files: dict[str, _Column] = {}
        self._splits: dict[str, dict[str, dict[str, int]]] = {}
        self._finished = False
        with _disk_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_folder(self.partial, folder)
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
        """Add events to a table.

        Args:
            split: for example "train".
            table: for example "elements".
            lengths: (events,) rows of each event.
            columns: the events' rows one after another, (sum of lengths, ...) each; every call for
                a table gives the same columns.

        Raises:
            DataError: the disk is full or cannot be written.
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
        """Write the manifest and give the folder its final name.

        Args:
            about: what made the data, JSON values only; nothing that differs between equal runs.

        Returns:
            The final folder.
        """
        for split, tables in self._splits.items():
            if len({counts["events"] for counts in tables.values()}) != 1:
                raise ValueError(f"the tables of split {split!r} differ in their events: {tables}")
        with _disk_errors(self.folder):
            files = {name: self._files[name].finish() for name in sorted(self._files)}
            manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **about}
            manifest |= {"splits": self._splits, "files": files}
            with (self.partial / MANIFEST).open("w", encoding="utf-8") as file:
                json.dump(manifest, file, indent=2, sort_keys=True)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.fsync(self._lock)
            self.partial.rename(self.folder)
            self._finished = True
        return self.folder

    def _column(self, name: str, rows: NDArray[Any]) -> _Column:
        if name not in self._files:
            self._files[name] = _Column(self.partial / name, rows)
        return self._files[name]


class _Column:
    """One growing .npy file: a header for no rows, the rows, at the end the header with their number."""

    def __init__(self, path: Path, like: NDArray[Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._dtype, self._shape = like.dtype, like.shape[1:]
        self._rows = 0
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        if (rows.dtype, rows.shape[1:]) != (self._dtype, self._shape):
            expected = f"(rows, *{self._shape}) {self._dtype}"
            raise ValueError(f"{self._path.stem}: expected {expected}, got {rows.shape} {rows.dtype}")
        self._file.write(np.ascontiguousarray(rows).data)
        self._rows += len(rows)

    def finish(self) -> dict[str, Any]:
        self._file.seek(0)
        self._write_header()  # numpy leaves room in a header for the first axis to grow
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {"bytes": self._path.stat().st_size, "sha256": _sha256(self._path)}

    def close(self) -> None:
        """Let go of the file, whatever state it is in; the folder is about to be removed."""
        with suppress(OSError):
            self._file.close()

    def _write_header(self) -> None:
        shape = (self._rows, *self._shape)
        fields = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, fields)


def _lock_folder(partial: Path, folder: Path) -> int:
    """Make the partial folder and lock it; the lock goes with the process, however that ends."""
    while True:
        partial.mkdir(exist_ok=True)
        lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Between opening and locking its owner may have renamed it: then it is not ours to fill.
            if partial.exists() and os.path.samestat(os.fstat(lock), partial.stat()):
                return lock
            os.close(lock)
        except BlockingIOError as error:
            os.close(lock)
            raise DataError(f"another process is writing {folder}; wait for it or end it") from error


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror or error}") from error
