"""The runner on a line through the origin, whose losses are 4, 1, 1/4, 1/16, ... step by step."""

from __future__ import annotations

import hashlib
import os
import signal
import struct
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.errors import UsageError
from benchmarks.machine.series import read_times
from benchmarks.progress import Progress
from benchmarks.result import RunResult
from benchmarks.runner import run
from benchmarks.stopping import ignore_further_signals, on_stopping, raise_once
from benchmarks.training.run import weights_sha256
from datasets.errors import DataError
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import validate_summary
from tests import line
from tests.line import backend as line_backend


@pytest.fixture(autouse=True)
def _line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", line.BACKEND)
    line.register(monkeypatch)


def result_of(*assignments: str) -> RunResult:
    return run(line.configured(*assignments), Progress(visible=False, terminal=False))


def test_losses_counts_and_quality_are_those_of_the_line() -> None:
    """Steps of two events and of one; the weight ends 2 / 2**6 short of 2."""
    result = result_of()
    assert (result.status, result.reason, result.workload) == ("ok", "", "line")
    assert [epoch.index for epoch in result.epochs] == [0, 1, 2]
    assert [epoch.warmup for epoch in result.epochs] == [True, False, False]
    assert [epoch.loss for epoch in result.epochs] == [
        (2 * 4 + 1) / 3,
        (2 / 4 + 1 / 16) / 3,
        (2 / 64 + 1 / 256) / 3,
    ]
    for epoch in result.epochs:
        assert (epoch.steps, epoch.events) == (2, 3)
        assert epoch.elements == 1 + 2 + 3
        assert epoch.padded_elements == 3 * 4
        assert epoch.throughput == 3 / epoch.seconds
    assert [epoch.validation["loss"] for epoch in result.epochs] == [1 / 4, 1 / 64, 1 / 1024]
    assert [epoch.validation["accuracy"] for epoch in result.epochs] == [0, 0, 1]
    assert result.quality == {"loss": 1 / 1024, "accuracy": 1}
    weight = struct.pack("<d", 2 - 2 / 2**6)
    assert result.weights_sha256 == hashlib.sha256(weight).hexdigest()
    assert result.model == {"trainable_parameters": 1, "frozen_parameters": 0}


def test_an_epoch_of_too_few_steps_is_refused_before_there_are_data() -> None:
    """There are none, as a run with enough steps finds."""
    with suppress(DataError):
        assert result_of("data=/no/data", "min_steps=2").status == "failed"
    with pytest.raises(UsageError, match=r"got 2 of 2 events on 1 rank\(s\); --set train_events=6$"):
        result_of("data=/no/data", "min_steps=3")


@pytest.mark.parametrize(("trouble", "status"), [("none", "ok"), ("nan", "failed")])
def test_nothing_stops_a_run_whose_end_is_known(trouble: str, status: str) -> None:
    """It would cost the result, which is still to be written."""

    def ends() -> None:
        ignore_further_signals()
        os.kill(os.getpid(), signal.SIGTERM)

    with on_stopping(raise_once):
        silent = Progress(visible=False, terminal=False)
        result = run(line.configured(f"trouble={trouble}"), silent, on_end=ends)
    assert result.status == status


def test_a_signal_that_a_library_hides_is_one_all_the_same() -> None:
    """Native code that a signal meets on its way may raise an error of its own in place of it."""

    class Hiding(Progress):
        def note(self, _text: str) -> None:
            with suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("error_already_set: MISMATCH")

    with on_stopping(raise_once):
        result = run(line.configured(), Hiding(visible=False, terminal=False))
    assert (result.status, result.reason) == ("interrupted", "SIGTERM")
    with on_stopping(raise_once):
        assert result_of("trouble=reader").status == "failed"


def test_the_record_says_what_ran() -> None:
    result = result_of("threads=0", "seed=7")
    assert result.config["threads"] == len(os.sched_getaffinity(0))  # what 0 came to
    assert result.config["xla"] == "off"  # what auto came to, on a CPU
    assert (result.seed, result.config["seed"], result.config["preset"]) == (7, 7, "smoke")
    assert result.data_sha256 == "ab" * 32
    assert result.data == {"generator": "by hand"}
    assert result.provenance["framework"] == {"numpy": np.__version__}
    assert result.peak_memory_bytes["expected"] == 2 * 1000
    assert result.peak_memory_bytes["host"] > 10_000_000
    assert "device" not in result.peak_memory_bytes
    assert result.telemetry["seconds"] > 0
    assert {"build", "inference"} <= result.seconds.keys()


def test_the_record_says_when_it_did_what() -> None:
    """Phases follow each other, and all of them lie within the time that was watched.

    A busy machine may come between the readings of two clocks.
    """
    result = result_of()
    phases, (series,) = result.telemetry["phases"], result.telemetry["series"]
    epochs = [f"{name} {index}" for index in range(3) for name in ("epoch", "validation")]
    assert [phase["name"] for phase in phases] == [*epochs, "inference"]
    assert [phase["score"] for phase in phases] == [None, None, "train", None, "train", None, "infer"]
    bounds = [bound for phase in phases for bound in (phase["start"], phase["end"])]
    times = read_times(series)
    assert bounds == pytest.approx(sorted(bounds), abs=0.3)
    assert times[0] - 0.3 <= bounds[0] <= bounds[-1] <= times[-1] + 0.3
    assert result.energy_scored["train"]["events"] == 6
    assert result.energy_scored["train"]["gpu"]["missing"] == "it was not computed on a GPU"


def test_a_run_that_fails_says_what_it_did_until_then() -> None:
    phases = result_of("trouble=reader").telemetry["phases"]
    assert [phase["name"] for phase in phases] == ["epoch 0", "validation 0"]


def test_a_run_makes_a_valid_summary() -> None:
    result = result_of()
    validate_summary(summary(result), result)


def test_more_epochs_of_warm_up_are_recorded_and_not_scored() -> None:
    result = result_of("epochs=5", "warmup_epochs=3")
    assert [epoch.warmup for epoch in result.epochs] == [True, True, True, False, False]
    assert result.training().count == 2


def test_a_batch_that_holds_every_event_is_one_step() -> None:
    result = result_of("train_events=4", "batch_size=4")
    assert [(epoch.steps, epoch.events) for epoch in result.epochs] == [(1, 4)] * 3
    assert [epoch.loss for epoch in result.epochs] == [4, 1, 1 / 4]


def test_waiting_for_input_is_part_of_the_epoch_and_its_share_is_known() -> None:
    """Reading takes 0.03 s a batch, a step next to nothing: the device waits all the time."""
    result = result_of("wait=0.03")
    for epoch in result.epochs:
        assert epoch.seconds >= 0.06
        assert 0.8 < epoch.input_wait_fraction <= 1
        # Validation reads two batches, too, and is timed apart.
        assert epoch.validation["seconds"] >= 0.06


def test_an_epoch_of_nan_ends_the_run_and_the_epochs_before_stay() -> None:
    result = result_of("trouble=nan")
    assert result.status == "failed"
    assert result.reason == "did not train: the loss is nan from step 1 of epoch 1"
    assert [epoch.index for epoch in result.epochs] == [0, 1]
    assert result.epochs[0].loss == 3
    assert np.isnan(result.epochs[1].loss)
    assert result.epochs[1].validation == {}
    assert result.quality == {"loss": 1 / 4, "accuracy": 0}  # of epoch 0
    assert result.inference == {}
    assert result.weights_sha256 == ""


def test_an_error_in_epoch_1_keeps_epoch_0() -> None:
    result = result_of("trouble=reader")
    assert (result.status, result.reason) == ("failed", "unexpected OSError: [Errno 5] Input/output error")
    assert [epoch.loss for epoch in result.epochs] == [3]
    assert result.telemetry["seconds"] > 0


def test_memory_that_runs_out_says_how_much_was_expected() -> None:
    """Python's own MemoryError says nothing: then its name has to do."""
    result = result_of("trouble=memory", "event_bytes=600000000")
    assert result.status == "failed"
    assert result.reason == (
        "does not fit: batch_size 2 in float32 is expected to take 1.2 GB; MemoryError; lower --batch-size"
    )
    assert len(result.epochs) == 1


def test_what_cannot_fit_is_not_begun() -> None:
    result = result_of("event_bytes=500000000000000")
    assert result.status == "failed"
    start, _, end = result.reason.partition("; ")
    assert start == "does not fit: batch_size 2 in float32 is expected to take 1000000.0 GB"
    available, unit, rest = end.partition(" GB are available; ")
    assert (unit, rest) == (" GB are available; ", "lower --batch-size")
    assert 0 < float(available) < 1e5
    assert result.epochs == ()


def test_on_a_gpu_the_formula_of_the_memory_only_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It was fitted to the peaks of CPUs, and a GPU may need less."""
    monkeypatch.setattr(line_backend, "device", lambda: "gpu")
    monkeypatch.setattr(line_backend, "device_memory_total_bytes", lambda: 1_000_000_000)
    with caplog.at_level("INFO", "hepbench"):
        result = result_of("event_bytes=600000000", "xla=off")
    assert result.status == "ok"
    assert (
        "the formula of the memory, which was fitted on CPUs, says: does not fit: batch_size 2 in float32 is "
        "expected to take 1.2 GB; 1.0 GB are available; lower --batch-size"
    ) in caplog.messages


def test_kept_batches_are_read_in_the_first_epoch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading takes 0.03 s a batch, and later epochs need none of it. The losses stay."""
    monkeypatch.setattr("benchmarks.training.run.SHARE_OF_FREE_MEMORY", 10)
    result = result_of("wait=0.03")
    assert [epoch.seconds > 0.06 for epoch in result.epochs] == [True, False, False]
    assert [epoch.loss for epoch in result.epochs] == [epoch.loss for epoch in result_of().epochs]


def test_quality_below_the_floor_is_no_score() -> None:
    """Two epochs leave the weight 1/8 short, so that no event is met to a tenth."""
    result = result_of("epochs=2", "min_accuracy=0.5")
    assert (result.status, result.reason) == (
        "failed",
        "did not train: accuracy: expected at least 0.5, got 0.0",
    )
    assert len(result.epochs) == 2
    assert result.inference["batch"]["batch_size"] == 2
    assert result_of("epochs=3", "min_accuracy=1").status == "ok"


def test_an_unknown_backend_is_a_wrong_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "abacus")
    with pytest.raises(UsageError, match=r"^backend \(from KERAS_BACKEND\): expected one of .*'abacus'$"):
        result_of()


def test_weights_are_hashed_in_their_order_and_little_endian() -> None:
    first, second = np.array([[1.5, 2.0]], np.float32), np.array([3.0], ">f4")
    model = SimpleNamespace(weights=[first, second])
    assert weights_sha256(model, np.asarray) == sha256_of(1.5, 2.0, 3.0)
    swapped = SimpleNamespace(weights=[second, first])
    assert weights_sha256(swapped, np.asarray) == sha256_of(3.0, 1.5, 2.0)


def sha256_of(*numbers: float) -> str:
    return hashlib.sha256(struct.pack("<3f", *numbers)).hexdigest()
