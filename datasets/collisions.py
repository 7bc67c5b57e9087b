"""What the generators share: settings, reproducible blocks of collisions, and pile-up from a pool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets import pythia
from datasets.errors import DataError
from datasets.parallel import Workers
from datasets.store import FORMAT_VERSION, Writer, open_store

Particles = NDArray[np.void]

POOL_EVENTS_PER_BLOCK = 2000  # Pythia takes seconds to get ready for diffraction: few, long blocks

VERTEX_MAX = 250.0
"""Collisions lie within so many mm of the centre (card: PileUpMerger)."""


@dataclass(frozen=True)
class Settings:
    """What every generator is asked for; equal settings give equal events.

    Args:
        train_events: number of events in the split "train".
        validation_events: number of events in the split "validation".
        pileup_mean: mean number of pile-up collisions per event.
        pool_events: minimum-bias events that pile-up is drawn from.
        seed: any whole number from 0.
    """

    generator_version: ClassVar[int]
    """Goes up when equal settings begin to give other events."""

    train_events: int
    validation_events: int
    pileup_mean: float = 200.0
    pool_events: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.train_events, self.validation_events, self.pool_events) < 1:
            raise DataError("train_events, validation_events and pool_events must be at least 1")
        if not 0.0 <= self.pileup_mean <= 1000.0:
            raise DataError(f"pileup_mean must lie between 0 and 1000, got {self.pileup_mean}")
        object.__setattr__(self, "pileup_mean", float(self.pileup_mean))  # 200 and 200.0 are one key
        if self.seed < 0:
            raise DataError(f"seed must not be negative, got {self.seed}")

    def key(self) -> str:
        """Return 12 hexadecimal digits that name these settings, for cache folders."""
        versions = {"format_version": FORMAT_VERSION, "generator_version": self.generator_version}
        text = json.dumps({**asdict(self), **versions}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Block:
    """Work for one process; its numbers depend on (seed, stream, index) and on nothing else.

    Args:
        process: a key of `pythia.PROCESSES`.
        stream: tells the sequences of blocks of a data set apart.
        seed: of the data set.
        index: place in its sequence.
        events: how many to make.
    """

    process: str
    stream: int
    seed: int
    index: int
    events: int

    def seeds(self) -> tuple[int, np.random.Generator]:
        """Return the seed of Pythia and the source of everything else that is random."""
        root = np.random.SeedSequence(self.seed, spawn_key=(self.stream, self.index))
        for_pythia, for_numpy = root.spawn(2)
        pythia_seed = 1 + int(for_pythia.generate_state(1)[0]) % pythia.SEED_MAX
        return pythia_seed, np.random.default_rng(for_numpy)


def blocks(process: str, stream: int, seed: int, events: int, per_block: int) -> list[Block]:
    """Cut events into blocks of `per_block`, whatever the number of workers."""
    return [
        Block(process, stream, seed, index, min(per_block, events - start))
        for index, start in enumerate(range(0, events, per_block))
    ]


@dataclass(frozen=True)
class Pool:
    """Minimum-bias events to draw pile-up from: event i is particles[offsets[i]:offsets[i + 1]]."""

    offsets: NDArray[np.int64]
    particles: Particles


def write_pool(folder: Path, settings: Settings, stream: int, workers: Workers) -> Iterator[int]:
    """Generate the minimum-bias events of a data set into a folder of their own.

    Yields:
        Events made since the last time.

    Raises:
        DataError: Pythia fails, or the disk is full.
    """
    with Writer(folder) as writer:
        tasks = blocks("minimum_bias", stream, settings.seed, settings.pool_events, POOL_EVENTS_PER_BLOCK)
        for lengths, particles in workers.map(_pool_block, tasks):
            writer.append("pool", "particles", lengths, {"particles": particles})
            yield len(lengths)
        writer.finish({})


def open_pool(folder: Path) -> Pool:
    """Return the events that `write_pool` wrote."""
    table = open_store(folder, verify=False).split("pool").table("particles")
    return Pool(table.offsets, table.columns["particles"])


def _pool_block(block: Block) -> tuple[list[int], Particles]:
    """Make minimum-bias events; return their lengths and particles one after another."""
    pythia_seed, _ = block.seeds()
    made = list(pythia.events(block.process, pythia_seed, block.events))
    return [len(event) for event in made], np.concatenate(made)


def overlay(
    hard: Particles,
    pool: Pool,
    mean: float,
    rng: np.random.Generator,
    sigma_z: float,
    sigma_xy: float = 0.0,
) -> Particles:
    """Add a Poisson number of pool events, each turned about the beam, and spread all vertices.

    Args:
        hard: PARTICLE array of the hard collision; not changed.
        pool: where the pile-up comes from; an event may be drawn more than once.
        mean: mean number of pile-up collisions.
        rng: source of the choice, of the angles and of the vertices.
        sigma_z: spread of the collisions along the beam, mm.
        sigma_xy: their spread across it, in x and in y, mm.

    Returns:
        A PARTICLE array, the hard collision's first.
    """
    picks = rng.integers(len(pool.offsets) - 1, size=rng.poisson(mean))
    turns = np.concatenate([[0.0], rng.uniform(-np.pi, np.pi, size=len(picks))])
    vertex_z = rng.normal(0.0, sigma_z, size=len(turns))
    while (outside := np.abs(vertex_z) > VERTEX_MAX).any():
        vertex_z[outside] = rng.normal(0.0, sigma_z, size=int(outside.sum()))

    pieces = [hard, *(pool.particles[pool.offsets[i] : pool.offsets[i + 1]] for i in picks)]
    collision = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    particles = np.concatenate(pieces)
    cos_turn, sin_turn = np.cos(turns)[collision], np.sin(turns)[collision]
    x, y = particles["x"].astype(np.float64), particles["y"].astype(np.float64)
    particles["x"], particles["y"] = x * cos_turn - y * sin_turn, x * sin_turn + y * cos_turn
    particles["z"] += vertex_z[collision]
    particles["phi"] = np.mod(particles["phi"] + turns[collision] + np.pi, 2 * np.pi) - np.pi
    if sigma_xy:
        particles["x"] += rng.normal(0.0, sigma_xy, size=len(turns))[collision]
        particles["y"] += rng.normal(0.0, sigma_xy, size=len(turns))[collision]
    return particles
