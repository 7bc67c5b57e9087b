"""The graphs of a run out of the store, and the making of hits and graphs that the cache lacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Batch, Purpose
from benchmarks.workloads.gnn_tracking.batches import make_batch
from benchmarks.workloads.gnn_tracking.config import GNNTrackingConfig
from datasets.cache import cache_root, expand_home, scratch_folder
from datasets.errors import DataError
from datasets.graphs.dataset import GraphSettings, build, read_graph
from datasets.graphs.settings import GRAPH_VERSION
from datasets.parallel import Progress
from datasets.progress import bar_or_tenths
from datasets.store import Split, Store, check_version, open_store
from datasets.trackml import generator, helix_generator
from datasets.trackml.generator import GENERATOR_VERSION, TrackMLSettings
from datasets.trackml.helix_generator import HELIX_GENERATOR, HELIX_GENERATOR_VERSION, HelixSettings

Note = Callable[[str], None]


def open_events(config: GNNTrackingConfig, note: Note) -> GraphEvents:
    """Opens and verifies the graphs of a configuration, and makes hits and graphs that the cache lacks.

    Args:
        config: The configuration. Its ``data`` may hold graphs or hits.
        note: Takes a line of text now and then.

    Raises:
        DataError: Hits or graphs are damaged, too few, too large, of another version, made with other
            settings, or cannot be made.
    """
    if not config.data:
        return GraphEvents(open_store(make(config, None, note)), config)
    store = _open_current(expand_home(config.data, "data"), config)
    if not _are_graphs(store):
        store = open_store(_graphs_in_cache(config, store, note))
    return GraphEvents(store, config)


def make(
    config: GNNTrackingConfig, folder: Path | None, note: Note, intermediate: Path | None = None
) -> Path:
    """Makes the graphs of a configuration.

    Args:
        config: The configuration.
        folder: Folder of the graphs. None takes their place in the cache, which keeps the hits, too.
        note: Takes a line of text now and then.
        intermediate: Folder that has the hits or keeps them. None removes them afterwards.

    Returns:
        The folder of the graphs.

    Raises:
        DataError: The generator is missing or fails, the folder exists, or the disk is full.
    """
    if folder is None:
        hits = _hits(config, intermediate or cached_folder(config), note)
        return _graphs_in_cache(config, hits, note)
    with ExitStack() as stack:
        if intermediate is None:
            intermediate = stack.enter_context(scratch_folder(folder)) / "hits"
        return make_graphs(config, _hits(config, intermediate, note), folder, note)


def _graphs_in_cache(config: GNNTrackingConfig, hits: Store, note: Note) -> Path:
    """Returns the folder of the graphs of these hits in the cache, and makes them if they are missing."""
    counts = f"{_events(config.train_events, config)}-{_events(config.validation_events, config)}"
    folder = cache_root() / f"gnn_tracking-graphs-{graph_settings(config).key()}-{hits.sha256[:12]}-{counts}"
    return folder if folder.exists() else make_graphs(config, hits, folder, note)


def _hits(config: GNNTrackingConfig, folder: Path, note: Note) -> Store:
    """Opens the hits in a folder, and generates them first if there is no such folder."""
    if not folder.exists():
        to_make = settings(config)
        note(f"generating {to_make.train_events} training and {to_make.validation_events} validation events")
        _generate(to_make, folder, config.threads or None, bar_or_tenths(note, "generated"))
        note(f"events are in {folder}")
    return _open_current(folder, config)


def _generate(
    to_make: TrackMLSettings | HelixSettings, folder: Path, workers: int | None, progress: Progress
) -> None:
    """Generates hits with the generator that the settings are for."""
    if isinstance(to_make, HelixSettings):
        helix_generator.generate(to_make, folder, workers, progress)
    else:
        generator.generate(to_make, folder, workers, progress)


def _open_current(folder: Path, config: GNNTrackingConfig) -> Store:
    """Opens hits or graphs, and refuses those of another version of the code or of another generator."""
    store = open_store(folder)
    check_version(store, "graph_version", GRAPH_VERSION)
    _check_generator(store, config)
    version = HELIX_GENERATOR_VERSION if config.generator == "helix" else GENERATOR_VERSION
    for key in ("generator_version", "hits_generator_version"):
        check_version(store, key, version)
    return store


def _check_generator(store: Store, config: GNNTrackingConfig) -> None:
    """Raises DataError if the events are simpler ones and the configuration does not say so, or the reverse.

    A score on simpler events is not that of the preset, and the configuration is what tells them apart.
    """
    name = store.manifest.get("hits_generator" if _are_graphs(store) else "generator")
    if (name == HELIX_GENERATOR) == (config.generator == "helix"):
        return
    remedy = "leave out --set generator=helix"
    if name == HELIX_GENERATOR:
        remedy = "add --set generator=helix, and the run says that it is not the preset's"
    raise DataError(
        f"{store.folder}: generator: expected {config.generator}, got events of {name or 'files'}; {remedy}"
    )


def make_graphs(config: GNNTrackingConfig, hits: Store, folder: Path, note: Note) -> Path:
    """Builds the graphs of a configuration from a data set of hits, and says how good the construction is.

    Args:
        config: The configuration.
        hits: The data set of hits.
        folder: Folder of the graphs.
        note: Takes a line of text now and then.

    Returns:
        The folder of the graphs.

    Raises:
        DataError: There are too few events, an event has no edges, the folder exists, or the disk is full.
    """
    data_set = build(
        hits,
        graph_settings(config),
        folder,
        train_events=_events(config.train_events, config),
        validation_events=_events(config.validation_events, config),
        workers=config.threads or None,
        progress=bar_or_tenths(note, "graphs built:"),
    )
    for split, figures in open_store(data_set, verify=False).manifest["construction"].items():
        note(
            f"{split}: {figures['graphs']} graphs of {figures['nodes_mean']:.0f} nodes and "
            f"{figures['edges_mean']:.0f} edges, at most {figures['nodes_max']} and {figures['edges_max']}; "
            f"construction efficiency {figures['efficiency']:.4f}, purity {figures['purity']:.4f}"
        )
    note(f"graphs are in {data_set}")
    return data_set


def settings(config: GNNTrackingConfig) -> TrackMLSettings | HelixSettings:
    """Returns the settings of the generator for a configuration."""
    common: dict[str, Any] = {
        "train_events": _events(config.train_events, config),
        "validation_events": _events(config.validation_events, config),
        "pileup_mean": config.pileup,
        "noise": config.noise,
        "seed": config.data_seed,
    }
    if config.generator == "helix":
        return HelixSettings(**common)
    return TrackMLSettings(pool_events=config.pool_events, **common)


def graph_settings(config: GNNTrackingConfig) -> GraphSettings:
    """Returns the settings by which hits become graphs."""
    return GraphSettings(
        detector=config.detector,
        pt_min=config.pt_min,
        idealised=config.idealised,
        phi_slope_max=config.phi_slope_max,
        z0_max=config.z0_max,
        phi_sectors=config.phi_sectors,
        eta_sectors=config.eta_sectors,
        sector_overlap=config.sector_overlap,
    )


def cached_folder(config: GNNTrackingConfig) -> Path:
    """Returns the folder in the cache that holds the generated hits of a configuration."""
    return cache_root() / f"gnn_tracking-{settings(config).key()}"


def _events(graphs: int, config: GNNTrackingConfig) -> int:
    """Returns the number of events from which ``graphs`` graphs are cut."""
    return math.ceil(graphs / config.sectors)


def _are_graphs(store: Store) -> bool:
    return all("edges" in split.tables for split in store.splits.values())


class GraphEvents:
    """The graphs of a run, in batches laid out as ``batches.py`` says."""

    def __init__(self, store: Store, config: GNNTrackingConfig) -> None:
        self._store, self._config = store, config
        expected, stored = asdict(graph_settings(config)), store.manifest["settings"]
        if stored != expected:
            raise DataError(f"{store.folder}: expected graphs made with {expected}, got {stored}")
        self._counts = {"train": config.train_events, "validation": config.validation_events}
        for split, count in self._counts.items():
            self._check(store.split(split), count)

    def _check(self, split: Split, count: int) -> None:
        if len(split) < count:
            raise DataError(
                f"{self._store.folder}: expected at least {count} {split.name} graphs, got {len(split)}; "
                f"lower --set {split.name}_events or make more"
            )
        for rows in ("nodes", "edges"):
            sizes = np.diff(split.table(rows).offsets[: count + 1])
            limit, largest = getattr(self._config, f"pad_{rows}"), int(sizes.argmax())
            if sizes[largest] > limit:
                raise DataError(
                    f"{self._store.folder}: expected at most {limit} {rows} in a graph, got {sizes[largest]} "
                    f"in {split.name} graph {largest}; raise --set pad_{rows} or cut events with "
                    "--set phi_sectors"
                )

    @property
    def sha256(self) -> str:
        """Returns the hash of the graphs' manifest, which holds that of the hits."""
        return self._store.sha256

    def description(self) -> Mapping[str, Any]:
        """Returns the manifest without its list of files."""
        return {key: value for key, value in self._store.manifest.items() if key != "files"}

    def batches(
        self,
        split: str,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        purpose: Purpose = "validation",
    ) -> Iterator[Batch]:
        """Yields batches of graphs in stored order, as ``Events.batches`` says."""
        stored, count = self._store.split(split), self._counts[split]
        for start in range(rank * batch_size, count, ranks * batch_size):
            graphs = [read_graph(stored, index) for index in range(start, min(start + batch_size, count))]
            yield make_batch(graphs, self._config, purpose)
