"""The kind "numerical kernel" on means of squares, which can be checked by hand."""

from __future__ import annotations

import copy
import dataclasses
import os
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import report
from benchmarks.context import Context
from benchmarks.kernels import worker
from benchmarks.kernels.run import _KernelRun
from benchmarks.machine import nvml
from benchmarks.progress import Progress
from benchmarks.ranks.meeting import Meeting
from benchmarks.ranks.place import Place
from benchmarks.ranks.world import World
from benchmarks.result import RunResult
from benchmarks.runner import run
from benchmarks.scores import account
from benchmarks.workload import Implementation, Kernel, load
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import validate_summary
from tests import line, squares
from tests.benchmarks.machine.fake_nvml import FakeNvml
from tests.squares import workload as squares_workload

RATES_OF_MACHINE = worker.rates_of_machine  # the real one, before it is replaced


@pytest.fixture(autouse=True)
def _squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", line.BACKEND)
    squares.register(monkeypatch)


def result_of(*assignments: str) -> RunResult:
    return run(squares.configured(*assignments), Progress(visible=False, terminal=False))


@pytest.fixture(scope="module")
def finished() -> Iterator[RunResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", line.BACKEND)
        squares.register(patch)
        yield result_of("measure_job=true")


def test_each_implementation_has_a_row(finished: RunResult) -> None:
    assert (finished.status, finished.reason, finished.kind) == ("ok", "", "numerical kernel")
    assert finished.config["implementation"] == "vectorised"
    assert finished.config["resolved"] == ["xla", "deterministic", "implementation"]
    rows = finished.kernel["rows"]
    assert [row["implementation"] for row in rows] == list(squares.NAMES)
    for row in rows:
        assert row["figures"] == ([5 / 3, 14 / 3] if row["ensembles_per_call"] == 2 else [5 / 3])
        assert len(row["seconds"]) == len(row["started_at"]) == 2
        assert row["calls"] >= 1
        assert 0 < row["peak_memory_bytes"] < 1e6
        assert row["expected_memory_bytes"] == 24
        assert row["job_seconds"] > 0
        assert row["roofline_share"] > 0
    assert finished.quality == {"deviation": 0.0}


def test_the_scores_are_made_of_the_repetitions(finished: RunResult) -> None:
    row, nodes = finished.kernel["rows"][1], finished.kernel["node"]
    ensembles = row["calls"] * 2
    rates = [3 * ensembles / seconds for seconds in row["seconds"]]
    assert finished.scores["evaluations"].spread.median == pytest.approx(sum(rates) / 2)
    assert finished.scores["evaluations"].unit == "events/s"
    assert finished.scores["node"].unit == "ensembles/h"
    (alone, *_) = nodes
    assert [node["processes"] for node in nodes][:1] == [1]
    per_hour = sorted(3600 * ensembles / seconds[0] for seconds in alone["seconds"])
    assert finished.scores["node"].spread.median >= sum(per_hour) / 2 * 0.999


def test_the_rates_of_the_machine_are_those_of_a_processor() -> None:
    rates = RATES_OF_MACHINE()
    assert 1e8 < rates["copy_bytes_per_second"] < 1e13
    assert 1e8 < rates["float64_operations_per_second"] < rates["float32_operations_per_second"] < 1e15


def test_every_number_of_processes_does_the_same_work(finished: RunResult) -> None:
    for node in finished.kernel["node"]:
        assert node["calls"] == finished.kernel["rows"][1]["calls"]
        for times in (*node["started_at"], *node["seconds"]):
            assert len(times) == node["processes"]
    assert finished.kernel["node"][-1]["processes"] == len(os.sched_getaffinity(0))


def test_the_series_has_every_number_of_events(finished: RunResult) -> None:
    found = {(entry["implementation"], entry["events"]) for entry in finished.kernel["series"]}
    assert found == {(name, count) for name in squares.NAMES for count in (3, 100)}


def test_the_summary_is_valid_and_a_changed_figure_is_refused(finished: RunResult) -> None:
    content = summary(finished)
    validate_summary(content, finished)
    assert content["run_info"]["kind"] == "numerical kernel"
    assert content["run_info"]["events_per_ensemble"] == 3
    assert content["report"]["implementations"].keys() == set(squares.NAMES)
    assert "weights_sha256" not in content["report"]

    kernel: dict[str, Any] = copy.deepcopy(dict(finished.kernel))
    kernel["rows"][1]["seconds"] = [seconds / 2 for seconds in kernel["rows"][1]["seconds"]]
    with pytest.raises(ValueError, match="expected the scores of the run's own record"):
        validate_summary(content, dataclasses.replace(finished, kernel=kernel))


def test_the_quality_is_that_of_the_scored_implementation(finished: RunResult) -> None:
    judged = account(dataclasses.replace(finished, quality={"deviation": 0.05}))
    assert judged.shortfall.startswith(f"expected the quality of {finished.config['implementation']}, ")
    assert judged.scores == {}


def test_more_processes_or_repetitions_than_were_measured_are_no_score(finished: RunResult) -> None:
    """The declared scores could be changed along with them."""
    for changes, got in (({"processes": 4}, "[1, 1]"), ({"seconds": [[1.0]]}, "[1]")):
        kernel: dict[str, Any] = copy.deepcopy(dict(finished.kernel))
        kernel["node"][0] |= changes
        shortfall = account(dataclasses.replace(finished, kernel=kernel)).shortfall
        count = changes.get("processes", 1)
        assert re.fullmatch(
            rf"expected 2 repetitions of {count} process\(es\), got \w+ of {re.escape(got)}", shortfall
        )


def test_published_figures_stand_beside_those_of_the_run(finished: RunResult) -> None:
    assert finished.kernel["published"][1] == ["1 square", "loop, vectorised, spare on cpu"]
    assert "1 square" in report.table([("here", finished)])


def test_the_record_survives_a_file(finished: RunResult) -> None:
    assert RunResult.from_dict(finished.to_dict()).kernel == finished.kernel


def test_a_node_that_was_not_together_is_not_quoted(finished: RunResult) -> None:
    """Two processes of 10 s that start 5 s apart work together for 5 of 15 s."""
    kernel: dict[str, Any] = copy.deepcopy(dict(finished.kernel))
    apart = {"processes": 2, "calls": 10**6, "ensembles_per_call": 2}
    apart |= {"started_at": [[0.0, 5.0]] * 2, "seconds": [[10.0, 10.0]] * 2}
    kernel["node"] = [kernel["node"][0], apart]
    assert account(dataclasses.replace(finished, kernel=kernel)).work["processes"] == 1
    kernel["node"] = [apart]
    judged = account(dataclasses.replace(finished, kernel=kernel))
    assert judged.shortfall == "expected processes that start and end together, got none"
    apart["started_at"] = [[0.0, 1.0]] * 2
    judged = account(dataclasses.replace(finished, kernel=kernel))
    assert judged.scores["node"].spread.median == pytest.approx(3600 * 4 * 10**6 / 11)


def test_what_does_not_fit_or_is_missing_is_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_CLOSED", "1")
    result = result_of("series_events=3000")
    assert result.status == "ok"
    assert result.kernel["rows"][2]["left_out"] == "the shop is closed"
    left_out = [entry for entry in result.kernel["series"] if "left_out" in entry]
    assert [entry["events"] for entry in left_out[:2]] == [3000] * 2
    assert {entry["left_out"] for entry in left_out[2:]} == {"the shop is closed"}
    for entry in left_out[:2]:
        assert entry["left_out"].startswith("3000 events are expected to take 10000.0 GB; ")
        assert "seconds" not in entry
    assert {entry["events"] for entry in result.kernel["series"]} == {3, 100, 300, 1000, 3000}


def test_there_are_as_many_processes_as_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process takes 600 MB, and its events next to nothing."""
    monkeypatch.setattr("benchmarks.kernels.run.memory_available_bytes", lambda: 1_300_000_000)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))
    measurement = kernel_run(device="cpu")
    assert measurement._most_processes() == 2
    monkeypatch.setattr("benchmarks.kernels.run.memory_available_bytes", lambda: 5)
    assert measurement._most_processes() == 1
    monkeypatch.setattr("benchmarks.kernels.run.memory_available_bytes", lambda: None)
    assert measurement._most_processes() == 16


def kernel_run(device: str, **place: int) -> Any:
    """The measurement of the squares on a backend that says what its device is."""
    squares_config = squares.configured().config.with_auto_resolved(device, None)
    backend = SimpleNamespace(device=lambda: device, device_memory_total_bytes=lambda: 3_000_000_000)
    world = World(Place(**place))
    parts = {"progress": None, "world": world, "meeting": Meeting(), "fields": {}}
    context = SimpleNamespace(backend=backend, config=squares_config, **parts)
    return _KernelRun(cast(Context, context), cast(Kernel, load("squares")))


def test_a_form_that_the_backend_lacks_has_the_reason_in_its_row() -> None:
    measurement = kernel_run("cpu")
    measurement.config = dataclasses.replace(measurement.config, backend="jax")
    form = Implementation("compiled", "same", lambda _: 8, 3.0, needs_backend=True, compiler="graph")
    measurement.implementations = {"graph": form}
    entries = measurement._measure_implementations(["graph"])
    row = measurement._row("graph", entries["graph"][3])
    assert row["left_out"] == "JAX has no compiler but XLA"
    assert "seconds" not in row


def test_processes_share_the_gpu_of_their_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(4).install(monkeypatch)
    second = {"rank": 1, "size": 2, "local_rank": 1, "local_size": 2}
    device = nvml.assignable_devices()[1]
    assert kernel_run("gpu", **second).variables == {"CUDA_VISIBLE_DEVICES": device}
    assert kernel_run("gpu", **second).fields["environment"]["CUDA_VISIBLE_DEVICES"] == device
    assert kernel_run("cpu", **second).variables == {}


def test_on_a_gpu_each_implementation_has_a_process_and_the_events_rise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The device's peak is that since the process started."""
    FakeNvml(1).install(monkeypatch)
    seen: list[list[int]] = []

    def note(_work: Any, tasks: list[Any], _meeting: Any, **_: Any) -> list[dict[str, Any]]:
        seen.append([task.events for task in tasks])
        return [{} for _ in tasks]

    monkeypatch.setattr("benchmarks.kernels.run.run_alone", note)
    monkeypatch.setattr(
        squares_workload.SquaresWorkload,
        "implementations",
        lambda _: {
            name: Implementation(name, "same", lambda _: 8, 3.0, needs_backend=True) for name in squares.NAMES
        },
    )
    for device, groups, order in (
        ("gpu", 3, [100, 300, 1000, 3000]),
        ("cpu", 1, [1000, 100, 300, 3000] * 3),
    ):
        measurement = kernel_run(device)
        measurement.config = dataclasses.replace(measurement.config, events=1000, series_events=3000)
        assert len(list(measurement._groups())) == groups
        measurement._measure_implementations(next(measurement._groups()))
        assert seen[-1] == order


def test_a_scored_implementation_that_is_missing_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_CLOSED", "1")
    result = result_of("implementation=spare")
    assert (result.status, result.reason) == ("failed", "implementation spare: the shop is closed")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("wrong", "implementation spare: expected the loss 1.666"),
        (
            "inexact",
            "implementation spare: expected a deviation of at most 5e-09 from the check values, got 0.05",
        ),
        ("fails", "cross section of event 7: expected a finite number, got nan"),
        ("breaks", "unexpected ValueError in a process of the measurement: a shape is wrong"),
        ("dies", "a process of the measurement died without a word"),
    ],
)
def test_an_implementation_that_goes_wrong_ends_the_run_with_one_line(trouble: str, reason: str) -> None:
    result = result_of(f"trouble={trouble}")
    assert result.status == "failed"
    assert result.reason.startswith(reason)
    assert "\n" not in result.reason
    assert result.kernel["rows"][0]["implementation"] == "loop"


@pytest.mark.slow
def test_processes_that_calculate_something_else_are_no_score() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    result = result_of("trouble=side by side")
    assert result.status == "failed"
    assert re.fullmatch(r"2 processes: expected the loss \S+ of one process, got -1\.0", result.reason)


@pytest.mark.slow
def test_a_process_that_fails_keeps_no_other_waiting() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    result = result_of("trouble=one of two")
    assert (result.status, result.reason) == ("failed", "the second core is tired")


@pytest.mark.slow
def test_a_deviation_above_the_floor_has_no_score() -> None:
    result = result_of("trouble=inexact", "implementation=spare", "max_deviation=0.01")
    assert result.status == "failed"
    assert result.reason.endswith("deviation: expected at most 0.01, got 0.05")
