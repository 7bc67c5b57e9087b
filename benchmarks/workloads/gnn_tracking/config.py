"""GNN tracking's configuration and presets, which can be read without a framework."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from benchmarks.config import TrainingConfig, option
from benchmarks.errors import UsageError

MEMORY_MODES = ("store", "checkpoint", "chunked")  # in the order in which ``auto`` tries them
BASE_BYTES = 1_200_000_000  # the framework, and what its allocator wastes
BATCH_BYTES = 120  # an edge in the batches that wait for their step
SIDE_BY_SIDE = 1.7  # on a CPU, operations that run side by side hold more activations at once
# Rows of hidden size at the peak, for each edge and each node, with sums only and with sums and maxima.
ROWS = {
    "store": ((33, 30), (58, 80)),
    "checkpoint": ((23, 25), (33, 30)),
    "chunked": ((9, 12), (17, 15)),
}


@dataclass(frozen=True)
class GNNTrackingConfig(TrainingConfig):
    """A training of the interaction network on graphs of hits."""

    workload: ClassVar[str] = "gnn_tracking"
    how_to_shrink: ClassVar[str] = (
        "choose a lower --set hidden or --batch-size, smaller graphs with --set phi_sectors, "
        "or, if it is another, --set memory_mode=chunked"
    )

    epochs: int = option(5, "passes over the training graphs, warm-up included", low=2, high=100_000)
    batch_size: int = option(1, "graphs per step", low=1, high=65_536)
    train_events: int = option(
        16, "graphs to train on: events, or sectors of events", low=1, high=100_000_000
    )
    validation_events: int = option(4, "graphs to validate on", low=1, high=100_000_000)
    generator: str = option(
        "acts",
        "acts: generated events come from Pythia and ACTS; helix: simpler ones, where these cannot be had",
        choices=("acts", "helix"),
    )
    pileup: float = option(200.0, "mean number of pile-up collisions of generated events", low=0, high=1000)
    pool_events: int = option(2_000, "minimum-bias events to draw pile-up from", low=1, high=10_000_000)
    noise: float = option(0.0, "share of noise hits in generated events", low=0.0, high=0.5)
    data_seed: int = option(1, "seed of generated events", low=0, high=2**31 - 1)
    detector: str = option("full", "layers whose hits are nodes", choices=("barrel", "full"))
    pt_min: float = option(0.5, "pt from which on particles count, GeV", low=0.0, high=1000.0)
    idealised: bool = option(False, "leave out noise and particles below pt_min; one hit per layer")
    phi_slope_max: float = option(1e-3, "largest |dphi/dr| of an edge, 1/mm", low=1e-9, high=10.0)
    z0_max: float = option(150.0, "largest |z0| of an edge, mm", low=1e-3, high=1e6)
    phi_sectors: int = option(1, "sectors in phi; each sector of an event is a graph", low=1, high=1024)
    eta_sectors: int = option(1, "sectors in eta", low=1, high=1024)
    sector_overlap: float = option(0.0, "reach of a sector into each neighbour, in widths", low=0.0, high=1.0)
    directed: bool = option(False, "edges lead outwards only; otherwise, as published, both ways")
    pad_nodes: int = option(120_000, "nodes per graph with padding", low=1, high=2**31 - 2)
    pad_edges: int = option(1_400_000, "edges per graph with padding", low=1, high=2**31 - 2)
    padding: str = option(
        "fixed",
        "fixed: every graph to pad_edges; buckets: a step to the next eighth of them",
        choices=("fixed", "buckets"),
    )
    size: str = option("default", "large: hidden 128 with sum and max", choices=("default", "large"))
    hidden: int = option(0, "hidden size; 0: 64, or 128 for size large", low=0, high=65_536)
    node_layers: int = option(3, "layers of the networks on nodes", low=2, high=100)
    edge_layers: int = option(3, "layers of the networks on edges", low=2, high=100)
    iterations: int = option(8, "message-passing iterations, which share their weights", low=1, high=1000)
    memory_mode: str = option(
        "auto",
        "store: keep every activation; checkpoint: keep those between iterations, compute the rest again; "
        "chunked: the same, the edges piece by piece; auto: the fastest that fits",
        choices=("auto", *MEMORY_MODES),
    )
    piece_edges: int = option(65_536, "edges in a piece of memory_mode chunked", low=1, high=2**31 - 2)
    learning_rate: float = option(1e-3, "Adam's learning rate", low=1e-12, high=1.0)
    true_weight: float = option(2.0, "weight of the true edges' mean loss", low=0.0, high=1e6)
    pt_weighted: bool = option(False, "weight true edges with the pt of their particles, as TrackML does")
    min_auc: float = option(0.9, "AUC below which a run has no score", low=0.0, high=1.0)

    def check(self) -> None:
        """Checks the keys that depend on each other.

        Raises:
            UsageError: A step has more rows than an int32 can count.
        """
        super().check()
        for key in ("nodes", "edges"):
            ways = self.ways if key == "edges" else 1
            rows = ways * self.batch_size * getattr(self, f"pad_{key}")
            if rows >= 2**31 - 1:
                raise UsageError(
                    f"pad_{key}: expected fewer than 2^31 - 1 {key} in a step, got {rows}; "
                    f"lower --batch-size or cut events with --set phi_sectors"
                )

    @property
    def sectors(self) -> int:
        """Returns the number of graphs that an event is cut into."""
        return self.phi_sectors * self.eta_sectors

    @property
    def width(self) -> int:
        """Returns the hidden size."""
        return self.hidden or (128 if self.size == "large" else 64)

    @property
    def ways(self) -> int:
        """Returns the number of edges of the model for each edge of a graph."""
        return 1 if self.directed else 2

    def with_auto_resolved(self, device: str, room: int | None) -> Self:
        """Returns the configuration with a value for every key that is ``auto``.

        Args:
            device: See ``RunConfig.with_auto_resolved``.
            room: Memory that the run finds, in bytes. None if it is not known.
        """
        config = super().with_auto_resolved(device, room)
        if config.memory_mode != "auto":
            return config
        for mode in MEMORY_MODES:
            config = dataclasses.replace(config, memory_mode=mode)
            if room is None or config.expected_memory_bytes() <= room:
                break
        return config

    def size_summary(self) -> str:
        """Says in words what decides how much memory a training takes."""
        ways = "one way" if self.directed else "both ways"
        return (
            f"{self.batch_size} graph(s) of {self.pad_nodes} nodes and {self.pad_edges} edges {ways}, "
            f"hidden {self.width}, in {self.precision}, memory_mode {self.memory_mode}"
        )

    def memory_summary(self) -> str:
        """Returns lines with the expected peak memory of each mode, and the formula."""
        modes = [dataclasses.replace(self, memory_mode=mode) for mode in MEMORY_MODES]
        lines = [
            f"  {config.memory_mode:<12}{config.expected_memory_bytes() / 1e9:7.1f} GB = {config._formula()}"
            for config in modes
        ]
        sizes = (
            f"E = {self.batch_size} x {self.ways} x {self.pad_edges} edges, "
            f"N = {self.batch_size} x {self.pad_nodes} nodes, "
            f"h = {self.width}, b = {self._number_bytes()} bytes"
        )
        return "\n".join([f"expected peak memory, {sizes}:", *lines, "memory_mode auto: the first that fits"])

    def expected_memory_bytes(self) -> int:
        """Returns the peak memory that a training is expected to take, in bytes.

        The formula counts rows of hidden size for each edge and each node, fitted to the peaks that
        ``make bench`` prints, and the batches that wait for their step. ``auto`` counts as the mode that
        takes least.
        """
        per_edge, per_node = self._rows()
        edges = self.ways * self.batch_size * self.pad_edges
        rows: float = per_edge * edges + per_node * self.batch_size * self.pad_nodes
        if self.memory_mode == "store" and self.deterministic == "off":
            rows *= SIDE_BY_SIDE
        return BASE_BYTES + edges * BATCH_BYTES + int(rows * self.width * self._number_bytes())

    def operations_per_event(self) -> float:
        """Returns the floating-point operations of a training graph, see ``TrainingConfig``."""
        h, node_hidden, edge_hidden = self.width, self.node_layers - 1, self.edge_layers - 1
        per_edge = (2 + edge_hidden) + (1 + self.iterations) * (3 + edge_hidden)  # the last one scores
        collected = 2 if self.size == "large" else 1
        per_node = node_hidden + self.iterations * (1 + collected + node_hidden)
        return 3 * 2.0 * h**2 * (per_edge * self.ways * self.pad_edges + per_node * self.pad_nodes)

    def _number_bytes(self) -> int:
        return {"float64": 8, "float32": 4}.get(self.precision, 2)

    def _rows(self) -> tuple[int, int]:
        mode = "chunked" if self.memory_mode == "auto" else self.memory_mode
        return ROWS[mode][self.size == "large"]

    def _formula(self) -> str:
        per_edge, per_node = self._rows()
        return f"{BASE_BYTES / 1e9:.1f} GB + ({per_edge} E + {per_node} N) h b + {BATCH_BYTES} E"

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        """Returns a line that says which figure is worse than its limit, or an empty string."""
        auc = quality["auc"]
        if auc >= self.min_auc:
            return super().quality_failure(quality)
        return f"auc: expected at least {self.min_auc:g}, got {auc:.4f}"


def piece_count(edges: int, piece_edges: int) -> int:
    """Returns the number of pieces that edges are cut into.

    Args:
        edges: Number of edges.
        piece_edges: Most edges of a piece. 0 means that there is one piece.
    """
    return -(-edges // piece_edges) if piece_edges else 1


_BARREL: dict[str, Any] = {"detector": "barrel", "pt_min": 1.0, "idealised": True, "phi_slope_max": 6e-4}
_WHOLE: dict[str, Any] = {
    "pt_min": 1.0,
    "noise": 0.15,
    "directed": True,
    # The largest of the 176 events of ``hepscore`` has 158,356 nodes and 2,123,324 edges.
    "pad_nodes": 170_000,
    "pad_edges": 2_400_000,
    "padding": "buckets",
    # Fixed, so that every machine takes the same step. It fits into 24 GB, and ``store`` does not.
    "memory_mode": "checkpoint",
    # A few steps rank the edges nearly as well as a hundred. The loss tells them apart, see docs/metrics.md.
    "min_auc": 0.75,
    "max_loss": 1.6,
}

PRESETS: dict[str, GNNTrackingConfig] = {
    # One or two minutes on two cores, data included: eighths of the barrel, half the iterations.
    "smoke": GNNTrackingConfig(
        epochs=8,
        train_events=128,
        validation_events=16,
        pool_events=1_000,
        phi_sectors=8,
        pad_nodes=1_500,
        pad_edges=4_500,
        iterations=4,
        learning_rate=3e-3,
        inference_seconds=2.0,
        quiet_epoch_seconds=0.0,
        min_steps=4,
        min_auc=0.95,
        **_BARREL,
    ),
    # The barrel above 1 GeV, as the first published trainings took it.
    "reduced": GNNTrackingConfig(
        epochs=12,
        train_events=64,
        validation_events=16,
        pad_nodes=9_000,
        pad_edges=22_000,
        learning_rate=2e-3,
        **_BARREL,
    ),
    # Whole events, which ask whether one fits at all. Edges lead one way, which halves them.
    # Eight ranks have 20 steps each in an epoch, which lasts more than 10 s on a fast GPU.
    "hepscore": GNNTrackingConfig(
        epochs=5, train_events=160, validation_events=16, **{**_WHOLE, "max_loss": 1.5}
    ),
    # The same step for two cores, which take about 10 minutes.
    "hepscore-small": GNNTrackingConfig(epochs=4, train_events=6, validation_events=2, min_steps=4, **_WHOLE),
    "full": GNNTrackingConfig(epochs=10, train_events=100, validation_events=20, **_WHOLE),
    # The step of ``hepscore`` on graphs that need neither Pythia nor ACTS, for a GPU that is at hand for
    # minutes. One padded length for all graphs saves compiling the step for each.
    "gpu-check": GNNTrackingConfig(
        epochs=4,
        train_events=20,
        validation_events=4,
        inference_seconds=2.0,
        quiet_epoch_seconds=0.0,
        **{
            **_WHOLE,
            "generator": "helix",
            "pad_nodes": 120_000,
            "pad_edges": 1_300_000,
            "padding": "fixed",
            "min_auc": 0.0,
            "max_loss": 0.0,
        },
    ),
    # As small as a CPU does it in seconds.
    "cpu-check": GNNTrackingConfig(
        threads=1,  # threads that wait for each other would take longer
        epochs=4,
        train_events=8,
        validation_events=8,
        generator="helix",
        phi_sectors=8,
        pad_nodes=700,
        pad_edges=2_000,
        iterations=2,
        hidden=32,
        memory_mode="checkpoint",
        learning_rate=3e-3,
        inference_seconds=0.2,
        quiet_epoch_seconds=0.0,
        min_steps=8,
        min_auc=0.0,
        **_BARREL,
    ),
}
