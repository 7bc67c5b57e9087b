"""Events of deep-inelastic scattering: Bjorken's x and momentum transfer, spread over a kinematic box.

On disk, the split ``events`` has the table ``kinematics`` with one row for each event and the columns ``x``
and ``q2`` (GeV^2), both float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import UsageError
from benchmarks.workloads.mellin_dis.config import MellinConfig
from benchmarks.workloads.mellin_dis.cross_section import NUCLEON_MASS, S
from datasets.cache import cache_root
from datasets.errors import DataError
from datasets.store import Store, Writer, open_store

GENERATOR_VERSION = 1  # goes up when equal settings begin to give other events
MIN_Q2 = 2.0  # GeV^2, where the evolution starts
MIN_W2 = 10.0  # GeV^2, squared mass of the hadrons
MAX_X = 0.9  # the contour is accurate to 1e-5 up to here, and wrong above 0.95

Note = Callable[[str], None]


def sample_events(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws events: uniform in ln Q2 over the box, and in ln x over what the box has at that Q2.

    A larger sample begins with the events of a smaller one.

    Returns:
        x and Q2 in GeV^2, both (count,) float64.
    """
    u, v = np.random.default_rng(seed).uniform(size=(count, 2)).T
    q2 = MIN_Q2 * (S / MIN_Q2) ** u
    low, high = x_range(q2)

    # Where Q2 is highest, x would have to be above MAX_X: such events get the highest Q2 that the box has.
    outside = low >= high
    q2[outside] = MIN_Q2 * (MAX_X * S / MIN_Q2) ** u[outside]
    low, high = x_range(q2)
    return low * (high / low) ** v, q2


def x_range(q2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and the highest x of the box at ``q2`` in GeV^2."""
    return q2 / S, np.minimum(q2 / (MIN_W2 - NUCLEON_MASS**2 + q2), MAX_X)


def check_box(x: np.ndarray, q2: np.ndarray) -> None:
    """Checks that all events are inside the box.

    Raises:
        DataError: One is outside; the message names the first one.
    """
    low, high = x_range(q2)
    rounding = 1e-12
    inside = (q2 >= MIN_Q2) & (x >= low * (1 - rounding)) & (x <= high * (1 + rounding))
    if inside.all():
        return
    event = int(np.argmin(inside))
    raise DataError(
        f"event {event}: expected Q2 from {MIN_Q2:g} GeV^2 and x from {low[event]:.4g} to {high[event]:.4g}, "
        f"got Q2 {q2[event]:.6g} and x {x[event]:.6g}; remove the events outside the box"
    )


def make(config: MellinConfig, folder: Path | None, note: Note, intermediate: Path | None = None) -> Path:
    """Generates the events of a configuration into a folder, or into their place in the cache.

    Raises:
        UsageError: Intermediate data are asked for, and there are none.
        DataError: The folder exists, or the disk is full.
    """
    if intermediate is not None:
        raise UsageError(f"--intermediate {intermediate}: {config.workload} has none; leave the option out")
    note(f"generating {config.series_events} events")
    x, q2 = sample_events(config.series_events, config.data_seed)
    with Writer(folder or cached_folder(config)) as writer:
        writer.append("events", "kinematics", np.ones(len(x), np.int64), {"x": x, "q2": q2})
        return writer.finish({"generator": "kinematic box", "settings": settings(config)})


def settings(config: MellinConfig) -> dict[str, int]:
    """Returns what decides the events, which their manifest names and their place in the cache depends on."""
    return {"version": GENERATOR_VERSION, "seed": config.data_seed, "events": config.series_events}


def cached_folder(config: MellinConfig) -> Path:
    """Returns the folder in the cache that holds the events of a configuration."""
    return cache_root() / "-".join(["mellin_dis", *map(str, settings(config).values())])


def open_events(config: MellinConfig, note: Note) -> KinematicEvents:
    """Opens and verifies the events of a configuration, and makes them first if the cache lacks them.

    Raises:
        DataError: They are damaged, too few, outside the box, or cannot be made.
    """
    folder = Path(config.data) if config.data else cached_folder(config)
    if not config.data and not folder.exists():
        make(config, None, note)
    return KinematicEvents(open_store(folder), config)


class KinematicEvents:
    """The events of a run.

    Attributes:
        x: (events,) float64.
        q2: (events,) float64, in GeV^2.
    """

    def __init__(self, store: Store, config: MellinConfig) -> None:
        self._store = store
        columns = store.split("events").table("kinematics").columns
        if len(columns["x"]) < config.series_events:
            raise DataError(
                f"{store.folder}: expected at least {config.series_events} events, got {len(columns['x'])}; "
                "lower --set series_events or generate more"
            )
        self.x, self.q2 = (np.array(columns[name][: config.series_events]) for name in ("x", "q2"))
        check_box(self.x, self.q2)

    @property
    def sha256(self) -> str:
        """Hash of the data set's manifest."""
        return self._store.sha256

    def description(self) -> Mapping[str, Any]:
        """Returns the manifest without its list of files."""
        return {key: value for key, value in self._store.manifest.items() if key != "files"}
