"""Padded batches of graphs: the graphs of a step as one graph of several parts.

Inputs, real rows first:
    nodes (N, 3) float32: r / m, phi / (half a sector), z / m; 0 on padding.
    senders, receivers (E,) int32: rows of the nodes; edges in the order of their receivers, each edge of
        a graph once, from the inner hit to the outer one, or, unless ``directed``, both ways. Padding
        leads from the last node to itself, and there is at least one such node and one such edge.
    sender_order (E,) int32: the edges in the order of their senders.
Targets:
    label (E,) float32: 1 for a true edge.
    weight (E,) float32: in the loss; 0 on padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Batch
from benchmarks.workloads.gnn_tracking.config import GNNTrackingConfig, piece_count
from benchmarks.workloads.gnn_tracking.metrics import Truth
from datasets import parallel
from datasets.cache import cache_root, scratch_folder
from datasets.errors import DataError
from datasets.graphs.dataset import Graph, GraphSettings, build, read_graph
from datasets.store import Split, Store, open_store
from datasets.trackml.generator import TrackMLSettings, generate

Note = Callable[[str], None]

BUCKETS = 8  # padded lengths that padding by buckets may take


def open_events(config: GNNTrackingConfig, note: Note) -> GraphEvents:
    """Opens and verifies the graphs of a configuration; makes hits and graphs where the cache lacks them.

    Raises:
        DataError: Hits or graphs are damaged, too few, too large, made otherwise, or cannot be made.
    """
    if not config.data:
        return GraphEvents(open_store(make(config, None, note)), config)
    given = open_store(Path(config.data))
    return GraphEvents(
        given if _are_graphs(given) else open_store(_graphs_in_cache(config, given, note)), config
    )


def make(
    config: GNNTrackingConfig, folder: Path | None, note: Note, intermediate: Path | None = None
) -> Path:
    """Makes the graphs of a configuration in a folder, or in their place in the cache.

    Args:
        config: What to make.
        folder: For the graphs; None for the cache, which keeps the hits, too.
        note: Takes a line of text now and then.
        intermediate: Folder that has the hits, or keeps them; None to remove them.

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
    """Returns the folder of the graphs of these hits in the cache; makes them if they are not there."""
    counts = f"{_events(config.train_events, config)}-{_events(config.validation_events, config)}"
    folder = cache_root() / f"gnn_tracking-graphs-{graph_settings(config).key()}-{hits.sha256[:12]}-{counts}"
    return folder if folder.exists() else make_graphs(config, hits, folder, note)


def _hits(config: GNNTrackingConfig, folder: Path, note: Note) -> Store:
    """Opens the hits in a folder; generates them if there is no such folder."""
    if not folder.exists():
        wanted = settings(config)
        note(f"generating {wanted.train_events} training and {wanted.validation_events} validation events")
        generate(wanted, folder, workers=config.threads or None, progress=parallel.tenths(note, "generated"))
        note(f"events are in {folder}")
    return open_store(folder)


def make_graphs(config: GNNTrackingConfig, hits: Store, folder: Path, note: Note) -> Path:
    """Builds the graphs of a configuration from a data set of hits; says how good the construction is.

    Raises:
        DataError: There are too few events, an event has no edges, the folder exists, or the disk is full.
    """
    made = build(
        hits,
        graph_settings(config),
        folder,
        train_events=_events(config.train_events, config),
        validation_events=_events(config.validation_events, config),
        workers=config.threads or None,
        progress=parallel.tenths(note, "graphs built:"),
    )
    for split, figures in open_store(made, verify=False).manifest["construction"].items():
        note(
            f"{split}: {figures['graphs']} graphs of {figures['nodes_mean']:.0f} nodes and "
            f"{figures['edges_mean']:.0f} edges, at most {figures['nodes_max']} and {figures['edges_max']}; "
            f"construction efficiency {figures['efficiency']:.4f}, purity {figures['purity']:.4f}"
        )
    note(f"graphs are in {made}")
    return made


def settings(config: GNNTrackingConfig) -> TrackMLSettings:
    """What the generator is asked for."""
    return TrackMLSettings(
        train_events=_events(config.train_events, config),
        validation_events=_events(config.validation_events, config),
        pileup_mean=config.pileup,
        pool_events=config.pool_events,
        noise=config.noise,
        seed=config.data_seed,
    )


def graph_settings(config: GNNTrackingConfig) -> GraphSettings:
    """How hits become graphs."""
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
    """Folder in the cache that holds the generated hits of a configuration."""
    return cache_root() / f"gnn_tracking-{settings(config).key()}"


def _events(graphs: int, config: GNNTrackingConfig) -> int:
    """Events that so many graphs are cut from."""
    return math.ceil(graphs / config.sectors)


def _are_graphs(store: Store) -> bool:
    return all("edges" in split.tables for split in store.splits.values())


class GraphEvents:
    """The graphs of a run, in batches laid out as the module says."""

    def __init__(self, store: Store, config: GNNTrackingConfig) -> None:
        self._store, self._config = store, config
        wanted, found = asdict(graph_settings(config)), store.manifest["settings"]
        if found != wanted:
            raise DataError(f"{store.folder}: expected graphs made with {wanted}, got {found}")
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
        """Hash of the graphs' manifest, which holds that of the hits."""
        return self._store.sha256

    def description(self) -> Mapping[str, Any]:
        """The manifest without its list of files."""
        return {key: value for key, value in self._store.manifest.items() if key != "files"}

    def batches(self, split: str, batch_size: int, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """Batches in stored order; the last one may hold fewer graphs."""
        stored, count = self._store.split(split), self._counts[split]
        for start in range(rank * batch_size, count, ranks * batch_size):
            graphs = [read_graph(stored, index) for index in range(start, min(start + batch_size, count))]
            yield self._batch(graphs)

    def _batch(self, graphs: list[Graph]) -> Batch:
        truth = _truth(graphs, self._config.ways)
        nodes = len(graphs) * self._config.pad_nodes + 1
        edges = self._padded_edges(graphs)
        label, weight = (np.zeros(edges, np.float32) for _ in range(2))
        features = np.zeros((nodes, 3), np.float32)
        features[: len(truth.graph)] = np.concatenate([graph.nodes["features"] for graph in graphs])
        senders, receivers = (np.full(edges, nodes - 1, np.int32) for _ in range(2))
        for rows, ends in zip(
            truth.rows.T, ((truth.senders, truth.receivers), (truth.receivers, truth.senders)), strict=False
        ):
            senders[rows], receivers[rows] = ends
            label[rows] = truth.label
            weight[rows] = self._weight(graphs)
        order = np.argsort(senders, kind="stable").astype(np.int32)
        return Batch(
            inputs={"nodes": features, "senders": senders, "receivers": receivers, "sender_order": order},
            targets={"label": label, "weight": weight},
            events=len(graphs),
            elements=len(truth.label),
            padded_elements=edges // self._config.ways,
            truth=truth,
            denominators=tuple(float(np.sum(weight * part, dtype=np.float64)) for part in (label, 1 - label)),
        )

    def _weight(self, graphs: list[Graph]) -> np.ndarray:
        """Weights of the graphs' edges in the loss."""
        label, pt = (np.concatenate([graph.edges[name] for graph in graphs]) for name in ("label", "pt"))
        weighted = (label == 1) & self._config.pt_weighted
        return np.where(weighted, pt_weight(pt), np.float32(1.0))

    def _padded_edges(self, graphs: list[Graph]) -> int:
        """Edges with padding: one more than the graphs may have, and pieces of equal length."""
        bucket = self._config.pad_edges
        if self._config.padding == "buckets":
            step = math.ceil(bucket / BUCKETS)
            largest = max(len(graph.edges["label"]) for graph in graphs)
            bucket = min(bucket, step * math.ceil(largest / step))
        edges = self._config.ways * len(graphs) * bucket + 1
        pieces = piece_count(edges, self._config.piece_edges)
        return pieces * math.ceil(edges / pieces)


def pt_weight(pt: np.ndarray) -> np.ndarray:
    """TrackML's weight of a particle with ``pt`` in GeV: 0.2 up to 0.5 GeV, then linear to 1 at 3 GeV.

    Source: S. Amrouche et al., arXiv:1904.06778.
    """
    weight: np.ndarray = np.interp(pt, (0.5, 3.0), (0.2, 1.0)).astype(np.float32)
    return weight


def _truth(graphs: list[Graph], ways: int) -> Truth:
    """The graphs as one, without padding."""
    nodes = _starts([len(graph.nodes["particle"]) for graph in graphs])
    particles = _starts([len(graph.particles["pt"]) for graph in graphs])

    def joined(table: str, column: str, starts: np.ndarray | None = None) -> np.ndarray:
        parts = [getattr(graph, table)[column] for graph in graphs]
        if starts is not None:
            parts = [
                np.where(part < 0, part, part + start) for part, start in zip(parts, starts, strict=False)
            ]
        return np.concatenate(parts)

    points = [graph.points() for graph in graphs]
    index = joined("edges", "index", nodes).astype(np.int32)
    # Sorted by receiver, each edge once for each way.
    order = np.argsort(np.concatenate([index[:, 1], index[:, 0]][:ways]), kind="stable")
    rows = np.empty(len(order), np.int32)
    rows[order] = np.arange(len(order), dtype=np.int32)
    return Truth(
        graph=np.repeat(np.arange(len(graphs), dtype=np.int32), np.diff(nodes)),
        position=np.concatenate([np.stack([p.r, p.phi, p.z], axis=1) for p in points]).astype(np.float32),
        particle=joined("nodes", "particle", particles).astype(np.int32),
        weight=joined("nodes", "weight"),
        senders=index[:, 0],
        receivers=index[:, 1],
        label=joined("edges", "label").astype(bool),
        rows=rows.reshape(ways, -1).T,
        pt=joined("particles", "pt"),
        eta=joined("particles", "eta"),
        nhits=joined("particles", "nhits"),
        selected=joined("particles", "selected").astype(bool),
    )


def _starts(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)])
