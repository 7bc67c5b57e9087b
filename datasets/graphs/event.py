"""The way from the hits of one event to its graphs, whose tables ``datasets.graphs.tables`` describes.

An event is one graph, or one for each sector of it that has edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError
from datasets.graphs.doublets import Points, wrap_angles
from datasets.graphs.settings import GraphSettings
from datasets.graphs.tables import (
    NHITS_MIN,
    Graph,
    Hits,
    Kinematics,
    edge_table,
    node_table,
    particle_table,
)
from datasets.graphs.truth import doublet_keys, one_hit_per_layer, particle_rows, true_doublets
from datasets.trackml.columns import HitEvent
from datasets.trackml.layers import LAYERS, layer_numbers, layer_pairs

SECTORS_ETA = 5.0
"""Half the range of eta that the sectors share. The outermost sectors also hold what lies beyond."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Construction:
    """Counts of the true doublets and the edges of an event.

    A true doublet is a particle of interest (pt >= pt_min, three nodes or more) and two layers of the graph
    that are consecutive on its track. It counts once, however many hits of the particle overlap on a layer.

    Args:
        true_doublets: Number of true doublets.
        on_layer_pairs: Number of true doublets on pairs of layers that doublets are sought on.
        found_doublets: Number of true doublets with an edge between any of their hits, in any sector.
        edges: Number of edges, over all sectors.
        true_edges: Number of edges with label 1.
    """

    true_doublets: int
    on_layer_pairs: int
    found_doublets: int
    edges: int
    true_edges: int


def graphs_of_event(
    event: HitEvent, settings: GraphSettings, number: int = 0
) -> tuple[list[Graph], Construction]:
    """Makes the graphs of an event.

    Args:
        event: Hits and particles of the event.
        settings: Settings of the way from hits to graphs.
        number: Number of the event, which its graphs hold.

    Returns:
        A graph for each sector that has edges, and the counts of the construction.

    Raises:
        DataError: There are no hits or no doublets, the layer or the particle of a hit is unknown, or there
            may be too many doublets.
    """
    kinematics = Kinematics.of(event.particles["momentum"])
    hits = _hits(event, kinematics, settings)
    first, second = _true_doublets(event, hits, kinematics, settings)
    keys = doublet_keys(hits.particle[first], hits.layer[first], hits.layer[second])
    graphs, is_found = [], np.zeros(len(keys), bool)
    for phi, rows in _sectors(hits, settings):
        # A sector without edges would be a graph that nothing can be learned from.
        nodes = hits.take(rows)
        edges = edge_table(nodes, kinematics, settings)
        if not len(edges["label"]):
            continue

        # A true doublet counts as found in the event if it is found in any sector.
        sender, receiver = edges["index"][edges["label"] > 0].T
        edge_keys = doublet_keys(nodes.particle[sender], nodes.layer[sender], nodes.layer[receiver])
        found_here = np.isin(keys, edge_keys)
        is_found |= found_here

        # A true doublet counts as lost in the sectors that hold both of its hits.
        node = np.full(len(hits), -1, np.int32)
        node[rows] = np.arange(len(rows))
        missing = np.stack([node[first], node[second]], axis=1)[~found_here]
        sector = {"event": np.array([number], np.int32), "phi": np.array([phi], np.float32)}
        sector |= {"half_width": np.array([np.pi / settings.phi_sectors], np.float32)}
        graphs.append(
            Graph(
                node_table(event, nodes, phi, settings),
                edges,
                particle_table(event, nodes, kinematics, settings),
                {"index": missing[(missing >= 0).all(axis=1)]},
                sector,
            )
        )

    if not graphs:
        raise DataError("no two hits make a doublet; raise phi_slope_max or z0_max")
    return graphs, Construction(
        true_doublets=len(keys),
        on_layer_pairs=_on_layer_pairs(hits.layer[first], hits.layer[second], settings.detector),
        found_doublets=int(is_found.sum()),
        edges=sum(len(graph.edges["label"]) for graph in graphs),
        true_edges=sum(int(graph.edges["label"].sum()) for graph in graphs),
    )


def _hits(event: HitEvent, kinematics: Kinematics, settings: GraphSettings) -> Hits:
    """Chooses the hits that may become nodes, including those outside the part of the detector."""
    # The variables of doublets are ratios to r.
    position = event.hits["position"].astype(np.float64)
    r = np.hypot(position[:, 0], position[:, 1])
    if not (r > 0.0).all():
        hit_id = event.hits["hit_id"][np.argmin(r > 0.0)]
        raise DataError(f"expected hits away from the beam line, got hit {hit_id} on it")

    # Every hit with its layer and its particle.
    layer = layer_numbers(event.hits["volume_id"], event.hits["layer_id"])
    particle = particle_rows(event.hits["particle_id"], event.particles["particle_id"])
    points = Points(r, np.arctan2(position[:, 1], position[:, 0]), position[:, 2])
    hits = Hits(np.arange(len(r)), points, layer, particle)

    # The idealised graph of the literature: particles of interest only, and no overlaps.
    if settings.idealised:
        hits = hits.take(np.flatnonzero(kinematics.pt[hits.particle] >= settings.pt_min))
        hits = hits.take(one_hit_per_layer(hits.particle, hits.layer, hits.points.r, hits.points.z))
    if not hits.inside(settings.detector).any():
        of_particles = f" of particles with pt >= {settings.pt_min:g} GeV" if settings.idealised else ""
        raise DataError(f"there are no hits{of_particles} in the layers of detector={settings.detector}")
    return hits


def _true_doublets(
    event: HitEvent, hits: Hits, kinematics: Kinematics, settings: GraphSettings
) -> tuple[Indices, Indices]:
    """Returns the earlier hits and the later hits of the true doublets."""
    inside = hits.inside(settings.detector)
    nhits = np.bincount(hits.particle[inside & (hits.particle >= 0)], minlength=len(kinematics.pt))
    of_interest = (kinematics.pt >= settings.pt_min) & (nhits >= NHITS_MIN)
    chosen = np.flatnonzero(of_interest[hits.particle])
    particle = hits.particle[chosen]
    true_position = event.hits["true_position"][hits.hit[chosen]].astype(np.float64)
    distance = np.linalg.norm(true_position - event.particles["vertex"][particle], axis=1)
    first, second = (chosen[ends] for ends in true_doublets(particle, hits.layer[chosen], distance))

    # Layers outside the part of the detector separate the layers around them, so they are dropped only here.
    pair_inside = inside[first] & inside[second]
    return first[pair_inside], second[pair_inside]


def _on_layer_pairs(one: NDArray[np.int32], two: NDArray[np.int32], detector: str) -> int:
    """Counts the doublets between two layers that doublets are sought on, in either order."""
    sought = np.zeros((len(LAYERS), len(LAYERS)), bool)
    for pair in layer_pairs(detector):
        sought[pair.inner, pair.outer] = sought[pair.outer, pair.inner] = True
    return int(sought[one, two].sum())


def _sectors(hits: Hits, settings: GraphSettings) -> Iterator[tuple[float, Indices]]:
    """Yields each sector's centre in phi, rad, and its nodes, including those in its margins."""
    points, inside = hits.points, hits.inside(settings.detector)
    eta = np.clip(np.arcsinh(points.z / points.r), -SECTORS_ETA, SECTORS_ETA)
    reach = 1.0 + 2.0 * settings.sector_overlap
    half_eta, half_phi = SECTORS_ETA / settings.eta_sectors, np.pi / settings.phi_sectors
    for eta_sector in range(settings.eta_sectors):
        in_eta = np.abs(eta + SECTORS_ETA - (2 * eta_sector + 1) * half_eta) <= reach * half_eta
        for phi_sector in range(settings.phi_sectors):
            centre = (2 * phi_sector + 1) * half_phi - np.pi
            in_phi = np.abs(wrap_angles(points.phi - centre)) <= reach * half_phi
            yield centre, np.flatnonzero(inside & in_eta & in_phi)
