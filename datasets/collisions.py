"""Shared parts of the generators: settings, reproducible blocks of collisions, and pile-up from a pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets import pythia
from datasets.parallel import Workers
from datasets.settings import EventSettings
from datasets.store import Writer, open_store

Particles = NDArray[np.void]

POOL_EVENTS_PER_BLOCK = 2000  # Pythia needs seconds to prepare diffraction: few, long blocks

VERTEX_MAX = 250.0
"""Largest distance of a collision from the centre along the beam, mm (card: PileUpMerger)."""


@dataclass(frozen=True)
class Settings(EventSettings):
    """Settings of the generators with Pythia.

    The other arguments are those of ``datasets.settings.EventSettings``.

    Args:
        pool_events: Minimum-bias events that pile-up is drawn from.
    """

    pool_events: int = 10_000


@dataclass(frozen=True)
class Block:
    """Work for one process, whose random numbers depend on (seed, stream, index) and on nothing else.

    Args:
        process: A key of ``pythia.PROCESSES``.
        stream: Number of the sequence of blocks in the data set.
        seed: Seed of the data set.
        index: Place in the sequence, from 0.
        events: Number of events to make.
    """

    process: str
    stream: int
    seed: int
    index: int
    events: int

    def seeds(self) -> tuple[int, np.random.Generator]:
        """Returns the seed of Pythia and the generator of all other random numbers."""
        root = np.random.SeedSequence(self.seed, spawn_key=(self.stream, self.index))
        pythia_sequence, numpy_sequence = root.spawn(2)
        pythia_seed = 1 + int(pythia_sequence.generate_state(1)[0]) % pythia.SEED_MAX
        return pythia_seed, np.random.default_rng(numpy_sequence)


def blocks(process: str, stream: int, seed: int, events: int, per_block: int) -> list[Block]:
    """Cuts events into blocks of ``per_block``, whatever the number of workers."""
    return [
        Block(process, stream, seed, index, min(per_block, events - start))
        for index, start in enumerate(range(0, events, per_block))
    ]


@dataclass(frozen=True)
class Pool:
    """Minimum-bias events to draw pile-up from: event i is ``particles[offsets[i]:offsets[i + 1]]``.

    Args:
        offsets: (events + 1,) first row of each event, and the number of rows.
        particles: PARTICLE array of all events, one after another.
    """

    offsets: NDArray[np.int64]
    particles: Particles


def write_pool(folder: Path, settings: Settings, stream: int, workers: Workers) -> Iterator[int]:
    """Generates the minimum-bias events of a data set into a folder of their own.

    Args:
        folder: Folder of the pool, which must not exist yet.
        settings: Settings of the data set, which give the seed and the number of events.
        stream: Number of the sequence of blocks.
        workers: Processes that generate the blocks.

    Yields:
        Number of events generated since the last time.

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
    """Returns the events that ``write_pool`` wrote."""
    table = open_store(folder, verify=False).split("pool").table("particles")
    return Pool(table.offsets, table.columns["particles"])


def _pool_block(block: Block) -> tuple[list[int], Particles]:
    """Generates minimum-bias events and returns their lengths and their particles, one after another."""
    pythia_seed, _ = block.seeds()
    events = list(pythia.events(block.process, pythia_seed, block.events))
    return [len(event) for event in events], np.concatenate(events)


def overlay(
    hard: Particles,
    pool: Pool,
    mean: float,
    rng: np.random.Generator,
    sigma_z: float,
    sigma_xy: float = 0.0,
) -> Particles:
    """Adds a Poisson number of pool events, each turned about the beam, and spreads all vertices.

    Args:
        hard: PARTICLE array of the hard collision, which is not changed.
        pool: Source of the pile-up. An event may be drawn more than once.
        mean: Mean number of pile-up collisions.
        rng: Generator of the choice, of the angles and of the vertices.
        sigma_z: Spread of the collisions along the beam, mm.
        sigma_xy: Spread of the collisions across the beam, in x and in y, mm.

    Returns:
        A PARTICLE array with the hard collision first.
    """
    # The order of the draws is part of the data: choice, angles, vertices.
    picks = rng.integers(len(pool.offsets) - 1, size=rng.poisson(mean))
    turns = np.concatenate([[0.0], rng.uniform(-np.pi, np.pi, size=len(picks))])
    vertex_z = rng.normal(0.0, sigma_z, size=len(turns))
    while (outside := np.abs(vertex_z) > VERTEX_MAX).any():
        vertex_z[outside] = rng.normal(0.0, sigma_z, size=int(outside.sum()))

    # One array of all particles, with the number of the collision that each came from.
    pieces = [hard, *(pool.particles[pool.offsets[i] : pool.offsets[i + 1]] for i in picks)]
    collision = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    particles = np.concatenate(pieces)

    # Turning an event about the beam makes repeated events of the pool differ.
    cos_turn, sin_turn = np.cos(turns)[collision], np.sin(turns)[collision]
    x, y = particles["x"].astype(np.float64), particles["y"].astype(np.float64)
    particles["x"], particles["y"] = x * cos_turn - y * sin_turn, x * sin_turn + y * cos_turn
    particles["phi"] = np.mod(particles["phi"] + turns[collision] + np.pi, 2 * np.pi) - np.pi

    # Every particle moves with its collision.
    particles["z"] += vertex_z[collision]
    if sigma_xy:
        particles["x"] += rng.normal(0.0, sigma_xy, size=len(turns))[collision]
        particles["y"] += rng.normal(0.0, sigma_xy, size=len(turns))[collision]
    return particles
