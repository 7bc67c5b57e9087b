"""A workload on several numbers of ranks: the series of runs, its arithmetic, and what a person sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import UsageError
from benchmarks.launchers.sweep import PlannedRun, on_cores
from benchmarks.machine.topology import ordered_cores
from benchmarks.output import RunOptions
from benchmarks.ranks.place import ALONE
from benchmarks.result import RunResult
from benchmarks.scaling.figures import ASSUMPTION, IN_MESSAGES, plot, scaling, table
from benchmarks.scaling.model import Ring
from benchmarks.scaling.series import parse_rank_counts, plan_runs, run_scale
from tests.command import LINE, hepbench, names, read, refused
from tests.conftest import tiny, tiny_tracks
from tests.line import configured
from tests.results import result

RING = Ring(alpha=0.01, beta=1e-9)
SIZES = (4, 1 << 20)
MESSAGE = 1 << 18


def ran(
    ranks: int, rate: float, batch_size: int = 5, ring: Ring = RING, compression: str = "none", **changes: Any
) -> RunResult:
    """Returns a result of three epochs at ``rate``, a tenth of each in communication as the ring predicts."""
    config = {**result().config, "batch_size": batch_size, "global_batch_size": batch_size * ranks}
    epochs = [
        replace(epoch, throughput=rate, communication_seconds=epoch.seconds / 10 * (ranks > 1))
        for epoch in result().epochs
    ]
    reduces = [{"bytes": size, "seconds": ring.seconds(ranks, size)} for size in SIZES]
    size = MESSAGE // 2 if compression == "fp16" else MESSAGE
    together = {
        "bytes_per_step": MESSAGE,
        "seconds_per_step": ring.seconds(ranks, size),
        "all_reduce": reduces,
    }
    return result(
        world_size=ranks,
        epochs=tuple(epochs),
        config={**config, "compression": compression},
        distributed=together if ranks > 1 else {},
        model={"trainable_parameters": MESSAGE // 4},
        **changes,
    )


@pytest.mark.parametrize("text", ["1,x", "0,1", "1,,2", "", "1,-2", "2,2", "1,01"])
def test_what_are_no_different_numbers_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_rank_counts(text)
    assert str(refusal.value) == f"--ranks: expected different whole numbers A,B,... from 1, got {text!r}"


def test_one_number_of_ranks_is_no_series() -> None:
    with pytest.raises(UsageError, match=r"^--ranks: expected at least two numbers A,B,\.\.\., got '4'$"):
        parse_rank_counts("4")


def test_the_numbers_are_sorted() -> None:
    assert parse_rank_counts("4, 1,2") == [1, 2, 4]


def test_the_number_of_events_that_a_refusal_names_is_not_refused() -> None:
    """Three steps of 6 events are 18, in steps of 4 one would be short: it takes a multiple of 12."""
    settings = ["global_batch_size=6", "min_steps=3"]
    with pytest.raises(UsageError, match=r"--set train_events=24$"):
        plan_runs(configured(*settings, "train_events=18"), [2, 3], "strong", 3)
    runs = plan_runs(configured(*settings, "train_events=24"), [2, 3], "strong", 3)
    assert [events for *_, events in shape(runs).values()] == [6, 6, 4]


def shape(runs: dict[str, PlannedRun]) -> dict[str, tuple[tuple[str, ...], int, int, int]]:
    """Returns the options, cores and events of a step of each run, as configured and of all ranks."""
    shapes = {}
    for name, planned in runs.items():
        config = planned.resolved.config
        count = int(planned.rank_options[0].partition("=")[2])
        whole = config.for_ranks(count).global_batch_size
        shapes[name] = planned.rank_options, planned.cores, config.global_batch_size, whole
    return shapes


def test_weak_scaling_keeps_the_batch_and_the_cores_of_a_rank() -> None:
    """Nine cores are two for each of four ranks. Steps have two events, four and eight."""
    assert shape(plan_runs(configured("train_events=16"), [1, 2, 4], "weak", 9)) == {
        "ranks=1": (("--ranks=1",), 2, 0, 2),
        "ranks=2": (("--ranks=2",), 4, 0, 4),
        "ranks=4": (("--ranks=4",), 8, 0, 8),
    }


def test_strong_scaling_keeps_the_batch_of_all_ranks() -> None:
    """One run more has one event for each of the fewest ranks, as each of the most ranks has."""
    runs = plan_runs(configured("train_events=16", "global_batch_size=8"), [2, 4, 8], "strong", 8)
    assert shape(runs) == {
        "ranks=2": (("--ranks=2",), 2, 8, 8),
        "ranks=4": (("--ranks=4",), 4, 8, 8),
        "ranks=8": (("--ranks=8",), 8, 8, 8),
        "global_batch_size=2": (("--ranks=2",), 2, 2, 2),
    }


def test_strong_scaling_takes_the_batch_of_the_preset() -> None:
    runs = plan_runs(configured("train_events=4"), [1, 2], "strong", 2)
    assert shape(runs)["ranks=2"] == (("--ranks=2",), 2, 2, 2)
    assert runs["ranks=2"].resolved.changed == ("train_events", "global_batch_size")


WRONG = {
    "too few cores": ([], "weak", "--ranks: expected at most the 3 cores that may be used, got 4"),
    "weak with the batch of all": (
        ["global_batch_size=4"],
        "weak",
        "--mode weak keeps the batch of each rank: give --batch-size, not global_batch_size",
    ),
    "strong with the batch of each": (
        ["batch_size=1"],
        "strong",
        "--mode strong keeps the batch of all ranks: give --global-batch-size, not batch_size",
    ),
    "a batch that does not divide": (
        ["global_batch_size=6", "train_events=12"],
        "strong",
        "global_batch_size: expected a multiple of the 4 ranks, got 6",
    ),
    "a short step": (
        ["train_events=20"],
        "weak",
        "train_events: expected a multiple of 8, so that no step is short on any of these ranks, got 20; "
        "--set train_events=16",
    ),
    "a short step, and few of them": (
        ["train_events=20", "min_steps=5"],
        "weak",
        "train_events: expected a multiple of 8, so that no step is short on any of these ranks, got 20; "
        "--set train_events=40",
    ),
    "few steps on the most ranks": (
        ["train_events=16", "min_steps=5"],
        "weak",
        "train_events: expected at least 5 steps in an epoch (min_steps) on any of these ranks, got 2; "
        "--set train_events=40",
    ),
}


@pytest.mark.parametrize(("assignments", "mode", "line"), WRONG.values(), ids=WRONG.keys())
def test_a_series_that_cannot_be_is_told_in_one_line(assignments: list[str], mode: str, line: str) -> None:
    with pytest.raises(UsageError) as refusal:
        plan_runs(configured(*assignments), [1, 4], mode, 3 if "at most the 3 cores" in line else 4)
    assert str(refusal.value) == line


def test_the_wrong_calls_of_the_command(tmp_path: Path) -> None:
    call = ("scale", "line", "--set=train_events=8", "--output", tmp_path / "out")
    expected = "--ranks: expected at least two numbers A,B,..., got '2'"
    assert refused(hepbench(*call, "--ranks=2", program=LINE), 2) == expected
    mpirun = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}
    mpirun |= {"OMPI_COMM_WORLD_LOCAL_RANK": "0", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
    expected = "scale: started by mpirun; it starts its ranks itself, on one machine"
    assert refused(hepbench(*call, "--ranks=1,2", program=LINE, env=mpirun), 2) == expected
    assert list(tmp_path.iterdir()) == []


def test_speed_up_and_efficiency_are_those_against_the_fewest_ranks() -> None:
    """Two ranks have 20 events/s and eight have 60, which is three times as much on four times the ranks."""
    content = scaling("weak", {2: ran(2, 20.0), 8: ran(8, 60.0)}, None)
    two, eight = content["measured"]
    assert (two["speed_up"], two["efficiency"], two["model_events_per_second"]) == (1, 1, None)
    assert (eight["speed_up"], eight["efficiency"]) == (3, 0.75)
    assert (eight["ranks"], eight["batch_size"], eight["events_per_second"]) == (8, 5, 60)
    assert (two["communication_share"], eight["communication_share"]) == pytest.approx((0.1, 0.1))
    assert eight["quality"] == {"accuracy": 0.75, "auc": 0.875}


def test_the_model_foretells_two_ranks_from_one_and_from_all_reduces() -> None:
    """One rank takes 0.5 s for five events. The throughput on two ranks does not enter."""
    message = RING.seconds(2, MESSAGE)
    for rate in (11.0, 19.0):
        content = scaling("weak", {1: ran(1, 10.0), 2: ran(2, rate)}, None)
        assert content["measured"][1]["model_events_per_second"] == pytest.approx(10 / (0.5 + message))
        model = content["model"]
        assert (model["alpha_seconds"], model["beta_seconds_per_byte"]) == pytest.approx((0.01, 1e-9))
        assert (model["bytes_per_step"], model["relative_deviation"]) == (MESSAGE, pytest.approx(0, abs=1e-9))
        assert (model["serial_share"], model["call_seconds"]) == (None, None)


def test_short_gradients_are_short_messages() -> None:
    measured = {1: ran(1, 10.0, compression="fp16"), 2: ran(2, 19.0, compression="fp16")}
    assert scaling("weak", measured, None)["model"]["bytes_per_step"] == MESSAGE // 2


def test_more_communication_than_step_is_no_time_below_nothing() -> None:
    """Noise makes all-reduces of 20 ms in steps of 5 ms, with five events on each of two ranks."""
    content = scaling("strong", {2: ran(2, 2000.0), 4: ran(4, 2100.0)}, ran(2, 1000.0, batch_size=2))
    assert content["model"]["serial_share"] == 0
    # What is left is the message: twenty events in the time of an all-reduce of four.
    predicted = 20 / RING.seconds(4, MESSAGE)
    assert content["measured"][1]["model_events_per_second"] == pytest.approx(predicted)


def test_a_projection_ends_at_1024_and_is_marked_as_such() -> None:
    content = scaling("weak", {1: ran(1, 10.0), 2: ran(2, 19.0)}, None)
    projection = content["projection"]
    assert [point["ranks"] for point in projection["points"]] == [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert projection["assumption"] == ASSUMPTION + IN_MESSAGES
    last = projection["points"][-1]
    seconds = 0.5 + RING.seconds(1024, MESSAGE)
    assert last["events_per_second"] == pytest.approx(1024 * 5 / seconds)
    assert last["efficiency"] == pytest.approx(0.5 / seconds)
    assert last["communication_share"] == pytest.approx(1 - 0.5 / seconds)
    lines = [line.split() for line in table(content).splitlines()]
    marked = [line[0] for line in lines if line[1:2] == ["projection"]]
    assert marked == [str(point["ranks"]) for point in projection["points"]]
    assert table(content).endswith(f"projection: {ASSUMPTION + IN_MESSAGES}")


def test_a_third_number_of_ranks_tells_the_call_from_its_messages() -> None:
    ring = replace(RING, call=0.02)
    measured = {count: ran(count, 10.0 * count, ring=ring) for count in (1, 2, 4)}
    content = scaling("weak", measured, None)
    model = content["model"]
    assert (model["call_seconds"], model["alpha_seconds"]) == pytest.approx((0.02, 0.01))
    assert content["projection"]["assumption"] == ASSUMPTION
    assert "all-reduce: 2e+04 us a call, 1e+04 us a message, 1 ns a byte, 262144 bytes a step" in table(
        content
    )


def test_strong_scaling_tells_serial_seconds_and_ends_with_one_event_a_rank() -> None:
    """Sixteen events take 1.8 s and eight 1 s, so 0.1 s each and 0.2 s in any case, a ninth of the step."""
    measured = {1: ran(1, 16 / 1.8, batch_size=16), 2: ran(2, 15.0, batch_size=8)}
    content = scaling("strong", measured, ran(1, 8.0, batch_size=8))
    assert content["model"]["serial_share"] == pytest.approx(0.2 / 1.8)
    assert content["measured"][1]["model_events_per_second"] == pytest.approx(
        16 / (1.0 + RING.seconds(2, MESSAGE))
    )
    points = content["projection"]["points"]
    assert [(point["ranks"], point["batch_size"]) for point in points] == [(4, 4), (8, 2), (16, 1)]
    assert points[-1]["events_per_second"] == pytest.approx(16 / (0.3 + RING.seconds(16, MESSAGE)))
    assert "serial: 11.1 % of a step on 1 rank(s)" in table(content)


def test_the_table() -> None:
    measured = {512: ran(512, 1000.0, quality={"loss": 0.25}), 1024: ran(1024, 1500.0, quality={"loss": 0.5})}
    content = scaling("weak", measured, None)
    predicted = f"{content['measured'][1]['model_events_per_second']:.4g}"
    lines = table(content).splitlines()
    assert lines[0] == (
        "weak scaling of mlpf, preset small: the batch of each rank is the same, 2 thread(s) for each rank"
    )
    assert [" ".join(line.split()) for line in lines[2:5]] == [
        "ranks batch events/s spread speed-up efficiency communication model val. loss",
        "512 5 1000 0.0 % 1 100.0 % 10.0 % - 0.25",
        f"1024 5 1500 0.0 % 1.5 75.0 % 10.0 % {predicted} 0.5",
    ]
    assert lines[6].startswith("against 512 rank(s); ")
    assert "projection" not in table(content)


@pytest.mark.slow
def test_the_picture_is_an_image(tmp_path: Path) -> None:
    pytest.importorskip("mplhep")
    path = tmp_path / "scaling.png"
    plot(scaling("weak", {1: ran(1, 10.0), 2: ran(2, 19.0)}, None), path)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def series(monkeypatch: pytest.MonkeyPatch) -> dict[str, RunResult]:
    """Returns a dictionary for the results of a series, which then runs nothing."""
    outcomes: dict[str, RunResult] = {}

    def run_nothing(
        runs: dict[str, PlannedRun], parent: Path, _: RunOptions
    ) -> tuple[int, dict[str, RunResult]]:
        parent.mkdir(exist_ok=True)
        results = {name: outcomes[name] for name in runs if name in outcomes}
        return int(any(result.status != "ok" for result in results.values())), results

    monkeypatch.setattr("benchmarks.scaling.series.run_series", run_nothing)
    monkeypatch.setattr("benchmarks.scaling.series.usable_cores", lambda: 2)
    monkeypatch.setattr("benchmarks.scaling.series.find_spec", lambda _: True)
    monkeypatch.setattr("benchmarks.scaling.series.place_from_environment", lambda _: ALONE)
    return outcomes


def scaled(folder: Path, mode: str = "weak", *, force: bool = False, picture: Path | None = None) -> int:
    return run_scale(configured("train_events=8"), [1, 2], mode, RunOptions(folder, force=force), picture)


def test_the_file_holds_what_the_table_shows(
    series: dict[str, RunResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series |= {"ranks=1": ran(1, 10.0), "ranks=2": ran(2, 19.0)}
    assert scaled(tmp_path) == 0
    content = read(tmp_path / "scaling.json")
    assert content == json.loads(json.dumps(scaling("weak", {1: ran(1, 10.0), 2: ran(2, 19.0)}, None)))
    assert capsys.readouterr().out == f"\n{table(content)}\n"


def test_a_file_that_is_there_needs_force(series: dict[str, RunResult], tmp_path: Path) -> None:
    """The file goes where the new series fails."""
    file = tmp_path / "scaling.json"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError) as refusal:
        scaled(tmp_path)
    assert str(refusal.value) == f"{file} exists; choose another --output or give --force to replace it"
    series |= {"ranks=1": ran(1, 10.0), "ranks=2": ran(2, 19.0, status="failed")}
    assert scaled(tmp_path, force=True) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("mode", "missing"), [("weak", "ranks=1"), ("weak", "ranks=2"), ("strong", "global_batch_size=1")]
)
def test_without_the_runs_to_compare_there_is_no_file(
    mode: str,
    missing: str,
    series: dict[str, RunResult],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fine = {
        "ranks=1": ran(1, 10.0),
        "ranks=2": ran(2, 19.0),
        "global_batch_size=1": ran(1, 6.0, batch_size=1),
    }
    series |= fine
    series[missing] = replace(fine[missing], status="failed", reason="it broke")
    assert scaled(tmp_path, mode) == 1
    expected = "hepbench: no scaling.json: the runs that it compares are not there\n"
    assert capsys.readouterr() == ("", expected)
    assert names(tmp_path) == []


@pytest.mark.usefixtures("series")
def test_a_wrong_picture_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mplhep", None)
    with pytest.raises(UsageError, match=r"^plots need .* not installed: pip install '\.\[report\]'$"):
        scaled(tmp_path / "out", picture=tmp_path / "scaling.png")
    assert names(tmp_path) == []


@pytest.mark.usefixtures("series")
def test_without_horovod_the_first_run_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.scaling.series.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"^several ranks need Horovod: make horovod, or use an image$"):
        scaled(tmp_path / "out")
    assert names(tmp_path) == []


def test_a_run_gets_the_cores_of_its_ranks() -> None:
    """This process has its own cores again afterwards."""
    mine = os.sched_getaffinity(0)
    for count, expected in ((1, set(ordered_cores(mine)[:1])), (0, mine)):
        with on_cores(count):
            code = "import os; print(*os.sched_getaffinity(0))"
            said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert set(map(int, said.stdout.split())) == expected
        assert os.sched_getaffinity(0) == mine


@pytest.fixture
def two_cores() -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs a core for each of two ranks")


@pytest.mark.horovod
@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
def test_a_series_of_the_line(tmp_path: Path) -> None:
    """Real processes scale strongly with two events for all ranks, and as many cores for each rank."""
    call = ("--ranks=2,1", "--mode=strong", "--set=train_events=8", "--set=wait=0.01")
    answer = hepbench("scale", "line", "--output", tmp_path, *call, program=LINE)
    assert answer.returncode == 0, answer.stderr
    assert names(tmp_path) == ["global_batch_size-1", "ranks-1", "ranks-2", "scaling.json"]
    content = read(tmp_path / "scaling.json")
    assert answer.stdout.endswith(f"\n\n{table(content)}\n")
    assert [point["ranks"] for point in content["measured"]] == [1, 2]
    runs = {name: read(tmp_path / name / "result.json") for name in names(tmp_path)[:3]}
    sizes = {name: (run["world_size"], run["config"]["batch_size"]) for name, run in runs.items()}
    assert sizes == {"global_batch_size-1": (1, 1), "ranks-1": (1, 2), "ranks-2": (2, 1)}
    threads = {run["config"]["threads"] for run in runs.values()}
    assert threads == {len(os.sched_getaffinity(0)) // 2}
    for point in content["measured"]:
        folder = tmp_path / f"ranks-{point['ranks']}"
        training = read(folder / "result.json")["training"]["events_per_second"]
        assert point["events_per_second"] == training["median"]
    again = hepbench("scale", "line", "--output", tmp_path, *call, program=LINE)
    expected = f"{tmp_path / 'scaling.json'} exists; choose another --output or give --force to replace it"
    assert refused(again, 2) == expected


@pytest.mark.horovod
@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize("workload", [pytest.param("mlpf", marks=pytest.mark.exhaustive), "gnn_tracking"])
def test_two_ranks_are_predicted_from_one(
    workload: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The step of one rank and all-reduces predict that of two, within a factor for what others disturb."""
    fixture, arguments = {
        "mlpf": ("mlpf_data", tiny(epochs=6)),
        "gnn_tracking": ("tracks_data", tiny_tracks(epochs=6)),
    }[workload]
    data = request.getfixturevalue(fixture)
    answer = hepbench(
        *("scale", *arguments, f"--set=data={data}", "--ranks=1,2", "--quiet", "--output", tmp_path / "out")
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    one, two = read(tmp_path / "out" / "scaling.json")["measured"]
    foreign_cores = read(tmp_path / "out" / "ranks-1" / "result.json")["telemetry"]["foreign_cpu_cores_mean"]
    if foreign_cores > 0.25 or max(one["relative_spread"], two["relative_spread"]) > 0.5:
        pytest.skip(
            f"disturbed: others took {foreign_cores} cores, or epochs of one run differ by more than half"
        )
    assert 0.5 < two["model_events_per_second"] / two["events_per_second"] < 2
