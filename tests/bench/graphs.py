"""Prints how fast graphs are built: a toy event of about 10^5 hits with the cuts of preset ``full``."""

import statistics
import time

import numpy as np

from benchmarks.workloads.gnn_tracking.config import PRESETS
from benchmarks.workloads.gnn_tracking.events import graph_settings
from datasets.graphs.event import graphs_of_event
from tests.datasets.helix_tracks import helix_event

REPEATS = 5


def graphs():
    event = helix_event(np.random.default_rng(6), 9000, pt=(0.15, 3.0), z_sigma=5.5, noise=17_000)
    settings = graph_settings(PRESETS["full"])
    durations = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        (graph,), _ = graphs_of_event(event, settings)
        durations.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = (statistics.median(column) for column in zip(*durations, strict=True))
    hits, nodes, edges = (
        len(rows) for rows in (event.hits["hit_id"], graph.nodes["hit"], graph.edges["label"])
    )
    print(f"graph construction, preset full, toy helices and noise, one thread, median of {REPEATS}")
    print(f"{'hits':>8}{'nodes':>8}{'edges':>9}{'s':>8}{'CPU s':>8}{'hits/s':>9}")
    print(f"{hits:>8}{nodes:>8}{edges:>9}{wall:>8.2f}{cpu:>8.2f}{hits / wall:>9.0f}", flush=True)
