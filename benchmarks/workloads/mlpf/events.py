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
from datasets.delphes import generator, toy_generator
from datasets.delphes.generator import GENERATOR_VERSION, TABLE, DelphesSettings
from datasets.delphes.simulation import N_INPUTS, N_TARGETS
from datasets.delphes.toy_generator import TOY_GENERATOR, TOY_GENERATOR_VERSION, ToySettings
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
        _check_generator(store, config)
        version = TOY_GENERATOR_VERSION if config.generator == "toy" else GENERATOR_VERSION
        check_version(store, "generator_version", version)
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
    to_make, workers = settings(config), config.threads or None
    progress = bar_or_tenths(note, "generated")
    if isinstance(to_make, ToySettings):
        data_set = toy_generator.generate(to_make, target, workers, progress)
    else:
        data_set = generator.generate(to_make, target, workers, progress)
    note(f"events are in {data_set}")
    return data_set


def _check_generator(store: Store, config: MLPFConfig) -> None:
    """Raises DataError if the events are simpler ones and the configuration does not say so, or the reverse.

    A score on simpler events is not that of the preset, and the configuration is what tells them apart.
    """
    name = store.manifest.get("generator")
    if (name == TOY_GENERATOR) == (config.generator == "toy"):
        return
    remedy = "leave out --set generator=toy"
    if name == TOY_GENERATOR:
        remedy = "add --set generator=toy, and the run says that it is not the preset's"
    raise DataError(
        f"{store.folder}: generator: expected {config.generator}, got events of {name or 'files'}; {remedy}"
    )


def settings(config: MLPFConfig) -> DelphesSettings | ToySettings:
    """Returns the settings of the generator for a configuration."""
    common: dict[str, Any] = {
        "train_events": config.train_events,
        "validation_events": config.validation_events,
        "pileup_mean": config.pileup,
        "seed": config.data_seed,
    }
    if config.generator == "toy":
        return ToySettings(**common)
    return DelphesSettings(pool_events=config.pool_events, **common)


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
