"""GNN tracking's presets, the memory modes and the keys that depend on each other."""

import dataclasses

import pytest

from benchmarks.errors import UsageError
from benchmarks.workloads.gnn_tracking.config import MEMORY_MODES, PRESETS, piece_count

FULL = PRESETS["full"]


def in_mode(mode):
    return dataclasses.replace(FULL, memory_mode=mode)


EXPECTED = {mode: in_mode(mode).expected_memory_bytes() for mode in MEMORY_MODES}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_together(name):
    PRESETS[name].check()


def test_presets():
    assert {"smoke", "reduced", "full"} <= set(PRESETS)
    assert (PRESETS["reduced"].detector, PRESETS["reduced"].pt_min) == ("barrel", 1.0)
    assert (FULL.detector, FULL.idealised) == ("full", False)
    assert FULL.pad_nodes >= 100_000 and FULL.pad_edges >= 1_000_000


def test_the_hidden_size_is_that_of_the_size_unless_it_is_given():
    assert FULL.width == 64
    assert dataclasses.replace(FULL, size="large").width == 128
    assert dataclasses.replace(FULL, size="large", hidden=32).width == 32


def test_modes_stand_from_the_largest_to_the_smallest():
    assert list(EXPECTED) == ["store", "checkpoint", "chunked"]
    assert list(EXPECTED.values()) == sorted(EXPECTED.values(), reverse=True)
    assert in_mode("auto").expected_memory_bytes() == EXPECTED["chunked"]


ROOMS = {
    "unknown": (None, "store"),
    "more than enough": (10**15, "store"),
    "exactly enough": (EXPECTED["store"], "store"),
    "one byte less": (EXPECTED["store"] - 1, "checkpoint"),
    "enough for checkpoint": (EXPECTED["checkpoint"], "checkpoint"),
    "not enough for it": (EXPECTED["checkpoint"] - 1, "chunked"),
    "not enough for anything": (1, "chunked"),
}


@pytest.mark.parametrize(("room", "mode"), ROOMS.values(), ids=ROOMS)
def test_auto_takes_the_first_mode_that_fits(room, mode):
    assert in_mode("auto").with_auto_resolved("cpu", room).memory_mode == mode


@pytest.mark.parametrize("mode", MEMORY_MODES)
def test_a_mode_that_was_asked_for_stays(mode):
    assert in_mode(mode).with_auto_resolved("cpu", 1).memory_mode == mode


@pytest.mark.parametrize(("device", "xla"), [("cpu", "off"), ("gpu", "on")])
def test_xla_is_settled_too(device, xla):
    assert in_mode("auto").with_auto_resolved(device, None).xla == xla


@pytest.mark.parametrize("mode", MEMORY_MODES)
@pytest.mark.parametrize(
    "change",
    [
        {"pad_edges": 2 * FULL.pad_edges},
        {"pad_nodes": 2 * FULL.pad_nodes},
        {"batch_size": 2},
        {"hidden": 128},
        {"size": "large"},
        {"precision": "float64"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_larger_runs_are_expected_to_take_more(mode, change):
    assert dataclasses.replace(in_mode(mode), **change).expected_memory_bytes() > EXPECTED[mode]


@pytest.mark.parametrize("mode", MEMORY_MODES)
def test_short_numbers_are_expected_to_take_less(mode):
    short = dataclasses.replace(in_mode(mode), precision="mixed_bfloat16")
    assert short.expected_memory_bytes() < EXPECTED[mode]


@pytest.mark.parametrize("mode", ["auto", *MEMORY_MODES])
def test_the_expectation_of_every_mode_is_shown(mode):
    shown = in_mode(mode).memory_summary()
    assert "expected peak memory" in shown and "auto" in shown
    for name, expected in EXPECTED.items():
        (line,) = (line for line in shown.splitlines() if line.split()[0] == name)
        assert f" {expected / 1e9:.1f} GB" in line


def test_sizes_say_what_memory_depends_on():
    config = dataclasses.replace(in_mode("chunked"), pad_nodes=111, pad_edges=222, precision="float64")
    expected = ("1 graph(s)", "111 nodes", "222 edges", "hidden 64", "float64", "chunked")
    assert [part for part in expected if part not in config.size_summary()] == []


@pytest.mark.parametrize("rows", ["nodes", "edges"])
def test_more_rows_than_an_index_can_count_are_refused(rows):
    config = dataclasses.replace(FULL, directed=True, batch_size=2, **{f"pad_{rows}": 2**30})
    message = rf"pad_{rows}: expected fewer than 2\^31 - 1 {rows} in a step, got .*; lower --batch-size"
    with pytest.raises(UsageError, match=message):
        config.check()
    dataclasses.replace(config, **{f"pad_{rows}": 2**30 - 1}).check()


def test_edges_that_lead_both_ways_count_twice_and_nodes_do_not():
    both_ways = dataclasses.replace(FULL, directed=False, batch_size=1)
    dataclasses.replace(both_ways, pad_nodes=2**30).check()
    with pytest.raises(UsageError, match=r"pad_edges: expected fewer than 2\^31 - 1 edges"):
        dataclasses.replace(both_ways, pad_edges=2**30).check()
    one_way = dataclasses.replace(both_ways, directed=True)
    assert one_way.expected_memory_bytes() < both_ways.expected_memory_bytes()


def test_the_floor():
    config = dataclasses.replace(FULL, min_auc=0.5, max_loss=3)
    assert config.quality_failure({"auc": 0.5, "loss": 3}) == ""
    assert config.quality_failure({"auc": 0.5, "loss": 4}) == "loss: expected at most 3, got 4"
    assert config.quality_failure({"auc": 0.49}) == "auc: expected at least 0.5, got 0.4900"
    assert config.quality_failure({"auc": float("nan")}) == "auc: expected at least 0.5, got nan"


@pytest.mark.parametrize(
    ("edges", "piece_edges", "pieces"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 4, 2), (9, 4, 3), (9, 0, 1)]
)
def test_pieces(edges, piece_edges, pieces):
    assert piece_count(edges, piece_edges) == pieces


def test_the_operations_of_a_graph_are_those_of_the_published_model():
    """Forward, an edge has 49 products with a matrix of (h, h) and a node 34. Backward it is twice that."""
    config = dataclasses.replace(PRESETS["full"], pad_nodes=10, pad_edges=100)
    assert config.operations_per_event() == 3 * 2 * 64**2 * (49 * 100 + 34 * 10)
    both_ways = dataclasses.replace(config, directed=False)
    assert both_ways.operations_per_event() == 3 * 2 * 64**2 * (49 * 200 + 34 * 10)
