"""GNN tracking from the command line, in processes of its own: the real chain on a few short events."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.result import read_result
from datasets.store import open_store
from hepscore_adapter.validate import validate_summary
from tests.command import ROOT, hepbench, names, read, refused
from tests.conftest import Finished, tiny_tracks
from tests.results import decided_by_seed

MODES = ("store", "checkpoint", "chunked")


def test_it_leaves_result_summary_and_log(tracked: Finished) -> None:
    assert names(tracked.folder) == ["gnn_tracking_summary.json", "result.json", "run.log"]
    validate_summary(tracked.summary, read_result(tracked.folder / "result.json"))
    assert set(tracked.summary["report"]["wl-scores"]) == {"train", "infer"}
    figures = {"accuracy", "auc", "efficiency", "purity", "track_efficiency", "fake_rate", "duplicate_rate"}
    assert figures | {"trackml_score", "loss"} == set(tracked.result["quality"])


def test_it_counts_graphs_and_their_edges(tracked: Finished, tracks_data: Path) -> None:
    """Four training events; the graphs' manifest says how many edges they have."""
    construction = tracked.result["data"]["construction"]["train"]
    assert tracked.result["data"]["hits_sha256"] == open_store(tracks_data).sha256
    for epoch in tracked.result["epochs"]:
        assert (epoch["events"], epoch["steps"]) == (4, 2)
        assert epoch["elements"] == pytest.approx(4 * construction["edges_mean"])
        assert epoch["padded_elements"] >= 4 * 2000


def test_making_graphs_says_how_good_they_are_and_keeps_no_hits(tmp_path: Path, tracks_data: Path) -> None:
    answer = hepbench("data", "generate", *tiny_tracks(), "--output", tmp_path / "graphs")
    assert answer.returncode == 0, answer.stderr
    (line,) = (line for line in answer.stderr.splitlines() if line.startswith("train: 4 graphs"))
    assert names(tmp_path) == ["graphs"]
    graphs = open_store(tmp_path / "graphs")
    assert graphs.manifest["hits_sha256"] == open_store(tracks_data).sha256
    assert "construction efficiency 0.9" in line
    assert "purity" in line


def test_tracks_are_found_by_pt_and_eta(tracked: Finished) -> None:
    breakdown = tracked.result["breakdown"]
    assert set(breakdown) == {"pt", "eta", "plots"}
    assert sum(breakdown["pt"]["particles"]) == sum(breakdown["eta"]["particles"]) > 0


def test_auto_takes_the_fastest_that_fits_and_says_so(tracked: Finished) -> None:
    result = tracked.result
    assert result["config"]["memory_mode"] == "store"
    assert result["peak_memory_bytes"]["expected"] > 1e9


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_every_memory_mode_gives_the_same_and_repeats_to_the_bit(
    mode: str, tracked: Finished, tmp_path: Path
) -> None:
    """Two processes: the same bits; the modes among each other: the same up to rounding."""
    runs = []
    for name in ("one", "other"):
        answer = hepbench("run", *tiny_tracks(memory_mode=mode), "--output", tmp_path / name)
        assert answer.returncode == 0, answer.stderr
        runs.append(read(tmp_path / name / "result.json"))
    assert decided_by_seed(runs[0]) == decided_by_seed(runs[1])
    losses = [epoch["loss"] for epoch in tracked.result["epochs"]]
    assert [epoch["loss"] for epoch in runs[0]["epochs"]] == pytest.approx(losses, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", ["precision=float64", "precision=mixed_bfloat16", "xla=on", "directed=true", "size=large"]
)
def test_other_formats_and_models_train(setting: str, tracked: Finished, tmp_path: Path) -> None:
    key, _, value = setting.partition("=")
    answer = hepbench("run", *tiny_tracks(memory_mode="chunked", **{key: value}), "--output", tmp_path)
    assert answer.returncode == 0, answer.stderr
    run = read(tmp_path / "result.json")
    assert str(run["config"][key]).lower() == value
    assert run["weights_sha256"] != tracked.result["weights_sha256"]
    if key in ("precision", "xla"):
        for epoch, plain in zip(run["epochs"], tracked.result["epochs"], strict=True):
            assert epoch["loss"] == pytest.approx(plain["loss"], rel=0.05)


@pytest.mark.slow
def test_graphs_can_be_given_and_are_checked(tracks_data: Path, tmp_path: Path) -> None:
    graphs = tmp_path / "graphs"
    settings = [argument for argument in tiny_tracks() if argument != "gnn_tracking"]
    made = hepbench(
        *("data", "generate", "gnn_tracking", *settings, "--intermediate", tracks_data, "--output", graphs)
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == str(graphs)
    run = hepbench("run", *tiny_tracks(), "--data", graphs, "--output", tmp_path / "run", "--quiet")
    assert run.returncode == 0, run.stderr
    for changes, expected in (
        ({"z0_max": 99}, f"{graphs}: expected graphs made with "),
        ({"train_events": 5}, f"{graphs}: expected at least 5 train graphs, got 4; "),
        ({"pad_edges": 3}, f"{graphs}: expected at most 3 edges in a graph, got "),
    ):
        output = tmp_path / next(iter(changes))
        answer = hepbench("run", *tiny_tracks(**changes), "--data", graphs, "--output", output, "--quiet")
        assert refused(answer, 1).startswith(f"failed: {expected}")
        assert read(output / "result.json")["reason"].startswith(expected)


@pytest.mark.slow
def test_a_run_on_helices_needs_no_generator_and_says_that_it_is_not_the_presets(tmp_path: Path) -> None:
    missing = "import sys\nsys.modules['acts'] = sys.modules['pythia8mc'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(missing, encoding="utf-8")
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "HEPBENCH_DATA": str(tmp_path / "cache")}
    run = ["run", *tiny_tracks(pileup=20), "--quiet"]
    line = refused(hepbench(*run, "--output", tmp_path / "without", env=env), 1)
    assert "making tracking events needs ACTS (pyacts), which is not installed: pip install " in line

    answer = hepbench(*run, "--set", "generator=helix", "--output", tmp_path / "run", env=env)
    assert answer.returncode == 0, answer.stderr
    result, summary = (read(tmp_path / "run" / name) for name in ("result.json", "gnn_tracking_summary.json"))
    assert result["data"]["hits_generator"] == "hepbench helix"
    assert summary["run_info"]["changed_settings"]["generator"] == "helix"
    assert summary["report"]["settings"]["generator"] == "helix"

    config = ["hepscore", "config", "--preset", result["config"]["preset"], "--workload", "gnn_tracking"]
    line = refused(hepbench(*config, "--reference", tmp_path / "run"), 2)
    assert "generator helix" in line


@pytest.mark.slow
@pytest.mark.usefixtures("tracks_data")
def test_what_cannot_fit_is_told_with_its_sizes(tmp_path: Path) -> None:
    """Not even the smallest mode: a line, no traceback, and no kill."""
    answer = hepbench(
        "run",
        *tiny_tracks(pad_nodes=10**6, pad_edges=10**8, hidden=512),
        "--output",
        tmp_path,
        "--quiet",
    )
    line = refused(answer, 1)
    assert line.startswith(
        "failed: does not fit: 2 graph(s) of 1000000 nodes and 100000000 edges both ways, "
    )
    assert "memory_mode chunked is expected to take " in line
    assert names(tmp_path) == ["result.json", "run.log"]


@pytest.mark.slow
@pytest.mark.usefixtures("tracks_data")
def test_the_smoke_preset_learns(tmp_path: Path) -> None:
    answer = hepbench("run", "gnn_tracking", "--preset", "smoke", "--output", tmp_path, timeout=1200)
    assert answer.returncode == 0, answer.stderr
    quality = read(tmp_path / "result.json")["quality"]
    assert quality["auc"] > 0.95
    assert quality["efficiency"] > 0.9
