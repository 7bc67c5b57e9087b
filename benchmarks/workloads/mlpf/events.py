"""Padded batches of particle-flow events out of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.errors import UsageError
from benchmarks.workload import Batch
from benchmarks.workloads.mlpf.config import MLPFConfig
from datasets import parallel
from datasets.cache import cache_root
from datasets.delphes.generator import TABLE, DelphesSettings, generate
from datasets.delphes.simulation import N_INPUTS, N_TARGETS
from datasets.errors import DataError
from datasets.store import Store, open_store

Note = Callable[[str], None]


def open_events(config: MLPFConfig, note: Note) -> ParticleFlowEvents:
    """Opens and verifies the data set of a configuration; generates it where the cache lacks it.

    Raises:
        DataError: It is damaged, too small, or cannot be made.
    """
    if config.data:
        return ParticleFlowEvents(open_store(Path(config.data)), config)
    folder = cached_folder(config)
    if not folder.exists():
        make(config, folder, note)
    return ParticleFlowEvents(open_store(folder), config)


def make(config: MLPFConfig, folder: Path | None, note: Note, intermediate: Path | None = None) -> Path:
    """Generates the events of a configuration into a folder, or into their place in the cache.

    Raises:
        UsageError: Intermediate data are asked for, and there are none.
        DataError: The generator is missing or fails, the folder exists, or the disk is full.
    """
    if intermediate is not None:
        raise UsageError(f"--intermediate {intermediate}: {config.workload} has none; leave the option out")
    target = folder or cached_folder(config)
    note(f"generating {config.train_events} training and {config.validation_events} validation events")
    made = generate(
        settings(config), target, workers=config.threads or None, progress=parallel.tenths(note, "generated")
    )
    note(f"events are in {made}")
    return made


def settings(config: MLPFConfig) -> DelphesSettings:
    """What the generator is asked for."""
    return DelphesSettings(
        train_events=config.train_events,
        validation_events=config.validation_events,
        pileup_mean=config.pileup,
        pool_events=config.pool_events,
        seed=config.data_seed,
    )


def cached_folder(config: MLPFConfig) -> Path:
    """Folder in the cache that holds the generated events of a configuration."""
    return cache_root() / f"mlpf-{settings(config).key()}"


class ParticleFlowEvents:
    """The events of a run: inputs (batch, length, 12) and targets (batch, length, 7), float32.

    Rows beyond the padded length are cut off at the end, as the original does: only towers are lost.
    """

    def __init__(self, store: Store, config: MLPFConfig) -> None:
        self._store = store
        self._lengths = config.lengths()
        self._counts = {"train": config.train_events, "validation": config.validation_events}
        for split, count in self._counts.items():
            there = len(store.split(split))
            if there < count:
                raise DataError(
                    f"{store.folder}: expected at least {count} {split} events, got {there}; "
                    f"lower --set {split}_events or generate more"
                )

    @property
    def sha256(self) -> str:
        """Hash of the data set's manifest."""
        return self._store.sha256

    def description(self) -> Mapping[str, Any]:
        """The manifest without its list of files, and how much of the events the padding cuts off."""
        about = {key: value for key, value in self._store.manifest.items() if key != "files"}
        cut, rows = 0, 0
        for split, count in self._counts.items():
            sizes = np.diff(self._store.split(split).table(TABLE).offsets[: count + 1])
            cut += int(np.maximum(sizes - self._lengths[-1], 0).sum())
            rows += int(sizes.sum())
        return {**about, "elements": rows, "elements_cut_off": cut}

    def batches(self, split: str, batch_size: int, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """Batches in stored order; the last one may hold fewer events."""
        table = self._store.split(split).table(TABLE)
        count = self._counts[split]
        longest = self._lengths[-1]
        for start in range(rank * batch_size, count, ranks * batch_size):
            edges = table.offsets[start : min(start + batch_size, count) + 1]
            sizes = np.minimum(np.diff(edges), longest)
            length = next(length for length in self._lengths if length >= sizes.max(initial=0))
            shape = (len(sizes), length)
            inputs = np.zeros((*shape, N_INPUTS), np.float32)
            targets = np.zeros((*shape, N_TARGETS), np.float32)
            for event, (first, size) in enumerate(zip(edges, sizes, strict=False)):
                inputs[event, :size] = table.columns["inputs"][first : first + size]
                targets[event, :size] = table.columns["targets"][first : first + size]
            yield Batch(
                inputs=inputs,
                targets=targets,
                events=len(sizes),
                elements=int(sizes.sum()),
                padded_elements=len(sizes) * length,
                denominators=(len(sizes) * length,),
            )
