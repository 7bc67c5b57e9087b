"""The seeded generator of tracking events: Pythia 8 top pairs, pile-up and ACTS' simulation of the detector.

The detector is that of the TrackML challenge. Columns are laid out as ``datasets.trackml.columns`` says,
folders as ``datasets.store`` says.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from datasets import collisions, parallel, pythia
from datasets.collisions import Block
from datasets.errors import DataError
from datasets.parallel import Progress
from datasets.store import Writer
from datasets.trackml.columns import HitEvent, append_events
from datasets.trackml.simulation import load_fatras, simulate

GENERATOR_VERSION = 2
"""Version of the generator, raised when equal settings begin to give different events."""

VERTEX_SIGMA_Z, VERTEX_SIGMA_XY = 5.5, 0.014
"""Spread of the collisions along and across the beam, mm, as in the challenge."""

SPLITS = ("train", "validation")
POOL_STREAM = len(SPLITS)  # the streams before it are those of the splits

EVENTS_PER_BLOCK = 4


@dataclass(frozen=True)
class TrackMLSettings(collisions.Settings):
    """Settings of tracking events: training and validation events are ttbar.

    The other arguments are those of ``datasets.collisions.Settings``.

    Args:
        noise: Mean share of the hits that no particle made, from 0 to 0.5. It is 0.15 in the challenge.
    """

    generator_version: ClassVar[int] = GENERATOR_VERSION

    pool_events: int = 2000
    noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.noise <= 0.5:
            raise DataError(f"noise must lie between 0 and 0.5, got {self.noise}")
        object.__setattr__(self, "noise", float(self.noise))


def generate(
    settings: TrackMLSettings, folder: Path, workers: int | None = None, progress: Progress | None = None
) -> Path:
    """Generates a data set with splits "train" and "validation".

    Args:
        settings: Settings of the data set.
        folder: Folder of the data set, which must not exist yet.
        workers: Number of processes, by default one per core that this process may use. The bytes do not
            depend on it.
        progress: Function that is called as events are done, including those of the minimum-bias pool.

    Returns:
        The complete folder. When anything fails, there is none.

    Raises:
        DataError: Pythia or ACTS is missing or fails, the folder exists, or the disk is full.
    """
    # Missing libraries are an error before anything is written.
    about = _about(settings)
    total = settings.pool_events + settings.train_events + settings.validation_events
    events_done = 0
    with Writer(folder) as writer, parallel.start_workers(workers) as processes:
        # The pool is written first, because every event draws its pile-up from all of it.
        pool = writer.partial / "pool"
        for events in collisions.write_pool(pool, settings, POOL_STREAM, processes):
            events_done = parallel.report(progress, events_done + events, total)

        # Blocks come back in the order of the tasks, which makes the bytes independent of the workers.
        tasks = [
            block
            for stream, events in enumerate((settings.train_events, settings.validation_events))
            for block in collisions.blocks("ttbar", stream, settings.seed, events, EVENTS_PER_BLOCK)
        ]
        make = partial(_event_block, pool_folder=pool, settings=settings)
        for block, hit_events in zip(tasks, processes.map(make, tasks), strict=True):
            append_events(writer, SPLITS[block.stream], hit_events)
            events_done = parallel.report(progress, events_done + len(hit_events), total)

        # The pool is no part of the data set.
        shutil.rmtree(pool)
        return writer.finish(about)


def _event_block(block: Block, pool_folder: Path, settings: TrackMLSettings) -> list[HitEvent]:
    """Makes the events of a block."""
    pythia_seed, rng = block.seeds()
    pool = collisions.open_pool(pool_folder)
    spread = {"sigma_z": VERTEX_SIGMA_Z, "sigma_xy": VERTEX_SIGMA_XY}
    return [
        simulate(collisions.overlay(hard, pool, settings.pileup_mean, rng, **spread), settings.noise, rng)
        for hard in pythia.events(block.process, pythia_seed, block.events)
    ]


def _about(settings: TrackMLSettings) -> dict[str, Any]:
    """Returns the manifest's description of the data and how they were made."""
    load_fatras()
    return {
        "source": "generated",
        "generator": "hepbench trackml",
        "generator_version": GENERATOR_VERSION,
        "versions": {
            "hepbench": importlib.metadata.version("hepbench"),
            "numpy": np.__version__,
            "pyacts": importlib.metadata.version("pyacts"),
            "pythia8mc": pythia.version(),
        },
        "settings": asdict(settings),
        "processes": dict.fromkeys(SPLITS, "ttbar"),
        "pythia": {process: pythia.process_settings(process) for process in ("ttbar", "minimum_bias")},
    }
