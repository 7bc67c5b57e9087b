"""The seeded generator of liquid-argon patches.

On disk, both splits have the table ``patches``. The split ``train`` is one event of patches to train on, and
``validation`` one event to be reconstructed. The columns are those of ``datasets.liquid_argon.patches``:
``images``, (rows, 48, 48) int16, and ``content`` and ``michel``, (rows,) uint8.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datasets import parallel
from datasets.errors import DataError
from datasets.liquid_argon.patches import SHARES, Patches, make_patches
from datasets.parallel import Progress
from datasets.settings import settings_key
from datasets.store import Writer

GENERATOR_VERSION = 1
"""Version of the generator, raised when equal settings begin to give different patches."""

TABLE = "patches"
SPLITS = ("train", "validation")

PATCHES_PER_BLOCK = 500


@dataclass(frozen=True)
class LiquidArgonSettings:
    """Settings of a data set of patches. Equal settings give equal patches.

    Args:
        train_patches: Patches of the split "train".
        event_patches: Patches of the event in the split "validation".
        seed: Any whole number from 0.
    """

    train_patches: int
    event_patches: int
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.train_patches, self.event_patches) < 1:
            raise DataError("train_patches and event_patches must be at least 1")
        if self.seed < 0:
            raise DataError(f"seed must not be negative, got {self.seed}")

    def key(self) -> str:
        """Returns 12 hexadecimal digits that name these settings, for cache folders."""
        return settings_key(self, GENERATOR_VERSION)


@dataclass(frozen=True)
class Block:
    """Work for one process, whose random numbers depend on (seed, stream, index) and on nothing else.

    Args:
        seed: Seed of the data set.
        stream: Number of the split.
        index: Place in the split, from 0.
        patches: Number of patches to make.
    """

    seed: int
    stream: int
    index: int
    patches: int


def generate(
    settings: LiquidArgonSettings, folder: Path, workers: int | None = None, progress: Progress | None = None
) -> Path:
    """Generates a data set with splits "train" and "validation".

    Args:
        settings: Settings of the data set.
        folder: Folder of the data set, which must not exist yet.
        workers: Number of processes, by default one per core that this process may use. The bytes do not
            depend on it.
        progress: Function that is called as patches are done.

    Returns:
        The complete folder. When anything fails, there is none.

    Raises:
        DataError: The folder exists, or the disk is full.
    """
    counts = (settings.train_patches, settings.event_patches)
    patches_done = 0
    with Writer(folder) as writer, parallel.start_workers(workers) as processes:
        for stream, (split, count) in enumerate(zip(SPLITS, counts, strict=True)):
            # Blocks come back in the order of the tasks, which makes the bytes independent of the workers.
            blocks = []
            for block in processes.map(_make_block, _blocks(settings.seed, stream, count)):
                blocks.append(block)
                patches_done = parallel.report(progress, patches_done + len(block.content), sum(counts))
            columns = {
                name: np.concatenate([getattr(block, name) for block in blocks])
                for name in ("images", "content", "michel")
            }
            writer.append(split, TABLE, [count], columns)
        return writer.finish(_about(settings))


def _blocks(seed: int, stream: int, patches: int) -> list[Block]:
    """Cuts the patches of a split into blocks."""
    return [
        Block(seed, stream, index, min(PATCHES_PER_BLOCK, patches - start))
        for index, start in enumerate(range(0, patches, PATCHES_PER_BLOCK))
    ]


def _make_block(block: Block) -> Patches:
    """Makes the patches of a block."""
    sequence = np.random.SeedSequence(block.seed, spawn_key=(block.stream, block.index))
    return make_patches(block.patches, np.random.default_rng(sequence))


def _about(settings: LiquidArgonSettings) -> dict[str, Any]:
    """Returns the manifest's description of the data and how they were made."""
    return {
        "generator": "hepbench liquid argon",
        "generator_version": GENERATOR_VERSION,
        "versions": {"hepbench": importlib.metadata.version("hepbench"), "numpy": np.__version__},
        "settings": asdict(settings),
        "shares": SHARES,
    }
