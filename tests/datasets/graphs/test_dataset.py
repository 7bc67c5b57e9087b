from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.graphs.dataset import GraphSettings, build, read_graph
from datasets.graphs.event import graphs_of_event
from datasets.store import Writer, open_store
from tests.datasets.helix_tracks import helix_event, line, write_hits

REDUCED = GraphSettings()
FULL = GraphSettings(detector="full", pt_min=0.9, idealised=False, phi_slope_max=1e-3, z0_max=150.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detector": "endcap"}, "detector must be one of barrel, full, got 'endcap'"),
        ({"pt_min": -1.0}, "pt_min must not be negative, got -1"),
        ({"phi_slope_max": 0.0}, "phi_slope_max must be above 0, got 0"),
        ({"z0_max": float("nan")}, "z0_max must be above 0, got nan"),
        ({"phi_sectors": 0}, "phi_sectors and eta_sectors must be at least 1"),
        ({"sector_overlap": 1.5}, "sector_overlap must lie between 0 and 1, got 1.5"),
    ],
)
def test_impossible_settings_are_refused(change: dict[str, object], message: str):
    with pytest.raises(DataError, match=message):
        replace(REDUCED, **change)


def test_the_key_names_the_settings():
    assert len(REDUCED.key()) == 12 and REDUCED.key() == replace(REDUCED, z0_max=150).key()
    assert len({REDUCED.key(), FULL.key(), replace(REDUCED, phi_sectors=2).key()}) == 3


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    events = [helix_event(np.random.default_rng(seed), 60, noise=40) for seed in range(4)]
    return write_hits(tmp_path_factory.mktemp("hits") / "hits", events[:3], events[3:]).folder


def test_a_data_set_is_the_same_for_any_number_of_workers(hits: Path, tmp_path: Path):
    settings = replace(FULL, phi_sectors=2)
    calls: list[tuple[int, int]] = []
    for workers in (1, 2):
        build(
            open_store(hits), settings, tmp_path / str(workers), train_events=2, validation_events=1,
            workers=workers, progress=lambda *call: calls.append(call),
        )  # fmt: skip
    assert calls == [(1, 3), (2, 3), (3, 3)] * 2
    one, two = (tmp_path / name / "manifest.json" for name in "12")
    assert one.read_bytes() == two.read_bytes()


def test_a_data_set_keeps_its_graphs_and_says_what_came_of_the_doublets(hits: Path, tmp_path: Path):
    folder = build(
        open_store(hits),
        replace(FULL, phi_sectors=2),
        tmp_path / "g",
        train_events=2,
        validation_events=1,
        workers=1,
    )
    store = open_store(folder)
    split = store.split("train")
    graphs = [read_graph(split, index) for index in range(len(split))]
    assert [int(graph.sector["event"][0]) for graph in graphs] == [0, 0, 1, 1]
    event = helix_event(np.random.default_rng(1), 60, noise=40)
    sectors, construction = graphs_of_event(event, replace(FULL, phi_sectors=2))
    assert np.array_equal(graphs[2].edges["index"], sectors[0].edges["index"])
    assert np.array_equal(graphs[3].nodes["features"], sectors[1].nodes["features"])
    figures = store.manifest["construction"]["train"]
    sizes = [len(graph.edges["label"]) for graph in graphs]
    assert (figures["graphs"], figures["edges_max"], figures["edges_mean"]) == (4, max(sizes), sum(sizes) / 4)
    assert figures["nodes_max"] == max(len(graph.nodes["hit"]) for graph in graphs)
    true = sum(int(graph.edges["label"].sum()) for graph in graphs)
    assert figures["purity"] == pytest.approx(true / sum(sizes))
    assert 0.8 < figures["efficiency"] <= figures["efficiency_on_layer_pairs"] <= 1.0
    assert figures["true_doublets"] > construction.true_doublets
    assert store.manifest["hits_sha256"] == open_store(hits).sha256
    assert store.manifest["hits_generator_version"] is None, "these hits were not generated"
    assert store.manifest["settings"]["phi_sectors"] == 2


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ((4, 1), r"expected at least 4 train events, got 3; lower --set train_events or generate more"),
        ((1, 2), r"expected at least 2 validation events, got 1; lower --set validation_events"),
        ((0, 1), "train_events and validation_events must be at least 1"),
    ],
)
def test_too_few_events_are_refused(hits: Path, tmp_path: Path, events: tuple[int, int], message: str):
    with pytest.raises(DataError, match=message):
        build(open_store(hits), FULL, tmp_path / "g", train_events=events[0], validation_events=events[1])
    assert list(tmp_path.iterdir()) == []


def test_a_bad_event_is_named_and_nothing_is_left(tmp_path: Path):
    good, bad = (line((32.0, 0.1, 16.0, 0, 1), (72.0, 0.12, 36.0, 1, 1)) for _ in range(2))
    bad.hits["volume_id"][1] = 11
    store = write_hits(tmp_path / "hits", [good, bad], [good])
    with pytest.raises(DataError, match=r"hits: train event 1: expected .*, got volume_id 11, layer_id 4$"):
        build(store, REDUCED, tmp_path / "g", train_events=2, validation_events=1, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["hits"]


def test_another_kind_of_data_set_is_refused(hits: Path, tmp_path: Path):
    with pytest.raises(DataError, match="split 'train' has no table 'nodes'"):
        read_graph(open_store(hits).split("train"), 0)
    with Writer(tmp_path / "other") as writer:
        writer.append("train", "elements", [1], {"inputs": np.zeros(1)})
        writer.finish({})
    with pytest.raises(DataError, match="split 'train' has no table 'hits'"):
        build(open_store(tmp_path / "other"), FULL, tmp_path / "g", train_events=1, validation_events=1)
