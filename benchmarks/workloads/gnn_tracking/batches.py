"""Padded batches of graphs: the graphs of a step as one graph of several parts.

Inputs, real rows first:
    nodes (N, 3) float32: r / m, phi / (half a sector), z / m, and 0 on padding.
    senders, receivers (E,) int32: rows of the nodes. Edges are in the order of their receivers. Each edge of
        a graph occurs both ways or, if ``directed``, once, from the inner hit to the outer one. Padding
        leads from the last node to itself, and there is at least one such node and one such edge.
    sender_order (E,) int32: the edges in the order of their senders.
Targets:
    label (E,) float32: 1 for a true edge.
    weight (E,) float32: weight in the loss, 0 on padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from benchmarks.workload import Batch, Purpose
from benchmarks.workloads.gnn_tracking.config import GNNTrackingConfig, piece_count
from benchmarks.workloads.gnn_tracking.truth import Truth
from datasets.graphs.dataset import Graph

BUCKETS = 8  # padded lengths that padding by buckets may take


def make_batch(graphs: list[Graph], config: GNNTrackingConfig, purpose: Purpose) -> Batch:
    """Returns a batch of graphs, laid out as the module says.

    Args:
        graphs: The graphs of the batch.
        config: Says how to pad, which ways edges lead, and how to weight them.
        purpose: Targets are made for training and validation, the truth for validation only.
    """
    # The only row of padding nodes that is needed for sure is the last one, the ends of padding edges.
    joined = _join_graphs(graphs, config.ways)
    node_count = len(graphs) * config.pad_nodes + 1
    edge_count = _padded_edges(graphs, config)

    # An edge has a row for each way, and its ends change places in the second one.
    features = np.zeros((node_count, 3), np.float32)
    features[: joined.node_starts[-1]] = np.concatenate([graph.nodes["features"] for graph in graphs])
    senders, receivers = (np.full(edge_count, node_count - 1, np.int32) for _ in range(2))
    ways = (joined.senders, joined.receivers), (joined.receivers, joined.senders)
    for rows, ends in zip(joined.rows.T, ways, strict=False):
        senders[rows], receivers[rows] = ends
    order = sort_rows(senders, node_count)

    # Nobody reads the targets of an inference or the truth of a training, and both take time to make.
    targets: dict[str, np.ndarray] | None = None
    denominators: tuple[float, ...] = ()
    if purpose != "inference":
        targets, denominators = _make_targets(graphs, joined.rows, edge_count, config.pt_weighted)
    return Batch(
        inputs={"nodes": features, "senders": senders, "receivers": receivers, "sender_order": order},
        targets=targets,
        events=len(graphs),
        elements=len(joined.senders),
        padded_elements=edge_count // config.ways,
        truth=_make_truth(graphs, joined) if purpose == "validation" else None,
        denominators=denominators,
    )


def sort_rows(ids: np.ndarray, count: int) -> np.ndarray:
    """Returns the rows in the order of their ids, those of an id in their own order: (rows,) int32.

    A sparse matrix with one entry in each row is turned from rows to columns, which counts the ids and does
    not compare them.

    Args:
        ids: (rows,) integers from 0 to ``count - 1``.
        count: Number of ids.
    """
    rows = np.arange(len(ids) + 1, dtype=np.int32)
    entries = np.ones(len(ids), np.bool_)
    by_row = csr_array((entries, ids, rows), shape=(len(ids), count))
    order: np.ndarray = by_row.tocsc().indices.astype(np.int32, copy=False)
    return order


def _make_targets(
    graphs: list[Graph], rows: np.ndarray, edge_count: int, pt_weighted: bool
) -> tuple[dict[str, np.ndarray], tuple[float, ...]]:
    """Returns the targets, and the sum of the weights of true and of false edges."""
    label, weight = (np.zeros(edge_count, np.float32) for _ in range(2))
    edge_label, pt = (np.concatenate([graph.edges[name] for graph in graphs]) for name in ("label", "pt"))
    edge_weight = np.where((edge_label == 1) & pt_weighted, pt_weight(pt), np.float32(1.0))
    for rows_of_way in rows.T:
        label[rows_of_way] = edge_label.astype(bool)
        weight[rows_of_way] = edge_weight
    denominators = tuple(float(np.sum(weight * part, dtype=np.float64)) for part in (label, 1 - label))
    return {"label": label, "weight": weight}, denominators


def pt_weight(pt: np.ndarray) -> np.ndarray:
    """Returns TrackML's weight of a particle: 0.2 up to a pt of 0.5 GeV, then linear to 1 at 3 GeV.

    Source: S. Amrouche et al., arXiv:1904.06778.
    """
    weight: np.ndarray = np.interp(pt, (0.5, 3.0), (0.2, 1.0)).astype(np.float32)
    return weight


def _padded_edges(graphs: list[Graph], config: GNNTrackingConfig) -> int:
    """Returns the edges with padding: one more than the graphs may have, and pieces of equal length."""
    bucket = config.pad_edges
    if config.padding == "buckets":
        step = math.ceil(bucket / BUCKETS)
        largest = max(len(graph.edges["label"]) for graph in graphs)
        bucket = min(bucket, step * math.ceil(largest / step))
    edges = config.ways * len(graphs) * bucket + 1
    pieces = piece_count(edges, config.piece_edges)
    return pieces * math.ceil(edges / pieces)


@dataclass(frozen=True)
class _JoinedGraphs:
    """The graphs of a batch as one, without padding.

    Attributes:
        node_starts: (graphs + 1,) int, the first node of each graph, and the number of nodes.
        senders: (E,) int32, the inner node of each edge.
        receivers: (E,) int32, the outer node.
        rows: (E, ways) int32, row of each edge in the order of the receivers, for each way.
    """

    node_starts: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    rows: np.ndarray


def _join_graphs(graphs: list[Graph], ways: int) -> _JoinedGraphs:
    node_starts = _starts([len(graph.nodes["particle"]) for graph in graphs])
    index = _join_columns(graphs, "edges", "index", node_starts).astype(np.int32)
    # Sorted by receiver, each edge once for each way.
    order = sort_rows(np.concatenate([index[:, 1], index[:, 0]][:ways]), int(node_starts[-1]))
    rows = np.empty(len(order), np.int32)
    rows[order] = np.arange(len(order), dtype=np.int32)
    return _JoinedGraphs(node_starts, index[:, 0], index[:, 1], rows.reshape(ways, -1).T)


def _make_truth(graphs: list[Graph], joined: _JoinedGraphs) -> Truth:
    """Returns what the figures of merit look at."""
    # Coordinates are in the frame of the whole detector, also where graphs are sectors.
    particle_starts = _starts([len(graph.particles["pt"]) for graph in graphs])
    points = [graph.points() for graph in graphs]
    return Truth(
        graph=np.repeat(np.arange(len(graphs), dtype=np.int32), np.diff(joined.node_starts)),
        position=np.concatenate([np.stack([p.r, p.phi, p.z], axis=1) for p in points]).astype(np.float32),
        particle=_join_columns(graphs, "nodes", "particle", particle_starts).astype(np.int32),
        weight=_join_columns(graphs, "nodes", "weight"),
        senders=joined.senders,
        receivers=joined.receivers,
        label=_join_columns(graphs, "edges", "label").astype(bool),
        rows=joined.rows,
        pt=_join_columns(graphs, "particles", "pt"),
        eta=_join_columns(graphs, "particles", "eta"),
        nhits=_join_columns(graphs, "particles", "nhits"),
        selected=_join_columns(graphs, "particles", "selected").astype(bool),
    )


def _join_columns(
    graphs: list[Graph], table: str, column: str, starts: np.ndarray | None = None
) -> np.ndarray:
    """Joins a column of all graphs. With ``starts`` it holds rows, and those of a graph move by its start."""
    parts = [getattr(graph, table)[column] for graph in graphs]
    if starts is not None:
        # Negative rows mean none, and stay.
        parts = [np.where(part < 0, part, part + start) for part, start in zip(parts, starts, strict=False)]
    return np.concatenate(parts)


def _starts(lengths: list[int]) -> np.ndarray:
    """Returns where each of several parts starts, and the total length."""
    return np.concatenate([[0], np.cumsum(lengths)])
