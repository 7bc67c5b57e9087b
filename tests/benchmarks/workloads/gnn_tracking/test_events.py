"""Batches out of graphs made by hand, and graphs out of a data set of hits."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.workloads.gnn_tracking import events as module
from benchmarks.workloads.gnn_tracking.batches import pt_weight, sort_rows
from benchmarks.workloads.gnn_tracking.config import PRESETS, piece_count
from benchmarks.workloads.gnn_tracking.events import graph_settings, open_events
from datasets.errors import DataError
from datasets.graphs.dataset import TABLES
from datasets.store import Writer, open_store
from tests.benchmarks.workloads.gnn_tracking.toy import graph
from tests.datasets.helix_tracks import helix_event, write_hits

# In the first, hit 1 is the inner one and 0 the outer: by receiver, edges are not in the order of senders.
FIRST = graph([3, 1, 2], [0, 0, 0], [(1, 0), (2, 0), (1, 2)], [0, 1, 1], [0, 1.75, 1.75], pt_of=[1.75])
SECOND = graph([1, 2], [-1, 0], [(0, 1)], [0], [0], pt_of=[4], sector=(3.0, 0.5))
BOTH = {"train": [FIRST, SECOND], "validation": [SECOND]}


def configured(folder="", **changes):
    values = {"train_events": 2, "validation_events": 1, "pad_nodes": 4, "pad_edges": 16, "directed": True}
    return dataclasses.replace(PRESETS["reduced"], data=str(folder), threads=1, **{**values, **changes})


def store_graphs(folder: Path, splits, settings=None, **versions) -> Path:
    with Writer(folder) as writer:
        for split, graphs in splits.items():
            for table in TABLES:
                parts = [one[table] for one in graphs]
                lengths = [len(next(iter(part.values()))) for part in parts]
                columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
                writer.append(split, table, lengths, columns)
        made = settings or dataclasses.asdict(graph_settings(configured()))
        writer.finish({"generator": "hand", "settings": made, **versions})
    return folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_graphs(tmp_path_factory.mktemp("stored") / "graphs", BOTH)


def only_batch(config):
    (batch,) = open_events(config, print).batches("train", 2)
    return batch


def test_two_graphs_become_one_of_two_parts(stored):
    batch = only_batch(configured(stored))
    inputs, targets = batch.inputs, batch.targets
    assert {name: (array.shape, array.dtype.name) for name, array in (inputs | targets).items()} == {
        "nodes": ((2 * 4 + 1, 3), "float32"),
        "senders": ((2 * 16 + 1,), "int32"),
        "receivers": ((33,), "int32"),
        "sender_order": ((33,), "int32"),
        "label": ((33,), "float32"),
        "weight": ((33,), "float32"),
    }
    assert inputs["nodes"][:, 0] == pytest.approx([0.003, 0.001, 0.002, 0.001, 0.002, 0, 0, 0, 0])
    assert inputs["senders"].tolist() == [1, 2, 1, 3] + [8] * 29
    assert inputs["receivers"].tolist() == [0, 0, 2, 4] + [8] * 29
    assert inputs["sender_order"].tolist() == [0, 2, 1, *range(3, 33)]
    assert targets["label"].tolist() == [0, 1, 1, 0] + [0] * 29
    assert targets["weight"].tolist() == [1] * 4 + [0] * 29
    assert (batch.events, batch.elements, batch.padded_elements) == (2, 4, 33)


@pytest.mark.parametrize("directed", [True, False])
def test_what_nobody_reads_is_not_built(stored, directed):
    """Only validation reads the truth, and inference does without targets. The rest is the same for all."""
    events = open_events(configured(stored, directed=directed), print)
    (complete,) = events.batches("train", 2, purpose="validation")
    (training,) = events.batches("train", 2, purpose="training")
    (inference,) = events.batches("train", 2, purpose="inference")
    assert (training.truth, inference.truth, inference.targets) == (None, None, None)
    for name, array in complete.targets.items():
        assert (training.targets[name] == array).all()
    assert training.denominators == complete.denominators
    for batch in (training, inference):
        assert (batch.events, batch.elements, batch.padded_elements) == (2, 4, complete.padded_elements)
        for name, array in complete.inputs.items():
            assert (batch.inputs[name] == array).all()


def test_both_ways_every_edge_is_there_twice(stored):
    """By receiver, then outwards before inwards: 1 -> 0, 2 -> 0, 0 -> 1, 2 -> 1, 1 -> 2, 0 -> 2, ..."""
    batch = only_batch(configured(stored, directed=False))
    inputs, targets, truth = batch.inputs, batch.targets, batch.truth
    real = slice(0, 8)
    assert inputs["receivers"][real].tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
    assert inputs["senders"][real].tolist() == [1, 2, 0, 2, 1, 0, 4, 3]
    assert targets["label"][real].tolist() == [0, 1, 0, 1, 1, 1, 0, 0]
    assert targets["weight"].tolist() == [1] * 8 + [0] * (2 * 2 * 16 + 1 - 8)
    assert inputs["senders"][8:].tolist() == inputs["receivers"][8:].tolist() == [8] * 57
    assert truth.rows.tolist() == [[0, 2], [1, 5], [4, 3], [7, 6]]
    assert inputs["senders"][truth.rows].tolist() == [[1, 0], [2, 0], [1, 2], [3, 4]]
    assert (batch.elements, batch.padded_elements) == (4, 32)


@pytest.mark.parametrize("directed", [True, False])
def test_edges_stand_by_receiver_and_once_by_sender(stored, directed):
    inputs = only_batch(configured(stored, directed=directed)).inputs
    assert (np.diff(inputs["receivers"]) >= 0).all()
    order = inputs["sender_order"]
    assert sorted(order) == list(range(len(order)))
    assert (np.diff(inputs["senders"][order]) >= 0).all()
    for name in ("senders", "receivers"):
        assert inputs[name][-1] == len(inputs["nodes"]) - 1


def test_the_truth_has_no_padding_and_particles_of_their_own(stored):
    truth = only_batch(configured(stored)).truth
    assert truth.graph.tolist() == [0, 0, 0, 1, 1]
    assert truth.particle.tolist() == [0, 0, 0, -1, 1]
    assert truth.pt.tolist() == [1.75, 4]
    assert (truth.nhits.tolist(), truth.selected.tolist()) == ([3, 1], [True] * 2)
    assert truth.eta.tolist() == [0.5] * 2
    assert truth.weight.tolist() == [0.25] * 5
    assert (truth.senders.tolist(), truth.receivers.tolist()) == ([1, 2, 1, 3], [0, 0, 2, 4])
    assert truth.label.tolist() == [False, True, True, False]
    assert truth.rows.tolist() == [[0], [1], [2], [3]]


def test_positions_are_those_of_the_hits(stored):
    """r, phi and z in mm and rad; the second graph's sector is centred on phi 3 and 0.5 wide each way."""
    position = only_batch(configured(stored)).truth.position
    assert position[:, 0] == pytest.approx([3, 1, 2, 1, 2])
    assert position[:, 1] == pytest.approx([0.3 * np.pi, 0.1 * np.pi, 0.2 * np.pi, 3.05, 3.1])
    assert position[:, 2] == pytest.approx([6, 2, 4, 2, 4])


def test_batches_come_in_stored_order_and_the_last_may_be_smaller(tmp_path):
    folder = store_graphs(tmp_path / "graphs", {"train": [FIRST, SECOND, FIRST], "validation": [SECOND]})
    events = open_events(configured(folder, train_events=3), print)
    first, last = events.batches("train", 2)
    assert (first.events, first.elements, first.padded_elements) == (2, 4, 33)
    assert (last.events, last.elements, last.padded_elements) == (1, 3, 17)
    assert len(last.inputs["nodes"]) == 5
    (validation,) = events.batches("validation", 2)
    assert validation.elements == 1


def test_ranks_take_turns_and_the_loss_is_divided_by_the_edges_of_each_class(stored):
    """A graph of three edges and one of one; two edges are true and two are false."""
    events = open_events(configured(stored), print)
    (whole,) = events.batches("train", 2)
    assert whole.denominators == (2.0, 2.0)
    ((first,), (second,)) = (list(events.batches("train", 1, rank, 2)) for rank in (0, 1))
    assert [first.elements, second.elements] == [3, 1]
    assert np.add(first.denominators, second.denominators).tolist() == [2.0, 2.0]


@pytest.mark.parametrize(("directed", "expected"), [(True, [5, 3]), (False, [9, 5])])
def test_buckets_are_eighths_of_the_longest(stored, directed, expected):
    """Of 16 edges: 3 edges make 4, 1 makes 2; and one edge of padding for each batch."""
    events = open_events(configured(stored, padding="buckets", directed=directed), print)
    assert [len(batch.inputs["senders"]) for batch in events.batches("train", 1)] == expected


def test_the_longest_bucket_is_not_above_the_padding(tmp_path):
    """An eighth of 9 edges is 2: 9 edges would make 10."""
    full = graph([3, 1, 2], [0, 0, 0], [(1, 0)] * 9, [1] * 9, [1] * 9, pt_of=[1])
    folder = store_graphs(tmp_path / "graphs", {"train": [full], "validation": [SECOND]})
    config = configured(folder, padding="buckets", train_events=1, pad_edges=9)
    assert len(only_batch(config).inputs["senders"]) == 10


@pytest.mark.parametrize("piece_edges", range(1, 18))
def test_edges_make_pieces_of_equal_length(stored, piece_edges):
    edges = len(only_batch(configured(stored, piece_edges=piece_edges)).inputs["senders"])
    pieces = piece_count(edges, piece_edges)
    assert edges % pieces == 0 and edges // pieces <= piece_edges
    assert 33 <= edges < 33 + pieces


def test_the_weight_of_a_pt():
    expected = [0.2, 0.2, 0.6, 1.0, 1.0]
    assert pt_weight(np.array([0.1, 0.5, 1.75, 3.0, 50.0])) == pytest.approx(expected)


@pytest.mark.parametrize("directed", [True, False])
def test_true_edges_may_be_weighted_with_pt(stored, directed):
    batch = only_batch(configured(stored, pt_weighted=True, directed=directed))
    weights = batch.targets["weight"][batch.truth.rows]
    for way in weights.T:
        assert way == pytest.approx([1, 0.6, 0.6, 1])
    assert batch.targets["weight"].sum() == pytest.approx(weights.sum())


def test_what_the_graphs_are_is_told(stored):
    events = open_events(configured(stored), print)
    about = events.description()
    assert (about["generator"], about["settings"]["detector"]) == ("hand", "barrel")
    assert "files" not in about
    assert events.sha256 == open_store(stored).sha256


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train_events": 3},
            "expected at least 3 train graphs, got 2; lower --set train_events or make",
        ),
        ({"validation_events": 2}, "expected at least 2 validation graphs, got 1; lower --set validation_ev"),
        (
            {"pad_nodes": 2},
            "expected at most 2 nodes in a graph, got 3 in train graph 0; raise --set pad_no",
        ),
        (
            {"pad_edges": 2},
            "expected at most 2 edges in a graph, got 3 in train graph 0; raise --set pad_ed",
        ),
        ({"z0_max": 99.0}, r"expected graphs made with .*z0_max\W+99.0.*, got .*z0_max\W+150.0"),
        ({"phi_sectors": 2}, r"expected graphs made with .*phi_sectors\W+2.*, got .*phi_sectors\W+1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_graphs_that_do_not_fit_are_refused(stored, change, message):
    with pytest.raises(DataError, match=f"graphs: {message}"):
        open_events(configured(stored, **change), print)


def test_graphs_that_are_not_asked_for_may_be_too_large(tmp_path):
    folder = store_graphs(tmp_path / "graphs", {"train": [SECOND, FIRST], "validation": [SECOND]})
    events = open_events(configured(folder, train_events=1, pad_nodes=2, pad_edges=1), print)
    assert [batch.elements for batch in events.batches("train", 1)] == [1]


def test_a_data_set_without_validation_is_refused(tmp_path):
    folder = store_graphs(tmp_path / "graphs", {"train": [FIRST, SECOND]})
    with pytest.raises(DataError, match="graphs has no split 'validation'"):
        open_events(configured(folder), print)


def test_graphs_that_do_not_say_how_they_were_made_are_refused(tmp_path):
    folder = store_graphs(tmp_path / "graphs", BOTH, settings={"cuts": "none"})
    with pytest.raises(DataError, match=r"expected graphs made with .*, got \{'cuts': 'none'\}"):
        open_events(configured(folder), print)


@pytest.mark.parametrize("key", ["graph_version", "hits_generator_version"])
def test_graphs_of_an_older_version_are_refused(tmp_path, key):
    folder = store_graphs(tmp_path / "old", BOTH, **{key: 1})
    with pytest.raises(DataError, match=rf"old: expected {key} 2, got 1, .* hepbench data generate$"):
        open_events(configured(folder), print)
    current = store_graphs(tmp_path / "current", BOTH, **{key: 2})
    assert open_events(configured(current), print).description()[key] == 2


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEPBENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def hits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = [helix_event(np.random.default_rng(seed), 30, noise=10) for seed in range(3)]
    return write_hits(tmp_path_factory.mktemp("hits") / "hits", made[:2], made[2:]).folder


ROOMY = {"pad_nodes": 500, "pad_edges": 2000}


def test_hits_become_graphs_in_the_cache_once(hits, cache):
    config, notes = configured(hits, **ROOMY), []
    events = open_events(config, notes.append)
    (folder,) = cache.iterdir()
    assert folder.name.startswith(f"gnn_tracking-graphs-{graph_settings(config).key()}-")
    assert notes[-1] == f"graphs are in {folder}"
    assert any(note.startswith("train: 2 graphs of ") for note in notes)
    assert any(note.startswith("validation: 1 graphs of ") for note in notes)
    assert events.description()["hits_sha256"] == open_store(hits).sha256
    batch = only_batch(config)
    assert 0 < batch.targets["label"].sum() <= batch.elements

    notes.clear()
    assert open_events(config, notes.append).sha256 == events.sha256
    assert notes == []
    assert list(cache.iterdir()) == [folder]


@pytest.mark.usefixtures("cache")
def test_hits_of_an_older_generator_are_refused_wherever_they_are_named(tmp_path):
    made = [helix_event(np.random.default_rng(seed), 30) for seed in range(3)]
    folder = write_hits(tmp_path / "old", made[:2], made[2:], generator_version=1).folder
    message = r"old: expected generator_version 2, got 1, .* hepbench data generate$"
    with pytest.raises(DataError, match=message):
        open_events(configured(folder, **ROOMY), print)
    with pytest.raises(DataError, match=message):
        module.make(configured(**ROOMY), tmp_path / "graphs", print, intermediate=folder)
    assert not (tmp_path / "graphs").exists()


def test_graphs_say_which_generator_made_their_hits(tmp_path, cache):
    made = [helix_event(np.random.default_rng(seed), 30) for seed in range(3)]
    folder = write_hits(tmp_path / "hits", made[:2], made[2:], generator_version=2).folder
    config = configured(folder, **ROOMY)
    assert open_events(config, print).description()["hits_generator_version"] == 2
    (graphs,) = cache.iterdir()
    assert len(open_events(dataclasses.replace(config, data=str(graphs)), print).sha256) == 64


def test_other_graphs_of_the_same_hits_have_a_place_of_their_own(hits, cache):
    for change in ({}, {"z0_max": 99.0}, {"train_events": 1}):
        open_events(configured(hits, **ROOMY, **change), print)
    assert len(list(cache.iterdir())) == 3


@pytest.mark.usefixtures("cache")
def test_sectors_are_graphs(hits):
    """Of two events with two sectors each, three graphs are taken."""
    config = configured(hits, train_events=3, phi_sectors=2, **ROOMY)
    events = open_events(config, print)
    assert sum(batch.events for batch in events.batches("train", 2)) == 3
    assert events.description()["construction"]["train"]["graphs"] == 4
    for batch in events.batches("train", 1):
        assert np.abs(batch.inputs["nodes"][:, 1]).max() <= 1


def test_too_few_events_of_hits_leave_nothing(hits, cache):
    with pytest.raises(DataError, match="hits: expected at least 3 train events, got 2; lower"):
        open_events(configured(hits, train_events=3, **ROOMY), print)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_another_kind_of_data_set_is_refused(tmp_path, cache):
    with Writer(tmp_path / "other") as writer:
        for split in ("train", "validation"):
            writer.append(split, "elements", [1], {"inputs": np.zeros(1)})
        writer.finish({})
    with pytest.raises(DataError, match="split 'train' has no table 'hits'"):
        open_events(configured(tmp_path / "other"), print)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_hits_that_nobody_gave_are_generated_once(cache, monkeypatch):
    asked, notes = [], []

    def generate(settings, folder, workers, progress):
        asked.append((settings, workers))
        progress(1, 1)
        made = [helix_event(np.random.default_rng(seed), 30) for seed in range(3)]
        return write_hits(folder, made[:2], made[2:]).folder

    monkeypatch.setattr(module.generator, "generate", generate)
    config = configured(pileup=7.0, noise=0.1, data_seed=5, **ROOMY)
    for _ in range(2):
        open_events(config, notes.append)
    ((settings, workers),) = asked
    assert (settings.train_events, settings.validation_events, workers) == (2, 1, 1)
    assert (settings.pileup_mean, settings.noise, settings.seed) == (7.0, 0.1, 5)
    assert settings.pool_events == config.pool_events
    assert f"events are in {cache}/gnn_tracking-{settings.key()}" in notes
    assert notes[:2] == ["generating 2 training and 1 validation events", "generated 100 %"]
    assert len(list(cache.iterdir())) == 2


def test_events_on_helices_are_made_on_request_and_say_so(cache):
    config = configured(pileup=20.0, generator="helix", pad_nodes=4000, pad_edges=10_000)
    notes: list[str] = []
    events = open_events(config, notes.append)
    assert events.description()["hits_generator"] == "hepbench helix"
    assert f"events are in {module.cached_folder(config)}" in notes
    assert module.cached_folder(config) != module.cached_folder(dataclasses.replace(config, generator="acts"))

    # Hits and graphs can be carried to another machine and named there.
    for folder in cache.iterdir():
        assert open_events(dataclasses.replace(config, data=str(folder)), print).sha256 == events.sha256


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("kind", ["hits", "graphs"])
def test_a_run_cannot_hide_that_its_events_are_on_helices(tmp_path, kind):
    """The reverse is refused as well: a run that says so has them."""
    names = {"helix": "hepbench helix", "acts": "hepbench trackml", "imported": None}
    folders = {}
    for name, generator in names.items():
        folders[name] = tmp_path / name
        if kind == "graphs":
            store_graphs(folders[name], BOTH, hits_generator=generator)
        else:
            made = [helix_event(np.random.default_rng(seed), 30) for seed in range(3)]
            write_hits(folders[name], made[:2], made[2:], **({"generator": generator} if generator else {}))
    for name, generator, message in (
        ("helix", "acts", "expected acts, got events of hepbench helix; add --set generator=helix, and"),
        ("acts", "helix", "expected helix, got events of hepbench trackml; leave out --set generator=helix"),
        ("imported", "helix", "expected helix, got events of files; leave out --set generator=helix"),
    ):
        with pytest.raises(DataError, match=rf"{name}: generator: {message}"):
            open_events(configured(folders[name], generator=generator, **ROOMY), print)
    for name, generator in (("helix", "helix"), ("acts", "acts"), ("imported", "acts")):
        sizes = {} if kind == "graphs" else ROOMY
        assert open_events(configured(folders[name], generator=generator, **sizes), print)


def test_events_on_helices_of_an_older_version_are_refused(tmp_path):
    versions = {"hits_generator": "hepbench helix", "hits_generator_version": 0}
    folder = store_graphs(tmp_path / "old", BOTH, **versions)
    with pytest.raises(DataError, match="expected hits_generator_version 1, got 0"):
        open_events(configured(folder, generator="helix"), print)


def test_rows_are_sorted_as_a_stable_sort_does():
    ids = np.random.default_rng(1).integers(0, 50, 1000).astype(np.int32)
    order = sort_rows(ids, 60)
    assert order.dtype == np.int32
    assert order.tolist() == np.argsort(ids, kind="stable").tolist()
    assert sort_rows(ids[:0], 1).tolist() == []
