"""GNN charged-particle tracking on TrackML-like events: an interaction network scores edges of hit graphs."""

from benchmarks.workloads.gnn_tracking.config import PRESETS

__all__ = ["PRESETS"]
