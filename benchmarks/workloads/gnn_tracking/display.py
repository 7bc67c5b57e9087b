"""The event display of a validation: particles of high pt, and the edges at their hits."""

from __future__ import annotations

import numpy as np

from benchmarks import plots
from benchmarks.workloads.gnn_tracking.truth import Truth

PARTICLES, LINES, BACKGROUND = 20, 300, 300  # how much is drawn of each at most
_HITS_MIN = 3


def display(truth: Truth, logits: np.ndarray) -> plots.Plot:
    """Returns the first graph of a batch as a plot.

    It has the hits of the selected particles of highest pt, the edges at these hits that are true or were
    kept, and a part of the other hits as background.

    Args:
        truth: The batch.
        logits: (E,) float32, above 0 for an edge that was kept.
    """
    # Ties of pt are broken by the row, so that the same event gives the same picture.
    candidates = np.flatnonzero(truth.selected & (truth.nhits >= _HITS_MIN))
    candidates = candidates[np.isin(candidates, truth.particle[truth.graph == 0])]
    chosen = candidates[np.argsort(-truth.pt[candidates], kind="stable")][:PARTICLES]
    is_hit = np.isin(truth.particle, chosen) & (truth.graph == 0)

    # Edges in the order of their ends, whatever their order in the graph.
    pairs = np.stack([truth.senders, truth.receivers], axis=1)
    order = np.lexsort(pairs.T)
    order = order[is_hit[pairs[order]].any(axis=1)]
    pairs, label, is_kept = pairs[order], truth.label[order], logits[order] > 0
    kinds = {"kept, true": is_kept & label, "kept, false": is_kept & ~label, "cut, true": ~is_kept & label}
    lines = {name: _thinned(pairs[of_kind], LINES) for name, of_kind in kinds.items()}

    # Of the nodes, those that are drawn are counted again from 0.
    others = np.flatnonzero((truth.graph == 0) & ~is_hit)
    ends = np.concatenate([np.flatnonzero(is_hit), *(line.ravel() for line in lines.values())])
    nodes = np.unique(np.concatenate([ends, _thinned(others, BACKGROUND)]))
    r, phi, z = truth.position[nodes].astype(np.float64).T
    return plots.event_display(
        f"An event: the {len(chosen)} particles of highest $p_T$",
        np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1),
        np.isin(nodes, ends),
        {name: np.searchsorted(nodes, line) for name, line in lines.items()},
    )


def _thinned(rows: np.ndarray, most: int) -> np.ndarray:
    """Returns at most ``most`` rows, spread evenly over all of them."""
    return rows[:: 1 + (len(rows) - 1) // most] if len(rows) else rows
