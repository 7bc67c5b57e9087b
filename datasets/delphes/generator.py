"""The seeded generator of MLPF events: Pythia 8 collisions, pile-up and a Delphes-like detector.

Training events are top pairs, validation events QCD jets, as in the public data set (Zenodo record
4559324). Rows are laid out as `datasets.delphes.simulation` says, folders as `datasets.store` says.
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

GENERATOR_VERSION = 1
"""Goes up when equal settings begin to give other events."""

TABLE = "elements"
SPLITS = {"ttbar": "train", "qcd": "validation"}

EVENTS_PER_BLOCK = 128


@dataclass(frozen=True)
class DelphesSettings(collisions.Settings):
    """What to generate: training events are ttbar, validation events QCD.

    The public data set has 200 pile-up collisions per event. Args as for `datasets.collisions.Settings`.
    """

    generator_version: ClassVar[int] = GENERATOR_VERSION


def generate(
    settings: DelphesSettings, folder: Path, workers: int | None = None, progress: Progress | None = None
) -> Path:
    """Generate a data set with splits "train" and "validation".

    Args:
        settings: what to generate.
        folder: where it goes; must not exist yet.
        workers: processes; by default one per core this process may use. The bytes do not depend on it.
        progress: called as events are done, those of the minimum-bias pool included.

    Returns:
        The folder, complete; when anything fails there is none.

    Raises:
        DataError: Pythia is missing or fails, the folder exists, or the disk is full.
    """
    about = _about(settings)
    total = settings.pool_events + settings.train_events + settings.validation_events
    done = 0
    with Writer(folder) as writer, parallel.running(workers) as processes:
        pool = writer.partial / "pool"
        for events in collisions.write_pool(pool, settings, _stream("minimum_bias"), processes):
            done = parallel.report(progress, done + events, total)
        tasks = _blocks(settings, "ttbar", settings.train_events)
        tasks += _blocks(settings, "qcd", settings.validation_events)
        make = partial(_event_block, pool_folder=pool, pileup_mean=settings.pileup_mean)
        for block, (lengths, inputs, targets) in zip(tasks, processes.map(make, tasks), strict=True):
            columns = {"inputs": inputs, "targets": targets}
            writer.append(SPLITS[block.process], TABLE, lengths, columns)
            done = parallel.report(progress, done + len(lengths), total)
        shutil.rmtree(pool)
        return writer.finish(about)


def _stream(process: str) -> int:
    return list(pythia.PROCESSES).index(process)


def _blocks(settings: DelphesSettings, process: str, events: int) -> list[Block]:
    return collisions.blocks(process, _stream(process), settings.seed, events, EVENTS_PER_BLOCK)


def _event_block(block: Block, pool_folder: Path, pileup_mean: float) -> tuple[list[int], Rows, Rows]:
    """Make whole events; return their lengths, inputs and targets one after another."""
    pythia_seed, rng = block.seeds()
    pool = collisions.open_pool(pool_folder)
    inputs, targets = [], []
    for hard in pythia.events(block.process, pythia_seed, block.events):
        event = simulate(mix_pileup(hard, pool, pileup_mean, rng), rng)
        inputs.append(event[0])
        targets.append(event[1])
    return [len(rows) for rows in inputs], np.concatenate(inputs), np.concatenate(targets)


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
