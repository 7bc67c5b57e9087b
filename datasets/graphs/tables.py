"""The tables of a graph: nodes are hits, edges are doublets that geometry allows, labels mark true doublets.

A split of a graph data set has these tables, with a run of rows for each graph:

nodes
    features    (rows, 3) float32: r / 1000 mm, (phi - centre of the sector) / (pi / phi_sectors), z / 1000 mm
    hit         int32, row of the event's hits
    layer       int32, its number in ``datasets.trackml.layers``
    particle    int32, row of the graph's particles, -1 for noise
    weight      float32, the hit's TrackML weight
edges, sorted by receiver, then sender
    index       (rows, 2) int32, nodes: sender (inner hit) and receiver (outer hit)
    features    (rows, 4) float32: dr / 1000 mm, dphi / (pi / phi_sectors), dz / 1000 mm, and
                sqrt(deta^2 + dphi^2)
    label       uint8, 1 where both are hits of one particle, whatever its pt
    pt          float32, GeV, pt of that particle, otherwise 0
particles, those with a hit in the graph
    particle_id int64
    pt          float32, GeV
    eta         float32
    nhits       int32, in the graph
    selected    uint8, 1 for the particles that efficiencies count: pt >= pt_min, nhits >= 3 and |eta| < 4
lost_doublets, true doublets with both nodes in the graph that the cuts or the layer pairs lost
    index       (rows, 2) int32, nodes: the earlier and the later one on the track
sector, one row
    event       int32
    phi         float32, rad, the sector's centre
    half_width  float32, rad, pi / phi_sectors
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.graphs.doublets import Points, find_doublets, wrap_angles
from datasets.graphs.settings import GraphSettings
from datasets.trackml.columns import HitEvent
from datasets.trackml.layers import DETECTORS, layer_pairs

NHITS_MIN, ETA_MAX = 3, 4.0
"""Smallest number of hits and largest |eta| of a selected particle."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Graph:
    """The columns of the tables of one graph, laid out as the module says."""

    nodes: Arrays
    edges: Arrays
    particles: Arrays
    lost_doublets: Arrays
    sector: Arrays

    def points(self) -> Points:
        """Returns the positions of the nodes, computed from their features."""
        r, phi, z = self.nodes["features"].T.astype(np.float64)
        phi = self.sector["phi"][0] + phi * self.sector["half_width"][0]
        return Points(1000.0 * r, wrap_angles(phi), 1000.0 * z)


@dataclass(frozen=True)
class Hits:
    """Hits of an event, or of a graph.

    Args:
        hit: (hits,) row of the event's hits.
        points: Positions of the hits.
        layer: (hits,) int32, number of the layer.
        particle: (hits,) row of the event's particles, -1 for noise.
    """

    hit: Indices
    points: Points
    layer: NDArray[np.int32]
    particle: Indices

    def __len__(self) -> int:
        """Returns the number of hits."""
        return len(self.hit)

    def inside(self, detector: str) -> NDArray[np.bool_]:
        """Returns (hits,) whether each hit lies in the part of the detector that graphs are built of."""
        return self.layer < DETECTORS[detector]

    def take(self, rows: Indices) -> Hits:
        """Returns the hits of these rows, in their order."""
        return Hits(self.hit[rows], self.points.take(rows), self.layer[rows], self.particle[rows])


@dataclass(frozen=True)
class Kinematics:
    """The kinematics of an event's particles, with one entry more at the end, at row -1, for noise.

    Args:
        pt: (particles + 1,) GeV, negative infinity for noise.
        eta: (particles + 1,) pseudorapidity of the momentum.
    """

    pt: Floats
    eta: Floats

    @classmethod
    def of(cls, momentum: NDArray[np.float32]) -> Kinematics:
        """Returns the kinematics of momenta (particles, 3), GeV."""
        x, y, z = momentum.astype(np.float64).T
        pt = np.hypot(x, y)
        with np.errstate(divide="ignore", invalid="ignore"):  # a particle along the beam
            return cls(np.append(pt, -np.inf), np.append(np.arcsinh(z / pt), 0.0))


def node_table(event: HitEvent, nodes: Hits, phi: float, settings: GraphSettings) -> Arrays:
    """Returns the columns of the table "nodes" for a sector with its centre at ``phi``."""
    points, half_width = nodes.points, np.pi / settings.phi_sectors
    features = [points.r / 1000.0, wrap_angles(points.phi - phi) / half_width, points.z / 1000.0]
    rows = np.searchsorted(_particles_with_nodes(nodes), nodes.particle)
    return {
        "features": np.stack(features, axis=1).astype(np.float32),
        "hit": nodes.hit.astype(np.int32),
        "layer": nodes.layer,
        "particle": np.where(nodes.particle >= 0, rows, -1).astype(np.int32),
        "weight": event.hits["weight"][nodes.hit],
    }


def edge_table(nodes: Hits, kinematics: Kinematics, settings: GraphSettings) -> Arrays:
    """Returns the columns of the table "edges"."""
    points, half_width = nodes.points, np.pi / settings.phi_sectors
    inner, outer = find_doublets(
        points, nodes.layer, layer_pairs(settings.detector), settings.phi_slope_max, settings.z0_max
    )
    eta = np.arcsinh(points.z / points.r)
    dr, dz, deta = (of_node[outer] - of_node[inner] for of_node in (points.r, points.z, eta))
    dphi = wrap_angles(points.phi[outer] - points.phi[inner])
    features = [dr / 1000.0, dphi / half_width, dz / 1000.0, np.hypot(deta, dphi)]
    particle = nodes.particle[outer]
    label = (particle >= 0) & (particle == nodes.particle[inner])
    return {
        "index": np.stack([inner, outer], axis=1).astype(np.int32),
        "features": np.stack(features, axis=1).astype(np.float32),
        "label": label.astype(np.uint8),
        "pt": np.where(label, kinematics.pt[particle], 0.0).astype(np.float32),
    }


def particle_table(event: HitEvent, nodes: Hits, kinematics: Kinematics, settings: GraphSettings) -> Arrays:
    """Returns the columns of the table "particles"."""
    rows = _particles_with_nodes(nodes)
    pt, eta = kinematics.pt[rows], kinematics.eta[rows]
    nhits = np.bincount(nodes.particle[nodes.particle >= 0], minlength=len(kinematics.pt))[rows]
    selected = (pt >= settings.pt_min) & (nhits >= NHITS_MIN) & (np.abs(eta) < ETA_MAX)
    return {
        "particle_id": event.particles["particle_id"][rows],
        "pt": pt.astype(np.float32),
        "eta": eta.astype(np.float32),
        "nhits": nhits.astype(np.int32),
        "selected": selected.astype(np.uint8),
    }


def _particles_with_nodes(nodes: Hits) -> Indices:
    """Returns the rows of the event's particles that have a node, in the order of the graph's particles."""
    return np.unique(nodes.particle[nodes.particle >= 0])
