"""Tracking events: the columns of a hits data set, the layers of the TrackML detector, reading and writing.

Split "train" and split "validation" hold two tables. Positions are in mm, momenta in GeV:

hits, in the order of hit_id
    hit_id                          int32
    position                        (rows, 3) float32, x, y and z as measured
    volume_id, layer_id, module_id  int32
    particle_id                     int64, 0 for noise
    true_position, true_momentum    (rows, 3) float32
    weight                          float32, the hit's share of the TrackML score, 0 for noise
particles
    particle_id                     int64
    particle_type                   int32, the PDG number, or 0 where it is not known
    vertex, momentum                (rows, 3) float32, position and momentum at production
    charge                          int32, in units of the positron's
    nhits                           int32
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.store import Split, Table, Writer

HITS = "hits"
PARTICLES = "particles"

CROSSING = np.dtype(
    [
        ("volume_id", np.int32),
        ("layer_id", np.int32),
        ("module_id", np.int32),
        ("particle", np.int64),  # row of the particle, -1 for noise
        ("index", np.int64),  # 0 for the first module that the particle crosses, 1 for the next, ...
        ("position", np.float64, 3),  # x, y, z in mm
        ("momentum", np.float64, 3),  # on entry, GeV
    ]
)
"""A particle that crosses a sensitive module."""

MODULE = np.dtype(
    [("volume_id", np.int32), ("layer_id", np.int32), ("module_id", np.int32), ("centre", np.float64, 3)]
)
"""A sensitive module of the detector, with its centre in mm."""

HIT_COLUMNS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "hit_id": (np.int32, ()),
    "position": (np.float32, (3,)),
    "volume_id": (np.int32, ()),
    "layer_id": (np.int32, ()),
    "module_id": (np.int32, ()),
    "particle_id": (np.int64, ()),
    "true_position": (np.float32, (3,)),
    "true_momentum": (np.float32, (3,)),
    "weight": (np.float32, ()),
}
"""Type and shape of a row of each column of the table "hits"."""

PARTICLE_COLUMNS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "particle_id": (np.int64, ()),
    "particle_type": (np.int32, ()),
    "vertex": (np.float32, (3,)),
    "momentum": (np.float32, (3,)),
    "charge": (np.int32, ()),
    "nhits": (np.int32, ()),
}
"""Type and shape of a row of each column of the table "particles"."""


@dataclass(frozen=True)
class HitEvent:
    """One event, with columns laid out as the module says.

    Args:
        hits: Columns of the table "hits".
        particles: Columns of the table "particles".
    """

    hits: Mapping[str, NDArray[Any]]
    particles: Mapping[str, NDArray[Any]]


def read_event(split: Split, index: int) -> HitEvent:
    """Returns event number ``index`` of a split of a data set of hits.

    Raises:
        DataError: The split has no tables of hits, because it is of a different kind of data set.
    """
    return HitEvent(_rows(split.table(HITS), index), _rows(split.table(PARTICLES), index))


def _rows(table: Table, index: int) -> dict[str, NDArray[Any]]:
    """Returns the rows of one event in each column of a table."""
    start, stop = table.offsets[index : index + 2]
    return {name: np.asarray(column[start:stop]) for name, column in table.columns.items()}


def append_events(writer: Writer, split: str, events: Sequence[HitEvent]) -> None:
    """Adds events to a split of the data set that ``writer`` writes.

    Raises:
        DataError: The disk is full or cannot be written.
    """
    for table, parts in (
        (HITS, [event.hits for event in events]),
        (PARTICLES, [event.particles for event in events]),
    ):
        lengths = [len(part["particle_id"]) for part in parts]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        writer.append(split, table, lengths, columns)
