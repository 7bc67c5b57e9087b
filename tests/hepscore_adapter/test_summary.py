from __future__ import annotations

import dataclasses
import statistics

import pytest

from benchmarks.result import RunResult
from hepscore_adapter.summary import Request, summary
from hepscore_adapter.validate import validate_summary
from tests.results import epoch, inference, result


def test_scores_are_the_medians_of_the_timed_epochs_and_of_inference() -> None:
    assert summary(result())["report"]["wl-scores"] == {"train": 20.0, "infer": 50.0}


def test_statistics_have_the_five_numbers_of_hepscore() -> None:
    stats = summary(result())["report"]["wl-stats"]
    assert stats["train"] == {"avg": 20.0, "median": 20.0, "min": 10.0, "max": 30.0, "count": 3}
    assert stats["infer"] == {"avg": 50.0, "median": 50.0, "min": 40.0, "max": 60.0, "count": 3}
    assert stats["epoch_time"] == {"avg": 10.0, "median": 10.0, "min": 10.0, "max": 10.0, "count": 3}
    assert stats["accuracy"] == {"avg": 0.75, "median": 0.75, "min": 0.75, "max": 0.75, "count": 1}


def test_spread_is_the_range_over_the_median() -> None:
    spread = summary(result())["report"]["relative_spread"]
    assert spread == {"train": 1.0, "infer": pytest.approx(0.4), "epoch_time": 0.0}


def test_an_even_number_of_epochs_takes_the_mean_of_the_middle_two() -> None:
    run = result(epochs=(epoch(0, 100, warmup=True), epoch(1, 100), epoch(2, 300)))
    assert summary(run)["report"]["wl-scores"]["train"] == 20.0


def test_the_warmup_epoch_changes_no_score() -> None:
    slow = result()
    fast = dataclasses.replace(slow, epochs=(epoch(0, 10**6, warmup=True), *slow.timed))
    assert summary(slow)["report"]["wl-scores"] == summary(fast)["report"]["wl-scores"]


def test_scores_are_floats_even_where_the_run_counted_whole_numbers() -> None:
    run = result(
        inference={**result().inference, "batch": {"batch_size": 5, "events_per_second": _whole(50)}}
    )
    assert all(type(score) is float for score in summary(run)["report"]["wl-scores"].values())


def _whole(rate: int) -> dict[str, int]:
    return dict.fromkeys(("mean", "median", "min", "max"), rate) | {"count": 1, "relative_spread": 0}


def test_run_info_says_the_load_as_it_was() -> None:
    assert summary(result(), request=Request(extra_arguments="--n-gpus 1"))["run_info"] == {
        "copies": 1,
        "threads_per_copy": 2,
        "events_per_thread": 50,
        "extra_arguments": "--n-gpus 1",
        "events_per_epoch": 100,
        "world_size": 1,
        "seed": 7,
        "kind": "training",
        "preset": "small",
        "epochs": 4,
        "warmup_epochs": 1,
        "batch_size": 5,
        "precision": "float32",
        "changed_settings": {},
        "resolved_settings": {},
    }


def test_what_the_program_chose_is_told_with_its_value() -> None:
    config = {**result().config, "resolved": ["xla"]}
    assert summary(result(config=config))["run_info"]["resolved_settings"] == {"xla": "off"}


def test_the_report_names_every_setting_and_what_computed() -> None:
    report = summary(result())["report"]
    settings = {"precision": "float32", "xla": "off", "deterministic": "on", "threads": 2}
    assert settings.items() <= report["settings"].items()
    assert "data" not in report["settings"]  # a folder is nobody's business
    assert report["machine"] == {
        "cpu": "Example CPU",
        "gpus": [],
        "driver": None,
        "framework": {"tensorflow": "2.20.0"},
    }
    assert report["input_wait"] == {"train": 0.25}


def test_a_preset_that_was_changed_says_so() -> None:
    """Or a smaller model would score under the preset's name; the folder of the data is nobody's business."""
    changed = {**result().config, "hidden": 1, "data": "/private", "changed": ["data", "hidden"]}
    assert summary(result(config=changed))["run_info"]["changed_settings"] == {"hidden": 1}


@pytest.mark.parametrize(("events", "threads", "per_thread"), [(100, 3, 33), (100, 100, 1), (3, 8, 1)])
def test_events_per_thread_rounds_down_and_is_at_least_one(
    events: int, threads: int, per_thread: int
) -> None:
    run = result(epochs=(epoch(0, events),), config={**result().config, "threads": threads})
    info = summary(run)["run_info"]
    assert (info["events_per_thread"], info["events_per_epoch"]) == (per_thread, events)


def test_zero_threads_are_all_usable_cores() -> None:
    info = summary(result(config={**result().config, "threads": 0}))["run_info"]
    assert (info["threads_per_copy"], info["events_per_thread"]) == (2, 50)


def test_app_says_what_ran() -> None:
    assert summary(result())["app"] == {
        "version": "1.2.3",
        "description": "hepbench mlpf: train in events/s, infer in events/s",
        "containment": "docker",
        "bmk_checksum": "0123456789abcdef0123456789abcdef",
        "bmkdata_checksum": "cd" * 32,
        "cvmfs_checksum": "d41d8cd98f00b204e9800998ecf8427e",
        "git": {"commit": "c0ffee00" * 5, "dirty": False},
    }


def test_report_carries_what_is_never_a_score() -> None:
    report = summary(result())["report"]
    assert report["quality"] == {"accuracy": 0.75, "auc": 0.875}
    assert report["latency_seconds"] == {"p50": 0.5, "p95": 0.6, "p99": 0.75, "count": 100}
    assert report["peak_memory_bytes"] == {"host": 3 << 30, "device": 1 << 30, "expected": 2 << 30}
    assert report["energy"] == {"gpu_joules": None, "seconds": 140.0}
    assert report["telemetry"]["foreign_cpu_cores_mean"] == 0.5
    assert report["log"] == "ok"


def test_the_summary_has_phases_and_energy_and_leaves_the_series_to_the_result() -> None:
    phase = {"name": "epoch 1", "start": 1.0, "end": 2.0, "ranks": [{"columns": {}, "gpus": []}]}
    energy = {"joules": 50.0, "joules_per_event": 0.5, "events_per_joule": 2.0, "source": "counter of energy"}
    part = {**energy, "leaves_out": "fans", "missing": ""}
    run = result(
        telemetry={**result().telemetry, "phases": [phase], "series": [{"steps": "0 1x3600"}]},
        energy_scored={"train": {"events": 100, "seconds": 10.0, "gpu": part, "cpu": part}},
    )
    content = summary(run)
    assert content["report"]["telemetry"] == {
        **result().telemetry,
        "phases": [{"name": "epoch 1", "start": 1.0, "end": 2.0}],
    }
    assert content["report"]["energy_scored"] == run.energy_scored
    validate_summary(content, run)


def test_twice_the_speed_is_twice_the_score() -> None:
    """What hep-score does with the scores: divide by a reference, then a geometric mean."""
    slow = result()
    fast = result(
        epochs=tuple(
            dataclasses.replace(e, seconds=e.seconds / 2, throughput=2 * e.throughput) for e in slow.epochs
        )
    )
    ratios = [summary(run)["report"]["wl-scores"]["train"] / 20.0 for run in (slow, fast)]
    assert [statistics.geometric_mean([ratio]) for ratio in ratios] == pytest.approx([1.0, 2.0])


def copies() -> list[RunResult]:
    """Two copies: 20 and 40 events/s in training, 50 and 70 in inference, accuracy 0.75 and 0.25."""
    fast = result(
        epochs=tuple(
            dataclasses.replace(e, seconds=e.seconds / 2, throughput=2 * e.throughput)
            for e in result().epochs
        ),
        inference=inference(70.0),
        quality={"accuracy": 0.25, "auc": 0.875},
    )
    return [result(), fast]


def test_scores_of_copies_add_up() -> None:
    assert summary(*copies())["report"]["wl-scores"] == {"train": 60.0, "infer": 120.0}


def test_statistics_of_copies_have_one_value_a_copy() -> None:
    report = summary(*copies())["report"]
    stats = report["wl-stats"]
    assert stats["train"] == {"avg": 30.0, "median": 30.0, "min": 20.0, "max": 40.0, "count": 2}
    assert stats["infer"] == {"avg": 60.0, "median": 60.0, "min": 50.0, "max": 70.0, "count": 2}
    assert stats["epoch_time"] == {"avg": 7.5, "median": 7.5, "min": 5.0, "max": 10.0, "count": 2}
    assert stats["accuracy"] == {"avg": 0.5, "median": 0.5, "min": 0.25, "max": 0.75, "count": 2}
    assert report["relative_spread"] == {
        "train": pytest.approx(2 / 3),
        "infer": pytest.approx(1 / 3),
        "epoch_time": pytest.approx(2 / 3),
    }


def test_what_is_never_a_score_stands_there_for_each_copy() -> None:
    """Nothing is added up that does not add up, such as a latency."""
    report = summary(*copies())["report"]
    alone = summary(result())["report"]
    assert {"quality", "energy", "telemetry", "latency_seconds"}.isdisjoint(report)
    assert report["copies"][0] == {key: alone[key] for key in report["copies"][0]}
    assert [copy["quality"]["accuracy"] for copy in report["copies"]] == [0.75, 0.25]


def test_copies_say_how_many_they_are_and_what_each_did() -> None:
    info = summary(*copies())["run_info"]
    assert (info["copies"], info["threads_per_copy"], info["events_per_epoch"]) == (2, 2, 100)


def test_events_per_thread_are_what_was_asked_for() -> None:
    assert summary(result(), request=Request(events_per_thread=49))["run_info"]["events_per_thread"] == 49
