"""The seeded generator of MLPF events: Pythia 8 collisions, pile-up and a Delphes-like detector.

Training events are top pairs, validation events QCD jets, as in the public data set (Zenodo record
4559324). Rows are laid out as `datasets.delphes_events` says, folders as `datasets.store` says.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets import parallel, pythia
from datasets.delphes_events import Pool, Rows, mix_pileup, simulate
from datasets.errors import DataError
from datasets.store import FORMAT_VERSION, Writer, open_store

Progress = Callable[[int, int], None]
"""Called with the events made so far, those of the minimum-bias pool included, and their total."""

GENERATOR_VERSION = 1
"""Goes up when equal settings begin to give other events."""

TABLE = "elements"
SPLITS = {"ttbar": "train", "qcd": "validation"}

EVENTS_PER_BLOCK = 128
POOL_EVENTS_PER_BLOCK = 2000  # Pythia takes seconds to get ready for diffraction: few, long blocks


@dataclass(frozen=True)
class DelphesSettings:
    """What to generate; equal settings give equal events.

    Args:
        train_events: number of ttbar events.
        validation_events: number of QCD events.
        pileup_mean: mean number of pile-up collisions per event; 200 in the public data set.
        pool_events: minimum-bias events that pile-up is drawn from.
        seed: any whole number from 0.
    """

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
        versions = {"format_version": FORMAT_VERSION, "generator_version": GENERATOR_VERSION}
        text = json.dumps({**asdict(self), **versions}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _Block:
    """Work for one process; its numbers depend on (seed, process, index) and on nothing else."""

    process: str
    seed: int
    index: int
    events: int
    pileup_mean: float
    pool: Path

    def seeds(self) -> tuple[int, np.random.Generator]:
        """Return the seed of Pythia and the source of everything else that is random."""
        stage = list(pythia.PROCESSES).index(self.process)
        root = np.random.SeedSequence(self.seed, spawn_key=(stage, self.index))
        for_pythia, for_numpy = root.spawn(2)
        pythia_seed = 1 + int(for_pythia.generate_state(1)[0]) % pythia.SEED_MAX
        return pythia_seed, np.random.default_rng(for_numpy)


def generate(
    settings: DelphesSettings, folder: Path, workers: int | None = None, progress: Progress | None = None
) -> Path:
    """Generate a data set with splits "train" and "validation".

    Args:
        settings: what to generate.
        folder: where it goes; must not exist yet.
        workers: processes; by default one per core this process may use. The bytes do not depend on it.
        progress: called as events are done.

    Returns:
        The folder, complete; when anything fails there is none.

    Raises:
        DataError: Pythia is missing or fails, the folder exists, or the disk is full.
    """
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    if count < 1:
        raise DataError(f"workers must be at least 1, got {count}")
    about = _about(settings)
    total = settings.pool_events + settings.train_events + settings.validation_events
    done = 0
    with Writer(folder) as writer, parallel.running(count) as processes:
        pool = writer.partial / "pool"
        with Writer(pool) as pool_writer:
            blocks = _blocks(settings, "minimum_bias", settings.pool_events, POOL_EVENTS_PER_BLOCK, pool)
            for lengths, particles in processes.map(_pool_block, blocks):
                pool_writer.append("pool", "particles", lengths, {"particles": particles})
                done = _report(progress, done + len(lengths), total)
            pool_writer.finish({})
        blocks = _blocks(settings, "ttbar", settings.train_events, EVENTS_PER_BLOCK, pool)
        blocks += _blocks(settings, "qcd", settings.validation_events, EVENTS_PER_BLOCK, pool)
        results = processes.map(_event_block, blocks)
        for block, (lengths, inputs, targets) in zip(blocks, results, strict=True):
            columns = {"inputs": inputs, "targets": targets}
            writer.append(SPLITS[block.process], TABLE, lengths, columns)
            done = _report(progress, done + len(lengths), total)
        shutil.rmtree(pool)
        return writer.finish(about)


def _blocks(settings: DelphesSettings, process: str, events: int, per_block: int, pool: Path) -> list[_Block]:
    """Cut events into blocks of `per_block`, whatever the number of workers."""
    return [
        _Block(process, settings.seed, index, min(per_block, events - start), settings.pileup_mean, pool)
        for index, start in enumerate(range(0, events, per_block))
    ]


def _pool_block(block: _Block) -> tuple[list[int], NDArray[np.void]]:
    """Make minimum-bias events; return their lengths and particles one after another."""
    pythia_seed, _ = block.seeds()
    made = list(pythia.events(block.process, pythia_seed, block.events))
    return [len(event) for event in made], np.concatenate(made)


def _event_block(block: _Block) -> tuple[list[int], Rows, Rows]:
    """Make whole events; return their lengths, inputs and targets one after another."""
    pythia_seed, rng = block.seeds()
    table = open_store(block.pool, verify=False).split("pool").table("particles")
    pool = Pool(table.offsets, table.columns["particles"])
    inputs, targets = [], []
    for hard in pythia.events(block.process, pythia_seed, block.events):
        event = simulate(mix_pileup(hard, pool, block.pileup_mean, rng), rng)
        inputs.append(event[0])
        targets.append(event[1])
    return [len(rows) for rows in inputs], np.concatenate(inputs), np.concatenate(targets)


def _report(progress: Progress | None, done: int, total: int) -> int:
    if progress is not None:
        progress(done, total)
    return done


def _about(settings: DelphesSettings) -> dict[str, Any]:
    """Return what the manifest says of the data's making."""
    return {
        "generator": "hepbench delphes",
        "generator_version": GENERATOR_VERSION,
        "versions": {
            "hepbench": importlib.metadata.version("hepbench"),
            "numpy": np.__version__,
            "pythia8mc": pythia.version(),
        },
        "settings": asdict(settings),
        "processes": {split: process for process, split in SPLITS.items()},
        "pythia": {process: pythia.process_settings(process) for process in pythia.PROCESSES},
    }
