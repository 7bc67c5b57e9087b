"""The phases of a training and of a kernel, with times that can be checked by hand."""

from __future__ import annotations

import dataclasses

from benchmarks.machine.phases import Phase
from benchmarks.result import RunResult
from benchmarks.timeline import timeline
from tests.results import epoch, inference, result


def test_a_training_has_epochs_validation_and_inference() -> None:
    epochs = (
        dataclasses.replace(epoch(0, 100, warmup=True), started_at=1000.0, validation_started_at=1011.0),
        dataclasses.replace(epoch(1, 200), started_at=1020.0, validation_started_at=1030.5),
    )
    measured = inference(40.0)
    measured["batch"] |= {
        "started_at": 1040.0,
        "ended_at": 1050.0,
        "events_per_pass": 30,
        "pass_seconds": [1.0] * 4,
    }
    assert timeline(result(epochs=epochs, inference=measured, device="gpu")) == [
        Phase("epoch 0", 1000.0, 1010.0, None, 100, "gpu"),
        Phase("validation 0", 1011.0, 1013.0, device="gpu"),
        Phase("epoch 1", 1020.0, 1030.0, "train", 200, "gpu"),
        Phase("validation 1", 1030.5, 1032.5, device="gpu"),
        Phase("inference", 1040.0, 1050.0, "infer", 120, "gpu"),
    ]


def test_a_result_without_times_has_no_phases() -> None:
    """As of an earlier version, or of a run that ended before the first epoch."""
    assert timeline(result()) == []
    assert timeline(result(epochs=(), inference={}, status="failed")) == []


def kernel_run() -> RunResult:
    """Two implementations with 2 repetitions of 3 calls of 1 ensemble of 10 events, and 1 and 2 processes."""
    work = {"calls": 3, "ensembles_per_call": 1}
    rows = [
        {
            "implementation": "slow",
            "device": "gpu",
            "started_at": [100.0, 110.0],
            "seconds": [9.0, 8.0],
            **work,
        },
        {
            "implementation": "fast",
            "device": "cpu",
            "started_at": [200.0, 210.0],
            "seconds": [2.0, 3.0],
            **work,
        },
        {"implementation": "none", "left_out": "not here"},
    ]
    nodes = [
        {"processes": 1, "started_at": [[300.0], [310.0]], "seconds": [[4.0], [4.0]], **work},
        {
            "processes": 2,
            "started_at": [[400.0, 400.1], [410.0, 410.0]],
            "seconds": [[5.0, 5.0], [5.0, 5.5]],
            **work,
        },
    ]
    config = {**result().config, "implementation": "fast", "events": 10}
    return result(
        device="gpu",
        kind="numerical kernel",
        config=config,
        epochs=(),
        inference={},
        kernel={"rows": rows, "node": nodes},
    )


def test_a_kernel_has_implementations_and_the_best_number_of_processes() -> None:
    """Each implementation has its own device, and processes have that of the scored one."""
    assert timeline(kernel_run()) == [
        Phase("implementation slow", 100.0, 118.0, None, 60, "gpu"),
        Phase("implementation fast", 200.0, 213.0, "evaluations", 60),
        Phase("1 processes", 300.0, 314.0, None, 60),
        Phase("2 processes", 400.0, 415.5, "node", 120),
    ]


def test_a_kernel_that_was_stopped_has_what_it_measured() -> None:
    run = kernel_run()
    stopped = dataclasses.replace(run, kernel={"rows": run.kernel["rows"][:1], "node": []})
    assert [phase.name for phase in timeline(stopped)] == ["implementation slow"]
