"""The truth of a batch of graphs, which only the figures of merit look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Truth:
    """What the figures of merit look at in a batch with N real nodes, E real edges and P particles.

    The graphs are one disjoint union: no edge and no particle belongs to two of them.

    Attributes:
        graph: (N,) int32, the graph of each node, counted from 0.
        position: (N, 3) float32, r in mm, phi in rad, z in mm.
        particle: (N,) int32, row of the node's particle in the arrays of particles, -1 for none.
        weight: (N,) float32, TrackML weight of the hit.
        senders: (E,) int32, the inner node of each edge.
        receivers: (E,) int32, the outer node.
        label: (E,) bool, True for a true doublet.
        rows: (E, ways) int32, rows of the predictions for each edge. Its logit is their mean.
        pt: (P,) float32, GeV.
        eta: (P,) float32.
        nhits: (P,) int32, nodes that belong to the particle.
        selected: (P,) bool, True if the particle counts for the track efficiency.
    """

    graph: np.ndarray
    position: np.ndarray
    particle: np.ndarray
    weight: np.ndarray
    senders: np.ndarray
    receivers: np.ndarray
    label: np.ndarray
    rows: np.ndarray
    pt: np.ndarray
    eta: np.ndarray
    nhits: np.ndarray
    selected: np.ndarray
