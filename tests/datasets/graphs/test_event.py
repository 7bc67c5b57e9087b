import time
from dataclasses import replace

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.graphs import doublets
from datasets.graphs.event import graphs_of_event
from datasets.graphs.settings import GraphSettings
from datasets.graphs.tables import Graph
from datasets.trackml.columns import HitEvent
from datasets.trackml.layers import LAYERS
from tests.datasets.helix_tracks import helix_event, line

REDUCED = GraphSettings()
FULL = GraphSettings(detector="full", pt_min=0.9, idealised=False, phi_slope_max=1e-3, z0_max=150.0)


# A track with dz / dr = 0.5 from the centre; it turns by 0.02 and 0.022 rad over 40 and 44 mm, 5e-4 per mm.
THREE = ((32.0, 0.1, 16.0, 0, 1), (72.0, 0.12, 36.0, 1, 1), (116.0, 0.142, 58.0, 2, 1))


def graph_of(event: HitEvent, settings: GraphSettings = REDUCED) -> Graph:
    (graph,), _ = graphs_of_event(event, settings)
    return graph


def test_three_hits_by_hand():
    graphs, construction = graphs_of_event(line(*THREE), REDUCED, number=5)
    (graph,) = graphs
    assert graph.nodes["features"] == pytest.approx(
        np.array([[0.032, 0.1 / np.pi, 0.016], [0.072, 0.12 / np.pi, 0.036], [0.116, 0.142 / np.pi, 0.058]])
    )
    assert graph.edges["index"].tolist() == [[0, 1], [1, 2]]
    # eta is the same at the three hits, so that dR is dphi
    assert graph.edges["features"] == pytest.approx(
        np.array([[0.040, 0.02 / np.pi, 0.020, 0.02], [0.044, 0.022 / np.pi, 0.022, 0.022]]), abs=1e-7
    )
    assert graph.edges["label"].tolist() == [1, 1] and graph.edges["pt"].tolist() == [2.0, 2.0]
    assert [graph.nodes[name].tolist() for name in ("hit", "layer", "particle")] == [
        [0, 1, 2],
        [0, 1, 2],
        [0] * 3,
    ]
    assert graph.nodes["weight"] == pytest.approx([1 / 3] * 3)
    assert {name: column.tolist() for name, column in graph.particles.items()} == {
        "particle_id": [1], "pt": [2.0], "eta": [pytest.approx(0.5)], "nhits": [3], "selected": [1]
    }  # fmt: skip
    assert graph.lost_doublets["index"].shape == (0, 2)
    assert (graph.sector["event"], graph.sector["phi"]) == (5, 0.0)
    assert (construction.true_doublets, construction.found_doublets) == (2, 2)
    assert (construction.edges, construction.true_edges) == (2, 2)


def test_columns_have_the_types_of_the_layout():
    graph = graph_of(line(*THREE))
    types = {
        (table, name): (column.dtype.name, column.shape[1:])
        for table in ("nodes", "edges", "particles", "lost_doublets", "sector")
        for name, column in getattr(graph, table).items()
    }
    assert types == {
        ("nodes", "features"): ("float32", (3,)), ("nodes", "hit"): ("int32", ()),
        ("nodes", "layer"): ("int32", ()), ("nodes", "particle"): ("int32", ()),
        ("nodes", "weight"): ("float32", ()),
        ("edges", "index"): ("int32", (2,)), ("edges", "features"): ("float32", (4,)),
        ("edges", "label"): ("uint8", ()), ("edges", "pt"): ("float32", ()),
        ("particles", "particle_id"): ("int64", ()), ("particles", "pt"): ("float32", ()),
        ("particles", "eta"): ("float32", ()), ("particles", "nhits"): ("int32", ()),
        ("particles", "selected"): ("uint8", ()),
        ("lost_doublets", "index"): ("int32", (2,)),
        ("sector", "event"): ("int32", ()), ("sector", "phi"): ("float32", ()),
        ("sector", "half_width"): ("float32", ()),
    }  # fmt: skip


# Beside the three hits: a second hit on their middle layer, noise, and a soft particle with two hits.
OVERLAP = (72.9, 0.1205, 36.5, 1, 1)
CROWD = (*THREE, OVERLAP, (72.0, 0.119, 36.0, 1, 0), (32.0, 1.0, 0.0, 0, 2), (72.0, 1.02, 0.0, 1, 2))


def test_an_idealised_graph_has_one_hit_per_layer_of_hard_particles():
    graph = graph_of(line(*CROWD, pt=(2.0, 0.4)))
    assert graph.nodes["hit"].tolist() == [0, 1, 2]  # the overlap at smaller r stays
    assert graph.edges["label"].tolist() == [1, 1]


def test_a_whole_graph_has_noise_soft_particles_and_overlaps():
    graphs, construction = graphs_of_event(line(*CROWD, pt=(2.0, 0.4)), replace(FULL, detector="barrel"))
    (graph,) = graphs
    assert graph.nodes["particle"].tolist() == [0, 0, 0, 0, -1, 1, 1]
    edges = dict(zip(map(tuple, graph.edges["index"].tolist()), graph.edges["label"].tolist(), strict=True))
    assert edges == {(0, 1): 1, (0, 3): 1, (0, 4): 0, (1, 2): 1, (3, 2): 1, (4, 2): 0, (5, 6): 1}
    assert graph.edges["pt"][graph.edges["label"] == 1] == pytest.approx([2, 2, 2, 2, 0.4])
    assert graph.edges["pt"][graph.edges["label"] == 0].tolist() == [0.0, 0.0]
    assert graph.particles["nhits"].tolist() == [4, 2] and graph.particles["selected"].tolist() == [1, 0]
    # Overlaps make no doublet of their own.
    assert (construction.true_doublets, construction.found_doublets) == (2, 2)
    assert (construction.edges, construction.true_edges) == (7, 5)


def test_doublets_are_lost_to_the_cuts_and_to_the_layer_pairs():
    bent = ((32.0, 0.1, 16.0, 0, 1), (72.0, 0.2, 36.0, 1, 1), (116.0, 0.222, 58.0, 2, 1))
    (graph,), construction = graphs_of_event(line(*bent), REDUCED)
    assert graph.lost_doublets["index"].tolist() == [[0, 1]]
    assert (construction.true_doublets, construction.on_layer_pairs, construction.found_doublets) == (2, 2, 1)
    gap = (*THREE, (260.0, 0.2, 130.0, 4, 1), (360.0, 0.24, 180.0, 5, 1), (660.0, 0.36, 330.0, 7, 1))
    (graph,), construction = graphs_of_event(line(*gap), REDUCED)
    # 2 -> 4 is a pair of layers, but the line goes through layer 3; 5 -> 7 is none.
    assert graph.lost_doublets["index"].tolist() == [[2, 3], [4, 5]]
    assert (construction.true_doublets, construction.on_layer_pairs, construction.found_doublets) == (5, 4, 3)


def test_a_barrel_graph_does_not_ask_for_doublets_over_a_disk():
    # Out of the barrel after layer 1, through the first pixel disk, and into the strips.
    disk = 17
    assert LAYERS[disk].z == (600.0, 600.0)
    crossed = (
        (32.0, 144.0, 0),
        (72.0, 324.0, 1),
        (133.3, 600.0, disk),
        (260.0, 1060.0, 4),
        (360.0, 1080.0, 5),
    )
    event = line(*((r, 1e-4 * r, z, layer, 1) for r, z, layer in crossed))
    (graph,), construction = graphs_of_event(event, REDUCED)
    assert graph.nodes["layer"].tolist() == [0, 1, 4, 5]
    assert construction.true_doublets == construction.on_layer_pairs == 2


def test_edges_are_sorted_by_receiver_then_sender():
    index = graph_of(helix_event(np.random.default_rng(0), 200, noise=300), FULL).edges["index"]
    assert len(index) > 2000
    assert np.array_equal(np.lexsort((index[:, 0], index[:, 1])), np.arange(len(index)))
    assert len(np.unique(index, axis=0)) == len(index)


@pytest.mark.parametrize("settings", [REDUCED, FULL])
def test_the_order_of_hits_and_particles_does_not_matter(settings: GraphSettings):
    event = helix_event(np.random.default_rng(1), 100, pt=(0.5, 5.0), noise=100)
    rng = np.random.default_rng(2)
    hits, particles = rng.permutation(len(event.hits["hit_id"])), rng.permutation(100)
    shuffled = HitEvent(
        {name: column[hits] for name, column in event.hits.items()},
        {name: column[particles] for name, column in event.particles.items()},
    )
    assert edges_by_hit_id(event, settings) == edges_by_hit_id(shuffled, settings)
    assert graphs_of_event(event, settings)[1] == graphs_of_event(shuffled, settings)[1]


def edges_by_hit_id(event: HitEvent, settings: GraphSettings) -> set[tuple[float, ...]]:
    graph = graph_of(event, settings)
    ids = event.hits["hit_id"][graph.nodes["hit"]][graph.edges["index"]]
    columns = [ids, graph.edges["features"], graph.edges["label"][:, None], graph.edges["pt"][:, None]]
    return set(map(tuple, np.concatenate(columns, axis=1).tolist()))


def test_the_reduced_cuts_keep_true_doublets_in_the_barrel():
    event = helix_event(np.random.default_rng(3), 1000, pt=(1.0, 10.0), eta_max=0.7, z_sigma=40.0)
    _, construction = graphs_of_event(event, REDUCED)
    assert construction.true_doublets == 9000  # all ten layers
    assert construction.found_doublets >= 0.98 * construction.true_doublets


def test_the_full_cuts_keep_true_doublets_everywhere():
    event = helix_event(np.random.default_rng(4), 1000, pt=(0.9, 10.0), z_sigma=40.0, noise=1000)
    _, construction = graphs_of_event(event, FULL)
    assert construction.true_doublets > 7000
    assert construction.found_doublets >= 0.98 * construction.true_doublets


def test_sectors_hold_the_edges_of_the_whole_between_their_hits():
    event = helix_event(np.random.default_rng(5), 300, noise=300)
    one_graph, of_whole = graphs_of_event(event, FULL)
    settings = replace(FULL, phi_sectors=4, eta_sectors=2, sector_overlap=0.1)
    sectors, of_sectors = graphs_of_event(event, settings)
    assert len(sectors) == 8
    ends = one_graph[0].nodes["hit"][one_graph[0].edges["index"]]
    for sector in sectors:
        hit = sector.nodes["hit"]
        inside = np.isin(ends, hit).all(axis=1)
        assert np.array_equal(hit[sector.edges["index"]], ends[inside])
        # Centred and scaled by the sector: from -1 to 1, and a fifth further with the margins.
        phi = sector.nodes["features"][:, 1]
        assert 1.1 < np.abs(phi).max() <= 1.2 + 1e-6
        assert sector.edges["features"][:, 1] == pytest.approx(
            4 * one_graph[0].edges["features"][inside, 1], abs=1e-6
        )
        x, y, z = event.hits["position"][hit].T
        points = sector.points()
        assert points.r * np.exp(1j * points.phi) == pytest.approx(x + 1j * y, abs=1e-3)
        assert points.z == pytest.approx(z, abs=1e-3)
    _, without_overlap = graphs_of_event(event, replace(settings, sector_overlap=0.0))
    assert without_overlap.found_doublets < of_sectors.found_doublets <= of_whole.found_doublets
    assert of_sectors.true_doublets == of_whole.true_doublets


def test_sectors_without_edges_are_left_out():
    graphs, _ = graphs_of_event(line(*THREE), replace(REDUCED, phi_sectors=8, eta_sectors=2))
    assert len(graphs) == 1 and graphs[0].sector["phi"] == pytest.approx(np.pi / 8)


@pytest.mark.parametrize(
    ("event", "settings", "message"),
    [
        (line(), FULL, "there are no hits in the layers of detector=full"),
        (line(*THREE, pt=(0.5,)), REDUCED, r"there are no hits of particles with pt >= 1 GeV in the layers"),
        (line((100.0, 0.0, 600.0, 17, 1)), REDUCED, r"no hits of .* in the layers of detector=barrel"),
        (line(THREE[0], THREE[2]), REDUCED, "no two hits make a doublet; raise phi_slope_max or z0_max"),
        (line((0.0, 0.0, 5.0, 0, 1)), REDUCED, "away from the beam line, got hit 1 on it"),
        (line((32.0, 0.0, 5.0, 0, 9)), REDUCED, "the particle of every hit in the table .* none with id 9"),
    ],
)  # fmt: skip
def test_an_event_that_makes_no_graph_is_refused(event: HitEvent, settings: GraphSettings, message: str):
    with pytest.raises(DataError, match=message):
        graphs_of_event(event, settings)


def test_a_graph_of_too_many_edges_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doublets, "EDGES_MAX", 2)
    with pytest.raises(DataError, match="expected fewer than 2 edges in a graph, got up to 2"):
        graphs_of_event(line(*THREE), REDUCED)


@pytest.mark.slow
def test_a_full_event_takes_seconds():
    event = helix_event(np.random.default_rng(6), 9000, pt=(0.15, 3.0), z_sigma=5.5, noise=17_000)
    start = time.process_time()
    graph = graph_of(event, FULL)
    assert time.process_time() - start < 5.0
    assert len(graph.nodes["hit"]) > 90_000 and len(graph.edges["label"]) > 600_000
