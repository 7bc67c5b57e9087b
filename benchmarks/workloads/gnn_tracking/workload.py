"""GNN tracking as the runner sees it."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from benchmarks.workload import Training
from benchmarks.workloads.gnn_tracking.config import GNNTrackingConfig
from benchmarks.workloads.gnn_tracking.events import GraphEvents, open_events
from benchmarks.workloads.gnn_tracking.losses import edge_loss
from benchmarks.workloads.gnn_tracking.metrics import TrackingMetrics
from benchmarks.workloads.gnn_tracking.model import InteractionNetwork, Shape


class GNNTrackingWorkload:
    """The training of the interaction network, as ``benchmarks.workload.Workload`` says."""

    def prepare(self, config: GNNTrackingConfig, note: Callable[[str], None]) -> GraphEvents:
        """Opens the graphs, and makes hits and graphs first if the cache lacks them."""
        return open_events(config, note)

    def build(self, config: GNNTrackingConfig, rng: np.random.Generator) -> Training:
        """Builds the published model and loss, and Adam."""
        shape = Shape(
            hidden=config.width,
            node_layers=config.node_layers,
            edge_layers=config.edge_layers,
            iterations=config.iterations,
            with_max=config.size == "large",
        )
        model = InteractionNetwork(
            rng,
            shape,
            keep=config.memory_mode == "store",
            piece_edges=config.piece_edges if config.memory_mode == "chunked" else 0,
            fixed_sums=config.xla == "on",
        )
        return Training(
            model=model,
            loss=edge_loss(config.true_weight),
            optimizer=keras.optimizers.Adam(config.learning_rate),
        )

    def metrics(self) -> TrackingMetrics:
        """Returns an empty collection of the figures of merit."""
        return TrackingMetrics()


WORKLOAD = GNNTrackingWorkload()
