"""Graphs of one event: nodes are hits, edges the doublets that geometry allows, labels say which are true.

An event is one graph, or one for each sector of it that has edges. A split of a graph data set has these
tables, with a run of rows for each graph:

nodes
    features (rows, 3) float32: r / 1000 mm, (phi - centre of the sector) / (pi / phi_sectors), z / 1000 mm;
    hit int32, row of the event's hits; layer int32, its number in `datasets.trackml.layers`;
    particle int32, row of the graph's particles, -1 for noise; weight float32, the hit's TrackML weight
edges, sorted by receiver, then sender
    index (rows, 2) int32, nodes: sender (inner hit) and receiver (outer hit);
    features (rows, 4) float32: dr / 1000 mm, dphi / (pi / phi_sectors), dz / 1000 mm, sqrt(deta^2 + dphi^2);
    label uint8, 1 where both are hits of one particle, whatever its pt; pt float32, GeV, its pt, else 0
particles, those with a hit in the graph
    particle_id int64; pt float32, GeV; eta float32; nhits int32, in the graph;
    selected uint8, 1 where pt >= pt_min, nhits >= 3 and |eta| < 4: what efficiencies count
lost_doublets, true doublets of which both nodes are here and that the cuts or the layer pairs lost
    index (rows, 2) int32, nodes: the earlier and the later one on the track
sector, one row
    event int32; phi float32, the sector's centre; half_width float32, pi / phi_sectors
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.graphs.doublets import Points, find_doublets, wrapped
from datasets.graphs.settings import GraphSettings
from datasets.graphs.truth import doublet_keys, one_hit_per_layer, particle_rows, true_doublets
from datasets.trackml.columns import HitEvent
from datasets.trackml.layers import DETECTORS, LAYERS, layer_numbers, layer_pairs

NHITS_MIN, ETA_MAX = 3, 4.0
"""Particles with so many hits and below this |eta| are selected."""

SECTORS_ETA = 5.0
"""Sectors in eta share the range from -5 to 5; the outermost take what lies beyond."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Graph:
    """One graph: the columns of its tables, laid out as the module says."""

    nodes: Arrays
    edges: Arrays
    particles: Arrays
    lost_doublets: Arrays
    sector: Arrays

    def points(self) -> Points:
        """Return where the nodes are, out of their features."""
        r, phi, z = self.nodes["features"].T.astype(np.float64)
        phi = self.sector["phi"][0] + phi * self.sector["half_width"][0]
        return Points(1000.0 * r, wrapped(phi), 1000.0 * z)


@dataclass(frozen=True)
class Construction:
    """What came of the true doublets of an event.

    A true doublet is a particle of interest (pt >= pt_min, three nodes or more) and two layers of the graph
    that are consecutive on its track; however many of its hits overlap on a layer, the doublet is one.

    Args:
        true_doublets: number of them.
        on_layer_pairs: those on pairs of layers that doublets are sought on.
        found: those with an edge between any of their hits, in any sector.
        edges: number of edges, over all sectors.
        true_edges: edges with label 1.
    """

    true_doublets: int
    on_layer_pairs: int
    found: int
    edges: int
    true_edges: int


@dataclass(frozen=True)
class _Hits:
    """Hits of an event, or of a graph.

    Args:
        hit: (hits,) row of the event's hits.
        points: where they are.
        layer: (hits,) int32 number of the layer.
        particle: (hits,) row of the event's particles, -1 for noise.
    """

    hit: Indices
    points: Points
    layer: NDArray[np.int32]
    particle: Indices

    def __len__(self) -> int:
        return len(self.hit)

    def inside(self, detector: str) -> NDArray[np.bool_]:
        return self.layer < DETECTORS[detector]

    def take(self, rows: Indices) -> _Hits:
        return _Hits(self.hit[rows], self.points.take(rows), self.layer[rows], self.particle[rows])


@dataclass(frozen=True)
class _Kinematics:
    """pt (GeV) and eta of the event's particles; one more at the end stands for noise, of no pt at all."""

    pt: Floats
    eta: Floats

    @classmethod
    def of(cls, momentum: NDArray[np.float32]) -> _Kinematics:
        x, y, z = momentum.astype(np.float64).T
        pt = np.hypot(x, y)
        with np.errstate(divide="ignore", invalid="ignore"):  # a particle along the beam
            return cls(np.append(pt, -np.inf), np.append(np.arcsinh(z / pt), 0.0))


def graphs_of_event(
    event: HitEvent, settings: GraphSettings, number: int = 0
) -> tuple[list[Graph], Construction]:
    """Make the graphs of an event.

    Args:
        event: its hits and particles.
        settings: which hits and doublets.
        number: what the graphs call the event.

    Raises:
        DataError: there are no hits or no doublets, the layer or the particle of a hit is unknown, or there
            may be too many doublets.
    """
    kinematics = _Kinematics.of(event.particles["momentum"])
    hits = _hits(event, kinematics, settings)
    first, second = _true_doublets(event, hits, kinematics, settings)
    keys = doublet_keys(hits.particle[first], hits.layer[first], hits.layer[second])
    graphs, found = [], np.zeros(len(keys), bool)
    for phi, rows in _sectors(hits, settings):
        nodes = hits.take(rows)
        edges = _edge_table(nodes, kinematics, settings)
        if not len(edges["label"]):
            continue
        sender, receiver = edges["index"][edges["label"] > 0].T
        joined = doublet_keys(nodes.particle[sender], nodes.layer[sender], nodes.layer[receiver])
        here = np.isin(keys, joined)
        found |= here
        node = np.full(len(hits), -1, np.int32)
        node[rows] = np.arange(len(rows))
        lost = np.stack([node[first], node[second]], axis=1)[~here]
        sector = {"event": np.array([number], np.int32), "phi": np.array([phi], np.float32)}
        sector |= {"half_width": np.array([np.pi / settings.phi_sectors], np.float32)}
        graphs.append(
            Graph(
                _node_table(event, nodes, phi, settings),
                edges,
                _particle_table(event, nodes, kinematics, settings),
                {"index": lost[(lost >= 0).all(axis=1)]},
                sector,
            )
        )
    if not graphs:
        raise DataError("no two hits make a doublet; raise phi_slope_max or z0_max")
    return graphs, Construction(
        true_doublets=len(keys),
        on_layer_pairs=_on_layer_pairs(hits.layer[first], hits.layer[second], settings.detector),
        found=int(found.sum()),
        edges=sum(len(graph.edges["label"]) for graph in graphs),
        true_edges=sum(int(graph.edges["label"].sum()) for graph in graphs),
    )


def _hits(event: HitEvent, kinematics: _Kinematics, settings: GraphSettings) -> _Hits:
    """Choose the hits of an event that may become nodes, those outside the detector still among them."""
    position = event.hits["position"].astype(np.float64)
    r = np.hypot(position[:, 0], position[:, 1])
    if not (r > 0.0).all():
        hit_id = event.hits["hit_id"][np.argmin(r > 0.0)]
        raise DataError(f"expected hits away from the beam line, got hit {hit_id} on it")
    layer = layer_numbers(event.hits["volume_id"], event.hits["layer_id"])
    particle = particle_rows(event.hits["particle_id"], event.particles["particle_id"])
    points = Points(r, np.arctan2(position[:, 1], position[:, 0]), position[:, 2])
    hits = _Hits(np.arange(len(r)), points, layer, particle)
    if settings.idealised:
        hits = hits.take(np.flatnonzero(kinematics.pt[hits.particle] >= settings.pt_min))
        hits = hits.take(one_hit_per_layer(hits.particle, hits.layer, hits.points.r, hits.points.z))
    if not hits.inside(settings.detector).any():
        wanted = f" of particles with pt >= {settings.pt_min:g} GeV" if settings.idealised else ""
        raise DataError(f"there are no hits{wanted} in the layers of detector={settings.detector}")
    return hits


def _true_doublets(
    event: HitEvent, hits: _Hits, kinematics: _Kinematics, settings: GraphSettings
) -> tuple[Indices, Indices]:
    """Return the true doublets among the hits: the earlier hits and the later ones."""
    inside = hits.inside(settings.detector)
    nhits = np.bincount(hits.particle[inside & (hits.particle >= 0)], minlength=len(kinematics.pt))
    of_interest = (kinematics.pt >= settings.pt_min) & (nhits >= NHITS_MIN)
    chosen = np.flatnonzero(of_interest[hits.particle])
    particle = hits.particle[chosen]
    end = event.hits["true_position"][hits.hit[chosen]].astype(np.float64)
    distance = np.linalg.norm(end - event.particles["vertex"][particle], axis=1)
    first, second = (chosen[ends] for ends in true_doublets(particle, hits.layer[chosen], distance))
    both = inside[first] & inside[second]
    return first[both], second[both]


def _on_layer_pairs(one: NDArray[np.int32], two: NDArray[np.int32], detector: str) -> int:
    """Count the doublets between layers that make a pair, in either order."""
    sought = np.zeros((len(LAYERS), len(LAYERS)), bool)
    for pair in layer_pairs(detector):
        sought[pair.inner, pair.outer] = sought[pair.outer, pair.inner] = True
    return int(sought[one, two].sum())


def _sectors(hits: _Hits, settings: GraphSettings) -> Iterator[tuple[float, Indices]]:
    """Yield each sector's centre in phi and its nodes, those in its margins included."""
    points, inside = hits.points, hits.inside(settings.detector)
    eta = np.clip(np.arcsinh(points.z / points.r), -SECTORS_ETA, SECTORS_ETA)
    reach = 1.0 + 2.0 * settings.sector_overlap
    half_eta, half_phi = SECTORS_ETA / settings.eta_sectors, np.pi / settings.phi_sectors
    for eta_sector in range(settings.eta_sectors):
        in_eta = np.abs(eta + SECTORS_ETA - (2 * eta_sector + 1) * half_eta) <= reach * half_eta
        for phi_sector in range(settings.phi_sectors):
            centre = (2 * phi_sector + 1) * half_phi - np.pi
            in_phi = np.abs(wrapped(points.phi - centre)) <= reach * half_phi
            yield centre, np.flatnonzero(inside & in_eta & in_phi)


def _node_table(event: HitEvent, nodes: _Hits, phi: float, settings: GraphSettings) -> Arrays:
    points, half_width = nodes.points, np.pi / settings.phi_sectors
    features = [points.r / 1000.0, wrapped(points.phi - phi) / half_width, points.z / 1000.0]
    rows = np.searchsorted(_present(nodes), nodes.particle)
    return {
        "features": np.stack(features, axis=1).astype(np.float32),
        "hit": nodes.hit.astype(np.int32),
        "layer": nodes.layer,
        "particle": np.where(nodes.particle >= 0, rows, -1).astype(np.int32),
        "weight": event.hits["weight"][nodes.hit],
    }


def _edge_table(nodes: _Hits, kinematics: _Kinematics, settings: GraphSettings) -> Arrays:
    points, half_width = nodes.points, np.pi / settings.phi_sectors
    inner, outer = find_doublets(
        points, nodes.layer, layer_pairs(settings.detector), settings.phi_slope_max, settings.z0_max
    )
    eta = np.arcsinh(points.z / points.r)
    dr, dz, deta = (of_node[outer] - of_node[inner] for of_node in (points.r, points.z, eta))
    dphi = wrapped(points.phi[outer] - points.phi[inner])
    features = [dr / 1000.0, dphi / half_width, dz / 1000.0, np.hypot(deta, dphi)]
    particle = nodes.particle[outer]
    label = (particle >= 0) & (particle == nodes.particle[inner])
    return {
        "index": np.stack([inner, outer], axis=1).astype(np.int32),
        "features": np.stack(features, axis=1).astype(np.float32),
        "label": label.astype(np.uint8),
        "pt": np.where(label, kinematics.pt[particle], 0.0).astype(np.float32),
    }


def _particle_table(
    event: HitEvent, nodes: _Hits, kinematics: _Kinematics, settings: GraphSettings
) -> Arrays:
    rows = _present(nodes)
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


def _present(nodes: _Hits) -> Indices:
    """Return the event's particles that have a node, ascending: as in the graph's table of particles."""
    return np.unique(nodes.particle[nodes.particle >= 0])
