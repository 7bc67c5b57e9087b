"""Graph data sets, which are made from a data set of hits and laid out as ``datasets.graphs.tables`` says."""

from __future__ import annotations

import importlib.metadata
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from datasets import parallel
from datasets.errors import DataError
from datasets.graphs.event import Construction, graphs_of_event
from datasets.graphs.settings import GRAPH_VERSION, GraphSettings
from datasets.graphs.tables import Graph
from datasets.parallel import Progress
from datasets.store import Split, Store, Table, Writer, open_store
from datasets.trackml.columns import HITS, read_event

__all__ = ["Graph", "GraphSettings", "build", "read_graph"]

NODES = "nodes"
TABLES = tuple(field.name for field in fields(Graph))


@dataclass(frozen=True)
class _Task:
    """One event as work for a process.

    Args:
        hits: Folder of the data set of hits.
        split: Name of the split.
        index: Number of the event in the split.
        settings: Settings of the way from hits to graphs.
    """

    hits: Path
    split: str
    index: int
    settings: GraphSettings


def build(
    hits: Store,
    settings: GraphSettings,
    folder: Path,
    *,
    train_events: int,
    validation_events: int,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Builds graphs of the first events of each split.

    Args:
        hits: Data set of hits.
        settings: Settings of the way from hits to graphs.
        folder: Folder of the graphs, which must not exist yet.
        train_events: Number of events of split "train".
        validation_events: Number of events of split "validation".
        workers: Number of processes, by default one per core that this process may use. The bytes do not
            depend on it.
        progress: Function that is called as events are done.

    Returns:
        The complete folder. When anything fails, there is none.

    Raises:
        DataError: There are too few events, an event makes no graph, the folder exists, or the disk is full.
    """
    events = {"train": train_events, "validation": validation_events}
    _check_events(hits, events)
    tasks = [
        _Task(hits.folder, split, index, settings)
        for split, number in events.items()
        for index in range(number)
    ]

    # Results arrive in the order of the tasks, which makes the bytes independent of the number of workers.
    sums = {split: _Sums() for split in events}
    with Writer(folder) as writer, parallel.start_workers(workers) as processes:
        results = zip(tasks, processes.map(_build_event, tasks), strict=True)
        for number, (task, (graphs, construction)) in enumerate(results, start=1):
            _append(writer, task.split, graphs)
            sums[task.split].add(graphs, construction)
            parallel.report(progress, number, len(tasks))
        return writer.finish(_about(hits, settings, sums))


def read_graph(split: Split, index: int) -> Graph:
    """Returns graph number ``index`` of a split of a graph data set.

    Raises:
        DataError: The split has no tables of graphs, because it is of a different kind of data set.
    """
    return Graph(**{name: _rows(split.table(name), index) for name in TABLES})


def _rows(table: Table, index: int) -> dict[str, Any]:
    """Returns the rows of one graph in each column of a table."""
    start, stop = table.offsets[index : index + 2]
    return {name: np.asarray(column[start:stop]) for name, column in table.columns.items()}


def _check_events(hits: Store, events: dict[str, int]) -> None:
    """Raises DataError unless each split has as many events as graphs are to be made of."""
    if min(events.values()) < 1:
        raise DataError("train_events and validation_events must be at least 1")
    for split, number in events.items():
        available = len(hits.split(split).table(HITS).offsets) - 1
        if available < number:
            raise DataError(
                f"{hits.folder}: expected at least {number} {split} events, got {available}; "
                f"lower --set {split}_events or generate more"
            )


def _build_event(task: _Task) -> tuple[list[Graph], Construction]:
    """Makes the graphs of one event in a process of their own."""
    event = read_event(open_store(task.hits, verify=False).split(task.split), task.index)
    try:
        return graphs_of_event(event, task.settings, task.index)
    except DataError as error:
        raise DataError(f"{task.hits}: {task.split} event {task.index}: {error}") from error


def _append(writer: Writer, split: str, graphs: list[Graph]) -> None:
    """Adds the graphs of one event to a split of the data set that ``writer`` writes."""
    for name in TABLES:
        parts = [getattr(graph, name) for graph in graphs]
        lengths = [len(next(iter(part.values()))) for part in parts]
        columns = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
        writer.append(split, name, lengths, columns)


class _Sums:
    """Sums over the events of a split, and the figures of the construction that follow from them."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys((field.name for field in fields(Construction)), 0)
        self._nodes: list[int] = []
        self._edges: list[int] = []

    def add(self, graphs: list[Graph], construction: Construction) -> None:
        """Adds one event."""
        for name, count in asdict(construction).items():
            self._counts[name] += count
        self._nodes += [len(graph.nodes["hit"]) for graph in graphs]
        self._edges += [len(graph.edges["label"]) for graph in graphs]

    def figures(self) -> dict[str, Any]:
        """Returns counts, efficiencies, purity and sizes as JSON values."""
        counts = self._counts
        return {
            "graphs": len(self._nodes),
            "true_doublets": counts["true_doublets"],
            "efficiency": counts["found_doublets"] / max(counts["true_doublets"], 1),
            "efficiency_on_layer_pairs": counts["found_doublets"] / max(counts["on_layer_pairs"], 1),
            "purity": counts["true_edges"] / counts["edges"],
            "nodes_mean": sum(self._nodes) / len(self._nodes),
            "nodes_max": max(self._nodes),
            "edges_mean": sum(self._edges) / len(self._edges),
            "edges_max": max(self._edges),
        }


def _about(hits: Store, settings: GraphSettings, sums: dict[str, _Sums]) -> dict[str, Any]:
    """Returns the manifest's description of the data and how they were made."""
    return {
        "generator": "hepbench graphs",
        "graph_version": GRAPH_VERSION,
        "versions": {"hepbench": importlib.metadata.version("hepbench"), "numpy": np.__version__},
        "settings": asdict(settings),
        "hits_sha256": hits.sha256,
        "hits_generator": hits.manifest.get("generator"),
        "hits_generator_version": hits.manifest.get("generator_version"),
        "construction": {split: of_split.figures() for split, of_split in sums.items()},
    }
