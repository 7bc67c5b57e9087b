"""One tracking event as TrackML CSV files, read and written.

    eventNNNNNNNNN-hits.csv        hit_id, x, y, z, volume_id, layer_id, module_id
    eventNNNNNNNNN-truth.csv       hit_id, particle_id, tx, ty, tz, tpx, tpy, tpz, weight
    eventNNNNNNNNN-particles.csv   particle_id, particle_type, vx, vy, vz, px, py, pz, q, nhits

Plain or gzipped (.csv.gz); mm, GeV, charges in units of the positron's. Columns may stand in any order and
others are passed over. Files of the challenge's accuracy phase have no particle_type: it is 0 then. Files
eventNNNNNNNNN-cells.csv may be there and are not read.
"""

from __future__ import annotations

import gzip
import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.trackml.columns import HIT_COLUMNS, PARTICLE_COLUMNS, HitEvent
from datasets.trackml.layers import LAYERS

Columns = Mapping[str, NDArray[Any]]

FILES = {
    "hits": {
        "hit_id": ("hit_id",),
        "position": ("x", "y", "z"),
        "volume_id": ("volume_id",),
        "layer_id": ("layer_id",),
        "module_id": ("module_id",),
    },
    "truth": {
        "hit_id": ("hit_id",),
        "particle_id": ("particle_id",),
        "true_position": ("tx", "ty", "tz"),
        "true_momentum": ("tpx", "tpy", "tpz"),
        "weight": ("weight",),
    },
    "particles": {
        "particle_id": ("particle_id",),
        "particle_type": ("particle_type",),
        "vertex": ("vx", "vy", "vz"),
        "momentum": ("px", "py", "pz"),
        "charge": ("q",),
        "nhits": ("nhits",),
    },
}
"""The files of an event, their columns in our tables, and the columns in the file that make them up."""

_OPTIONAL = "particle_type"


@dataclass(frozen=True)
class File:
    """A file to read.

    Args:
        name: what to call it in a message.
        read: returns its bytes, gunzipped or not.
    """

    name: str
    read: Callable[[], bytes]


def read_files(files: Mapping[str, File]) -> HitEvent:
    """Read an event.

    Args:
        files: one for each of `FILES`.

    Returns:
        The event, hits in the order of hit_id, particles as in the file.

    Raises:
        DataError: a file is damaged, or the files do not belong together.
    """
    tables = {kind: _read_table(files[kind], kind) for kind in FILES}
    _check({kind: files[kind].name for kind in FILES}, tables)
    hits, truth, particles = (tables[kind] for kind in FILES)
    by_id = {name: column[np.argsort(hits["hit_id"])] for name, column in hits.items()}
    by_id |= {name: column[np.argsort(truth["hit_id"])] for name, column in truth.items()}
    return HitEvent({name: by_id[name] for name in HIT_COLUMNS}, particles)


def write_files(event: HitEvent, folder: Path, number: int) -> None:
    """Write an event; the numbers in the text are exact.

    Args:
        event: the event.
        folder: where the files go.
        number: of the event, up to nine digits.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    for kind, layout in FILES.items():
        columns = event.particles if kind == "particles" else event.hits
        fields = {
            name: field
            for ours, names in layout.items()
            for name, field in zip(names, columns[ours].reshape(-1, len(names)).T, strict=True)
        }
        rows = np.empty(len(columns["particle_id"]), [(name, field.dtype) for name, field in fields.items()])
        for name, field in fields.items():
            rows[name] = field
        formats = ["%.9g" if field.dtype.kind == "f" else "%d" for field in fields.values()]
        with (folder / f"event{number:09d}-{kind}.csv").open("w", encoding="ascii") as file:
            np.savetxt(file, rows, fmt=formats, delimiter=",", header=",".join(fields), comments="")


def _read_table(file: File, kind: str) -> dict[str, NDArray[Any]]:
    """Return the columns of a file, laid out as `datasets.trackml.columns` says."""
    header, _, body = _text(file).partition("\n")
    found = [name.strip() for name in header.split(",")]
    layout = {ours: names for ours, names in FILES[kind].items() if ours != _OPTIONAL or _OPTIONAL in found}
    places = [name for names in layout.values() for name in names]
    if not set(places) <= set(found):
        raise DataError(f"{file.name}: expected columns {', '.join(places)}; got {', '.join(found)}")
    types = PARTICLE_COLUMNS if kind == "particles" else HIT_COLUMNS
    rows = np.zeros(0, dtype=[(ours, *types[ours]) for ours in layout])
    if body.strip():
        rows = _parse(file, body, rows.dtype, [found.index(name) for name in places])
    columns = {ours: np.ascontiguousarray(rows[ours]) for ours in layout}
    if kind == "particles":
        columns.setdefault(_OPTIONAL, np.zeros(len(rows), np.int32))
        columns = {name: columns[name] for name in PARTICLE_COLUMNS}
    return columns


def _text(file: File) -> str:
    try:
        content = file.read()
        return (gzip.decompress(content) if file.name.endswith(".gz") else content).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name}: expected text, got bytes that are none") from error
    # zipfile raises RuntimeError for an encrypted file, NotImplementedError for an unknown compression.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{file.name} is damaged or cannot be read: {error}") from error


def _parse(file: File, body: str, dtype: np.dtype[Any], places: list[int]) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy would read an integer like 4.5 and only warn
        try:
            return np.loadtxt(io.StringIO(body), dtype, comments=None, delimiter=",", usecols=places, ndmin=1)
        except (ValueError, OverflowError, Warning) as error:
            raise DataError(f"{file.name}: expected numbers below the header, got: {error}") from error


def _check(names: Mapping[str, str], tables: Mapping[str, Columns]) -> None:
    """Refuse tables that are impossible or do not belong together."""
    hits, truth, particles = (tables[kind] for kind in FILES)
    for kind, key in (("hits", "hit_id"), ("truth", "hit_id"), ("particles", "particle_id")):
        _check_unique(names[kind], key, tables[kind][key])
        _check_finite(names[kind], key, tables[kind])
    if not len(hits["hit_id"]):
        raise DataError(f"{names['hits']}: expected hits, got none")
    _check_layers(names["hits"], hits)
    lines, others = f"a line for each hit of {names['hits']}", f"each hit of {names['truth']}"
    _check_listed(names["truth"], lines, "hit_id", hits["hit_id"], truth["hit_id"])
    _check_listed(names["hits"], others, "hit_id", truth["hit_id"], hits["hit_id"])
    found = truth["particle_id"][truth["particle_id"] != 0]
    made = f"each particle of {names['truth']}"
    _check_listed(names["particles"], made, "particle_id", found, particles["particle_id"])


def _check_unique(name: str, key: str, ids: NDArray[Any]) -> None:
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{name}: expected each {key} once, got {values[np.argmax(counts)]} more than once")


def _check_finite(name: str, key: str, columns: Columns) -> None:
    for ours, column in columns.items():
        finite = np.isfinite(column).all(axis=tuple(range(1, column.ndim)))
        if not finite.all():
            row = np.argmin(finite)
            value = column[row].tolist()
            raise DataError(
                f"{name}: expected finite numbers, got {value} as {ours} of {key} {columns[key][row]}"
            )


def _check_layers(name: str, hits: Columns) -> None:
    """Refuse volumes and layers that the TrackML detector does not have."""
    known: dict[int, list[int]] = {}
    for layer in LAYERS:
        known.setdefault(layer.volume_id, []).append(layer.layer_id)
    pairs = np.unique(np.stack([hits["volume_id"], hits["layer_id"]], axis=1), axis=0)
    for volume_id, layer_id in pairs.tolist():
        if volume_id not in known:
            raise DataError(f"{name}: expected volume_id one of {_listed(known)}; got {volume_id}")
        if layer_id not in known[volume_id]:
            layers = _listed(known[volume_id])
            raise DataError(
                f"{name}: expected layer_id one of {layers} in volume {volume_id}; got {layer_id}"
            )


def _listed(numbers: Any) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _check_listed(name: str, expected: str, key: str, wanted: NDArray[Any], listed: NDArray[Any]) -> None:
    """Refuse a file that lacks what another one speaks of."""
    missing = np.setdiff1d(wanted, listed)
    if len(missing):
        more = f" nor {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DataError(f"{name}: expected {expected}; got no {key} {missing[0]}{more}")
