"""The seeded generator of MLPF events without Pythia, for machines that cannot have it.

The particles are drawn from simple distributions and come from no collision. The detector is that of
``datasets.delphes.simulation``. The data sets bear another generator's name than those with Pythia. Rows are
laid out as ``datasets.delphes.simulation`` says, folders as ``datasets.store`` says.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets import parallel
from datasets.delphes.generator import TABLE
from datasets.delphes.simulation import VERTEX_SIGMA, Rows, simulate
from datasets.parallel import Progress
from datasets.pythia import PARTICLE
from datasets.settings import EventSettings
from datasets.store import Writer

TOY_GENERATOR = "hepbench toy"
"""Name of the generator in the manifests of its data sets."""

TOY_GENERATOR_VERSION = 1
"""Version of the generator, raised when equal settings begin to give different events."""

PARTICLES_PER_COLLISION = 90.0
"""Mean number of particles of a collision, which gives about as many rows as with Pythia."""

PT_MEAN, PT_MIN = 0.7, 0.1
"""Mean of pt above its smallest value, and the smallest value, GeV."""

ETA_MAX = 5.0
"""Largest |eta|, in which particles are spread evenly."""

# The kinds of particles: PDG number, charge, mass in GeV, and share.
_KINDS = (
    (211, 1, 0.13957, 0.28),
    (-211, -1, 0.13957, 0.28),
    (22, 0, 0.0, 0.30),
    (130, 0, 0.49761, 0.12),
    (11, -1, 0.000511, 0.01),
    (13, -1, 0.10566, 0.01),
)


@dataclass(frozen=True)
class ToySettings(EventSettings):
    """Settings of toy events. The arguments are those of ``datasets.settings.EventSettings``."""

    generator_version: ClassVar[int] = TOY_GENERATOR_VERSION


def generate(
    settings: ToySettings, folder: Path, workers: int | None = None, progress: Progress | None = None
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
            make = partial(_make_event, stream, settings=settings)
            for inputs, targets in processes.map(make, range(count)):
                writer.append(split, TABLE, [len(inputs)], {"inputs": inputs, "targets": targets})
                events_done = parallel.report(progress, events_done + 1, total)
        return writer.finish(
            {
                "source": "generated",
                "generator": TOY_GENERATOR,
                "generator_version": TOY_GENERATOR_VERSION,
                "versions": {
                    "hepbench": importlib.metadata.version("hepbench"),
                    "numpy": np.__version__,
                },
                "settings": asdict(settings),
            }
        )


def _make_event(stream: int, index: int, settings: ToySettings) -> tuple[Rows, Rows]:
    """Makes an event, whose random numbers depend on the seed, its split and its number alone."""
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(stream, index)))
    return simulate(draw_particles(1 + int(rng.poisson(settings.pileup_mean)), rng), rng)


def draw_particles(collisions: int, rng: np.random.Generator) -> NDArray[np.void]:
    """Draws the particles of an event, as a PARTICLE array.

    Args:
        collisions: Number of collisions.
        rng: Generator of everything that is drawn.
    """
    # All particles of a collision have its vertex on the beam line. There is one at least.
    sizes = np.maximum(rng.poisson(PARTICLES_PER_COLLISION, size=collisions), 1)
    vertex_z = np.repeat(rng.normal(scale=VERTEX_SIGMA, size=collisions), sizes)
    count = len(vertex_z)
    pdg, charge, mass, share = (np.array(column) for column in zip(*_KINDS, strict=True))
    kind = rng.choice(len(_KINDS), size=count, p=share)
    pt = PT_MIN + rng.exponential(PT_MEAN, size=count)
    eta = rng.uniform(-ETA_MAX, ETA_MAX, size=count)

    particles = np.zeros(count, dtype=PARTICLE)
    particles["pdg"], particles["charge"] = pdg[kind], charge[kind]
    particles["pt"], particles["eta"] = pt, eta
    particles["phi"] = rng.uniform(-np.pi, np.pi, size=count)
    particles["energy"] = np.hypot(pt * np.cosh(eta), mass[kind])
    particles["z"] = vertex_z
    return particles
