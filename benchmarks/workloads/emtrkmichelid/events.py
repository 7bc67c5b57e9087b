"""Batches of liquid-argon patches out of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import UsageError
from benchmarks.workload import Batch, Purpose
from benchmarks.workloads.emtrkmichelid.config import PatchConfig
from datasets.cache import cache_root, expand_home
from datasets.errors import DataError
from datasets.liquid_argon.generator import GENERATOR_VERSION, TABLE, LiquidArgonSettings, generate
from datasets.liquid_argon.patches import NONE, SHOWER, TRACK
from datasets.progress import bar_or_tenths
from datasets.store import Store, check_version, open_store

CLASSES = (TRACK, SHOWER, NONE)
COUNTS_PER_UNIT = 300.0  # about what a relativistic particle leaves in a pixel

Note = Callable[[str], None]


def preprocess(images: np.ndarray) -> np.ndarray:
    """Returns what the model reads, (patches, 48, 48, 1) float32, of stored (patches, 48, 48) int16."""
    scaled: np.ndarray = np.multiply(images[..., None], np.float32(1.0 / COUNTS_PER_UNIT), dtype=np.float32)
    return scaled


def open_events(config: PatchConfig, note: Note) -> Patches:
    """Opens and verifies the data set of a configuration, and generates it first if the cache lacks it.

    Raises:
        DataError: The data set is damaged, too small, of another version, or cannot be made.
    """
    if config.data:
        store = open_store(expand_home(config.data, "data"))
        check_version(store, "generator_version", GENERATOR_VERSION)
        return Patches(store, config)
    folder = cached_folder(config)
    if not folder.exists():
        make(config, folder, note)
    return Patches(open_store(folder), config)


def make(config: PatchConfig, folder: Path | None, note: Note, intermediate: Path | None = None) -> Path:
    """Generates the patches of a configuration.

    Args:
        config: The configuration.
        folder: Folder of the data set. None takes its place in the cache.
        note: Takes a line of text now and then.
        intermediate: None, because patches have no intermediate data.

    Returns:
        The folder of the data set.

    Raises:
        UsageError: ``intermediate`` is not None.
        DataError: The folder exists, or the disk is full.
    """
    if intermediate is not None:
        raise UsageError(f"--intermediate {intermediate}: {config.workload} has none; leave the option out")
    note(f"generating {config.train_patches} patches to train on and an event of {config.event_patches}")
    data_set = generate(
        settings(config),
        folder or cached_folder(config),
        workers=config.threads or None,
        progress=bar_or_tenths(note, "generated"),
    )
    note(f"patches are in {data_set}")
    return data_set


def settings(config: PatchConfig) -> LiquidArgonSettings:
    """Returns the settings of the generator for a configuration."""
    return LiquidArgonSettings(config.train_patches, config.event_patches, config.data_seed)


def cached_folder(config: PatchConfig) -> Path:
    """Returns the folder in the cache that holds the generated patches of a configuration."""
    return cache_root() / f"emtrkmichelid-{settings(config).key()}"


class Patches:
    """The patches of a run, to train on and of one event, laid out as ``preprocess`` says.

    Targets are a pair: (patches, 3) of the contents and (patches, 1) of Michel electrons, float32.
    """

    def __init__(self, store: Store, config: PatchConfig) -> None:
        self._store = store
        self._counts = {"train": config.train_patches, "validation": config.event_patches}
        for (split, count), key in zip(self._counts.items(), ("train_patches", "event_patches"), strict=True):
            stored_count = int(store.split(split).table(TABLE).offsets[-1])
            if stored_count < count:
                raise DataError(
                    f"{store.folder}: expected at least {count} patches in {split}, got {stored_count}; "
                    f"lower --set {key} or generate more"
                )

    @property
    def sha256(self) -> str:
        """Returns the hash of the data set's manifest."""
        return self._store.sha256

    def description(self) -> Mapping[str, Any]:
        """Returns the manifest without its list of files."""
        return {key: value for key, value in self._store.manifest.items() if key != "files"}

    def raw(self) -> np.ndarray:
        """Returns the patches of the event as they are stored, (patches, 48, 48) int16."""
        columns = self._store.split("validation").table(TABLE).columns
        return np.array(columns["images"][: self._counts["validation"]])

    def batches(
        self,
        split: str,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        purpose: Purpose = "validation",
    ) -> Iterator[Batch]:
        """Yields batches in stored order, as ``Events.batches`` says. The metrics read the targets."""
        columns = self._store.split(split).table(TABLE).columns
        count = self._counts[split]
        for start in range(rank * batch_size, count, ranks * batch_size):
            rows = slice(start, min(start + batch_size, count))
            size = rows.stop - rows.start
            targets = None
            if purpose != "inference":
                content = np.array(columns["content"][rows])[:, None] == np.array(CLASSES)
                michel = np.array(columns["michel"][rows])[:, None]
                targets = (content.astype(np.float32), michel.astype(np.float32))
            yield Batch(
                inputs=preprocess(np.array(columns["images"][rows])),
                targets=targets,
                events=size,
                elements=size,
                padded_elements=size,
            )
