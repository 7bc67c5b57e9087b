"""The seeded generator of MLPF events: Pythia 8 collisions, pile-up and a Delphes-like detector.

Training events are top pairs, validation events QCD jets, as in the public data set (Zenodo record
4559324). Rows are laid out as ``datasets.delphes.simulation`` says, folders as ``datasets.store`` says.
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
from datasets.delphes.simulation import Rows, mix_pileup, simulate
from datasets.parallel import Progress
from datasets.store import Writer

GENERATOR_VERSION = 2
"""Version of the generator, raised when equal settings begin to give different events."""

TABLE = "elements"
SPLITS = {"ttbar": "train", "qcd": "validation"}

EVENTS_PER_BLOCK = 128


@dataclass(frozen=True)
class DelphesSettings(collisions.Settings):
    """Settings of MLPF events: training events are ttbar, validation events are QCD.

    The public data set has 200 pile-up collisions per event. The arguments are those of
    ``datasets.collisions.Settings``.
    """

    generator_version: ClassVar[int] = GENERATOR_VERSION


def generate(
    settings: DelphesSettings, folder: Path, workers: int | None = None, progress: Progress | None = None
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
        DataError: Pythia is missing or fails, the folder exists, or the disk is full.
    """
    # Missing libraries are an error before anything is written.
    about = _about(settings)
    total = settings.pool_events + settings.train_events + settings.validation_events
    events_done = 0
    with Writer(folder) as writer, parallel.start_workers(workers) as processes:
        # The pool is written first, because every event draws its pile-up from all of it.
        pool = writer.partial / "pool"
        for events in collisions.write_pool(pool, settings, _stream("minimum_bias"), processes):
            events_done = parallel.report(progress, events_done + events, total)

        # Blocks come back in the order of the tasks, which makes the bytes independent of the workers.
        tasks = _blocks(settings, "ttbar", settings.train_events)
        tasks += _blocks(settings, "qcd", settings.validation_events)
        make = partial(_event_block, pool_folder=pool, pileup_mean=settings.pileup_mean)
        for block, (lengths, inputs, targets) in zip(tasks, processes.map(make, tasks), strict=True):
            columns = {"inputs": inputs, "targets": targets}
            writer.append(SPLITS[block.process], TABLE, lengths, columns)
            events_done = parallel.report(progress, events_done + len(lengths), total)

        # The pool is no part of the data set.
        shutil.rmtree(pool)
        return writer.finish(about)


def _stream(process: str) -> int:
    """Returns the number of a process's sequence of blocks."""
    return list(pythia.PROCESSES).index(process)


def _blocks(settings: DelphesSettings, process: str, events: int) -> list[Block]:
    """Cuts the events of a process into blocks."""
    return collisions.blocks(process, _stream(process), settings.seed, events, EVENTS_PER_BLOCK)


def _event_block(block: Block, pool_folder: Path, pileup_mean: float) -> tuple[list[int], Rows, Rows]:
    """Makes whole events and returns their lengths, and their inputs and targets one after another."""
    pythia_seed, rng = block.seeds()
    pool = collisions.open_pool(pool_folder)
    inputs, targets = [], []
    for hard in pythia.events(block.process, pythia_seed, block.events):
        event = simulate(mix_pileup(hard, pool, pileup_mean, rng), rng)
        inputs.append(event[0])
        targets.append(event[1])
    return [len(rows) for rows in inputs], np.concatenate(inputs), np.concatenate(targets)


def _about(settings: DelphesSettings) -> dict[str, Any]:
    """Returns the manifest's description of the data and how they were made."""
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
