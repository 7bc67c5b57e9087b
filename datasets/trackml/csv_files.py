"""Reader and writer of one tracking event as TrackML CSV files.

    eventNNNNNNNNN-hits.csv        hit_id, x, y, z, volume_id, layer_id, module_id
    eventNNNNNNNNN-truth.csv       hit_id, particle_id, tx, ty, tz, tpx, tpy, tpz, weight
    eventNNNNNNNNN-particles.csv   particle_id, particle_type, vx, vy, vz, px, py, pz, q, nhits

Positions are in mm, momenta in GeV and charges in units of the positron's. Columns may be in any order, and
further columns are left out. Files of the challenge's accuracy phase have no ``particle_type``, which is 0
then. Files ``eventNNNNNNNNN-cells.csv`` may be there and are not read. ``datasets.trackml.csv_table`` says in
which forms a file is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.trackml.columns import HIT_COLUMNS, PARTICLE_COLUMNS, HitEvent
from datasets.trackml.csv_table import File, read_rows, read_text, shortened
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

HEAD = 4096
"""Number of bytes at the beginning of a file that hold its header and, if there are any, some rows."""

_OPTIONAL = "particle_type"


def read_files(files: Mapping[str, File]) -> HitEvent:
    """Reads an event.

    Args:
        files: One for each of ``FILES``.

    Returns:
        The event, hits in the order of hit_id, particles as in the file.

    Raises:
        DataError: A file is damaged, or the files do not belong together.
    """
    tables = {kind: _read_table(files[kind], kind) for kind in FILES}
    _check({kind: files[kind].name for kind in FILES}, tables)
    hits, truth, particles = (tables[kind] for kind in FILES)
    by_id = {name: column[np.argsort(hits["hit_id"])] for name, column in hits.items()}
    by_id |= {name: column[np.argsort(truth["hit_id"])] for name, column in truth.items()}
    return HitEvent({name: by_id[name] for name in HIT_COLUMNS}, particles)


def write_files(event: HitEvent, folder: Path, number: int) -> None:
    """Writes an event. The numbers in the text are exact.

    Args:
        event: Event to write.
        folder: Folder of the files.
        number: Number of the event, up to nine digits.

    Raises:
        OSError: The disk is full or cannot be written.
    """
    for kind, layout in FILES.items():
        # A column of our tables may be several columns of the file.
        columns = event.particles if kind == "particles" else event.hits
        fields = {
            name: field
            for ours, names in layout.items()
            for name, field in zip(names, columns[ours].reshape(-1, len(names)).T, strict=True)
        }

        # A structured array keeps integers of 64 bits beside floats.
        rows = np.empty(len(columns["particle_id"]), [(name, field.dtype) for name, field in fields.items()])
        for name, field in fields.items():
            rows[name] = field
        formats = ["%.9g" if field.dtype.kind == "f" else "%d" for field in fields.values()]
        with (folder / f"event{number:09d}-{kind}.csv").open("w", encoding="ascii") as file:
            np.savetxt(file, rows, fmt=formats, delimiter=",", header=",".join(fields), comments="")


def has_no_hits(files: Mapping[str, File]) -> bool:
    """Returns whether an event is empty: its files of hits and truth have a header and no rows.

    Only the beginnings of the files are read. A file that is damaged counts as one that has rows, so that
    ``read_files`` names the damage.

    Args:
        files: One for each of ``FILES``.
    """
    return all(_has_header_only(files[kind], kind) for kind in ("hits", "truth"))


def check_format(file: File) -> None:
    """Refuses a file of hits as ACTS writes them.

    Args:
        file: A file of hits. Nothing is said of one that cannot be read.

    Raises:
        DataError: It is of the format of ACTS.
    """
    try:
        names = read_text(file, HEAD).column_names()
    except DataError:
        return
    _refuse_acts(file.name, names)


def _has_header_only(file: File, kind: str) -> bool:
    try:
        text = read_text(file, HEAD)
    except DataError:
        return False
    return not text.body.strip() and set(_columns(kind, [])) <= set(text.column_names())


def _refuse_acts(name: str, columns: list[str]) -> None:
    """Refuses the columns of ACTS' own CSV files."""
    if "geometry_id" in columns or "particle_id_pv" in columns:
        version = "ACTS 44 or later" if "particle_id_pv" in columns else "ACTS"
        raise DataError(f"{name}: expected CSV of TrackML, got CSV of {version}, which has other columns")


def _columns(kind: str, names: list[str]) -> list[str]:
    """Returns the columns to read of a file with columns ``names``."""
    layout = FILES[kind]
    return [name for ours in layout if ours != _OPTIONAL or _OPTIONAL in names for name in layout[ours]]


def _read_table(file: File, kind: str) -> dict[str, NDArray[Any]]:
    """Returns the columns of a file, laid out as ``datasets.trackml.columns`` says."""
    text = read_text(file)
    names = text.column_names()
    columns = _columns(kind, names)
    if not set(columns) <= set(names):
        _refuse_acts(file.name, names)
        raise DataError(f"{file.name}: expected columns {', '.join(columns)}; got {shortened(text.header)!r}")

    # A row has the fields of our tables, some of which are made up of several columns.
    types = PARTICLE_COLUMNS if kind == "particles" else HIT_COLUMNS
    fields = [ours for ours in FILES[kind] if ours != _OPTIONAL or _OPTIONAL in names]
    rows = read_rows(text, np.dtype([(ours, *types[ours]) for ours in fields]), columns)
    table = {ours: np.ascontiguousarray(rows[ours]) for ours in fields}
    if kind == "particles":
        table.setdefault(_OPTIONAL, np.zeros(len(rows), np.int32))
        table = {ours: table[ours] for ours in PARTICLE_COLUMNS}
    return table


def _check(names: Mapping[str, str], tables: Mapping[str, Columns]) -> None:
    """Refuses tables that are impossible or do not belong together."""
    # Each table on its own.
    hits, truth, particles = (tables[kind] for kind in FILES)
    for kind, key in (("hits", "hit_id"), ("truth", "hit_id"), ("particles", "particle_id")):
        _check_unique(names[kind], key, tables[kind][key])
        _check_finite(names[kind], key, tables[kind])
    if not len(hits["hit_id"]):
        raise DataError(f"{names['hits']}: expected hits, got none")
    _check_layers(names["hits"], hits)

    # Hits and truth list the same hits, and every particle of the truth but noise is listed.
    truth_lines, truth_hits = f"a line for each hit of {names['hits']}", f"each hit of {names['truth']}"
    _check_listed(names["truth"], truth_lines, "hit_id", hits["hit_id"], truth["hit_id"])
    _check_listed(names["hits"], truth_hits, "hit_id", truth["hit_id"], hits["hit_id"])
    true_particles = truth["particle_id"][truth["particle_id"] != 0]
    expected = f"each particle of {names['truth']}"
    _check_listed(names["particles"], expected, "particle_id", true_particles, particles["particle_id"])


def _check_unique(name: str, key: str, ids: NDArray[Any]) -> None:
    """Refuses ids that are there twice."""
    values, counts = np.unique(ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{name}: expected each {key} once, got {values[np.argmax(counts)]} more than once")


def _check_finite(name: str, key: str, columns: Columns) -> None:
    """Refuses numbers that are infinite or none."""
    for ours, column in columns.items():
        finite = np.isfinite(column).all(axis=tuple(range(1, column.ndim)))
        if not finite.all():
            row = np.argmin(finite)
            value = column[row].tolist()
            raise DataError(
                f"{name}: expected finite numbers, got {value} as {ours} of {key} {columns[key][row]}"
            )


def _check_layers(name: str, hits: Columns) -> None:
    """Refuses volumes and layers that the TrackML detector does not have."""
    layers: dict[int, list[int]] = {}
    for layer in LAYERS:
        layers.setdefault(layer.volume_id, []).append(layer.layer_id)
    pairs = np.unique(np.stack([hits["volume_id"], hits["layer_id"]], axis=1), axis=0)
    for volume_id, layer_id in pairs.tolist():
        if volume_id not in layers:
            raise DataError(f"{name}: expected volume_id one of {_join(layers)}; got {volume_id}")
        if layer_id not in layers[volume_id]:
            raise DataError(
                f"{name}: expected layer_id one of {_join(layers[volume_id])} in volume {volume_id}; "
                f"got {layer_id}"
            )


def _join(numbers: Iterable[int]) -> str:
    """Returns numbers in their order, with commas between them."""
    return ", ".join(map(str, sorted(numbers)))


def _check_listed(
    name: str, expected: str, key: str, needed_ids: NDArray[Any], listed_ids: NDArray[Any]
) -> None:
    """Refuses a file that lacks ids which another file speaks of."""
    missing = np.setdiff1d(needed_ids, listed_ids)
    if len(missing):
        further = f" nor {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DataError(f"{name}: expected {expected}; got no {key} {missing[0]}{further}")
