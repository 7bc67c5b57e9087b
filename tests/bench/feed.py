"""Prints how fast batches of whole events are prepared, and how fast kept ones come back."""

import dataclasses
import statistics
import time

import numpy as np

from benchmarks.training.kept import KeptEvents
from benchmarks.workloads.gnn_tracking.batches import make_batch
from benchmarks.workloads.gnn_tracking.config import PRESETS
from datasets.graphs.dataset import Graph

NODES, EDGES = 120_000, 1_300_000
GRAPHS = 8


class OneGraph:
    """A graph as large as a whole event, several times."""

    def __init__(self, config):
        rng = np.random.default_rng(1)
        ends = np.sort(rng.integers(0, NODES, (EDGES, 2)), axis=1).astype(np.int32)
        features = rng.random((NODES, 3), np.float32)
        nodes = {"particle": np.zeros(NODES, np.int32), "features": features}
        edges = {
            "index": ends[np.argsort(ends[:, 1], kind="stable")],  # as stored
            "label": (rng.random(EDGES) < 0.1).astype(np.uint8),
            "pt": rng.random(EDGES, np.float32),
        }
        self._graph, self._config = Graph(nodes, edges, {}, {}, {}), config

    def batches(self, _split, _batch_size, _rank, _ranks, *, purpose):
        for _ in range(GRAPHS):
            yield make_batch([self._graph], self._config, purpose)


def feed():
    config = dataclasses.replace(PRESETS["full"], pad_nodes=NODES, pad_edges=EDGES, padding="fixed")
    kept = KeptEvents(OneGraph(config), room=1 << 34)
    print(f"batches of a graph of {NODES} nodes and {EDGES} edges, one way, graphs per second and core")
    for name in ("first epoch", "later epochs"):
        durations, batches = [], kept.batches("train", 1, purpose="training")
        for _ in range(GRAPHS):
            start = time.process_time()
            next(batches)
            durations.append(max(time.process_time() - start, 1e-9))
        next(batches, None)  # a pass is kept once it has ended
        print(f"  {name:<14}{1 / statistics.median(durations):>10.1f}", flush=True)
