"""Padded batches of particle-flow events out of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import UsageError
from benchmarks.workload import Batch, Purpose
from benchmarks.workloads.mlpf.config import MLPFConfig
from datasets.cache import cache_root, expand_home
from datasets.delphes.generator import GENERATOR_VERSION, TABLE, DelphesSettings, generate
from datasets.delphes.simulation import N_INPUTS, N_TARGETS
from datasets.errors import DataError
from datasets.progress import bar_or_tenths
from datasets.store import Store, check_version, open_store

Note = Callable[[str], None]


def open_events(config: MLPFConfig, note: Note) -> ParticleFlowEvents:
    """Opens and verifies the data set of a configuration, and generates it first if the cache lacks it.

    Raises:
        DataError: The data set is damaged, too small, of another version, or cannot be made.
    """
    if config.data:
        store = open_store(expand_home(config.data, "data"))
        check_version(store, "generator_version", GENERATOR_VERSION)
        return ParticleFlowEvents(store, config)
    folder = cached_folder(config)
    if not folder.exists():
        make(config, folder, note)
    return ParticleFlowEvents(open_store(folder), config)


def make(config: MLPFConfig, folder: Path | None, note: Note, intermediate: Path | None = None) -> Path:
    """Generates the events of a configuration.

    Args:
        config: The configuration.
        folder: Folder of the data set. None takes its place in the cache.
        note: Takes a line of text now and then.
        intermediate: None, because particle-flow events have no intermediate data.

    Returns:
        The folder of the data set.

    Raises:
        UsageError: ``intermediate`` is not None.
        DataError: The generator is missing or fails, the folder exists, or the disk is full.
    """
    if intermediate is not None:
        raise UsageError(f"--intermediate {intermediate}: {config.workload} has none; leave the option out")
    target = folder or cached_folder(config)
    note(f"generating {config.train_events} training and {config.validation_events} validation events")
    data_set = generate(
        settings(config), target, workers=config.threads or None, progress=bar_or_tenths(note, "generated")
    )
    note(f"events are in {data_set}")
    return data_set


def settings(config: MLPFConfig) -> DelphesSettings:
    """Returns the settings of the generator for a configuration."""
    return DelphesSettings(
        train_events=config.train_events,
        validation_events=config.validation_events,
        pileup_mean=config.pileup,
        pool_events=config.pool_events,
        seed=config.data_seed,
    )


def cached_folder(config: MLPFConfig) -> Path:
    """Returns the folder in the cache that holds the generated events of a configuration."""
    return cache_root() / f"mlpf-{settings(config).key()}"


class ParticleFlowEvents:
    """The events of a run: inputs (batch, length, 12) and targets (batch, length, 7), float32.

    Columns are laid out as ``datasets.delphes.simulation`` says. Rows beyond the padded length are cut
    off at the end, as in the original benchmark, so that only towers are lost.
    """

    def __init__(self, store: Store, config: MLPFConfig) -> None:
        self._store = store
        self._lengths = config.lengths()
        self._counts = {"train": config.train_events, "validation": config.validation_events}
        for split, count in self._counts.items():
            stored_count = len(store.split(split))
            if stored_count < count:
                raise DataError(
                    f"{store.folder}: expected at least {count} {split} events, got {stored_count}; "
                    f"lower --set {split}_events or generate more"
                )

    @property
    def sha256(self) -> str:
        """Returns the hash of the data set's manifest."""
        return self._store.sha256

    def description(self) -> Mapping[str, Any]:
        """Returns the manifest without its list of files, and how many elements the padding cuts off."""
        manifest = {key: value for key, value in self._store.manifest.items() if key != "files"}
        elements, elements_cut_off = 0, 0
        for split, count in self._counts.items():
            sizes = np.diff(self._store.split(split).table(TABLE).offsets[: count + 1])
            elements += int(sizes.sum())
            elements_cut_off += int(np.maximum(sizes - self._lengths[-1], 0).sum())
        return {**manifest, "elements": elements, "elements_cut_off": elements_cut_off}

    def batches(
        self,
        split: str,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        purpose: Purpose = "validation",
    ) -> Iterator[Batch]:
        """Yields padded batches in stored order, as ``Events.batches`` says. The metrics read the targets."""
        table = self._store.split(split).table(TABLE)
        count = self._counts[split]
        for start in range(rank * batch_size, count, ranks * batch_size):
            # Events are stored one after the other: event i has the rows from offset i to offset i + 1.
            offsets = table.offsets[start : min(start + batch_size, count) + 1]
            sizes = np.minimum(np.diff(offsets), self._lengths[-1])
            length = next(length for length in self._lengths if length >= sizes.max(initial=0))

            inputs = _pad(table.columns["inputs"], offsets, sizes, (len(sizes), length, N_INPUTS))
            targets = None
            if purpose != "inference":
                targets = _pad(table.columns["targets"], offsets, sizes, (len(sizes), length, N_TARGETS))
            yield Batch(
                inputs=inputs,
                targets=targets,
                events=len(sizes),
                elements=int(sizes.sum()),
                padded_elements=len(sizes) * length,
                denominators=(len(sizes) * length,),
            )


def _pad(rows: np.ndarray, offsets: np.ndarray, sizes: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Copies ``sizes`` rows from each offset on into an array of zeros of (events, length, columns)."""
    padded = np.zeros(shape, np.float32)
    for event, (first, size) in enumerate(zip(offsets, sizes, strict=False)):
        padded[event, :size] = rows[first : first + size]
    return padded
