"""The seeded generator of tracking events without ACTS and Pythia, for machines that cannot have them.

Its events are simpler than those of ``datasets.trackml.generator``, so its data sets bear another generator's
name. Columns are laid out as ``datasets.trackml.columns`` says, folders as ``datasets.store`` says.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from datasets import parallel
from datasets.errors import DataError
from datasets.parallel import Progress
from datasets.settings import EventSettings
from datasets.store import Writer
from datasets.trackml.columns import HitEvent, append_events
from datasets.trackml.helix_simulation import simulate_helices

HELIX_GENERATOR = "hepbench helix"
"""Name of the generator in the manifests of its data sets."""

HELIX_GENERATOR_VERSION = 1
"""Version of the generator, raised when equal settings begin to give different events."""


@dataclass(frozen=True)
class HelixSettings(EventSettings):
    """Settings of events on helices.

    The other arguments are those of ``datasets.settings.EventSettings``.

    Args:
        noise: Mean share of the hits that no particle made, from 0 to 0.5.
    """

    generator_version: ClassVar[int] = HELIX_GENERATOR_VERSION

    noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.noise <= 0.5:
            raise DataError(f"noise must lie between 0 and 0.5, got {self.noise}")
        object.__setattr__(self, "noise", float(self.noise))


def generate(
    settings: HelixSettings, folder: Path, workers: int | None = None, progress: Progress | None = None
) -> Path:
    """Generates a data set with splits "train" and "validation".

    Args:
        settings: Settings of the data set.
        folder: Folder of the data set, which must not exist yet.
        workers: Number of processes, by default one per core that this process may use. The bytes do not
            depend on it.
        progress: Function that is called as events are done.

    Returns:
        The complete folder. When anything fails, there is none.

    Raises:
        DataError: The folder exists, or the disk is full.
    """
    splits = {"train": settings.train_events, "validation": settings.validation_events}
    total, events_done = sum(splits.values()), 0
    with Writer(folder) as writer, parallel.start_workers(workers) as processes:
        # Events come back in the order of their numbers, which makes the bytes independent of the workers.
        for stream, (split, count) in enumerate(splits.items()):
            make = partial(_event, stream, settings=settings)
            for event in processes.map(make, range(count)):
                append_events(writer, split, [event])
                events_done = parallel.report(progress, events_done + 1, total)
        return writer.finish(
            {
                "source": "generated",
                "generator": HELIX_GENERATOR,
                "generator_version": HELIX_GENERATOR_VERSION,
                "versions": {
                    "hepbench": importlib.metadata.version("hepbench"),
                    "numpy": np.__version__,
                },
                "settings": asdict(settings),
            }
        )


def _event(stream: int, index: int, settings: HelixSettings) -> HitEvent:
    """Makes an event, whose random numbers depend on the seed, its split and its number alone."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(stream, index)))
    return simulate_helices(1 + int(rng.poisson(settings.pileup_mean)), settings.noise, rng)
