"""The parts of an event from a record that is written by hand: 100 patches in requests of 30."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import UsageError
from benchmarks.files import write_json
from benchmarks.result import RunResult
from benchmarks.sonic.measured import measured_service
from benchmarks.sonic.model import Chain
from tests.command import hepbench, refused


def load(clients: int, seconds: float, batch: int = 30, busy: float | None = 0.5) -> dict[str, Any]:
    """Clients whose events take ``seconds``, and which send nothing besides."""
    return {
        "clients": clients,
        "batch": batch,
        "queue_delay": 0,
        "work_seconds": 1.0,
        "patches_per_second": [0.9 * clients * 100 / seconds, clients * 100 / seconds, 1e9],
        "event_times": [0.5 * seconds, 1.5 * seconds],
        "request_times": [0.1],
        "split_seconds": {"client": 0.05, "network": 0.05, "queue": 0.0, "compute": 0.1},
        "bytes_per_event": {"sent": 1.25e8, "received": 1e3},
        "busy": busy,
    }


def service(*loads: dict[str, Any], **changes: Any) -> RunResult:
    """Local inference at 25 patches/s, which is 4 s for an event."""
    row = {"precision": "float32", "batch_size": 10, "calls": 5, "seconds": [2.0, 2.0, 9.0]}
    other_row = {**row, "batch_size": 50}
    config = {
        "workload": "doubles",
        "kind": "inference service",
        "precision": "float32",
        "batch_size": 10,
        "event_patches": 100,
        "request_batches": "30,50",
        "queue_delays": "0,100",
    }
    fields: dict[str, Any] = {
        "workload": "doubles",
        "kind": "inference service",
        "status": "ok",
        "config": config,
        "seed": 1,
        "serving": {"rows": [other_row, row], "service": {"loads": list(loads)}},
    }
    return RunResult(**{**fields, **changes})


# One client takes 2 s for an event, and four take 3.2 s: the server answers 125 patches/s, or 0.8 s an event.
LOADS = (load(4, 3.2, busy=0.95), load(1, 2.0), load(9, 0.1, batch=50))


def test_the_parts_of_an_event() -> None:
    """2 s of one client are 1 s of work, 0.8 s on the server, 4 requests of 0.05 s made, and nothing else."""
    measured = measured_service("r", service(*LOADS))
    parts = measured.chain
    assert (parts.cpu, parts.ml, parts.gpu) == pytest.approx((5.0, 4.0, 0.8))
    assert (parts.preprocess, parts.transfer, parts.travel) == pytest.approx((0.2, 0.0, 0.0))
    assert parts.ideal == pytest.approx(2.0)
    assert measured.gigabits == pytest.approx(1.0)
    assert measured.event_seconds == pytest.approx({1: 2.0, 4: 3.2})
    assert measured.is_saturated


def test_no_part_is_below_nothing() -> None:
    """One client that shares nothing may have a faster server than the largest rate says."""
    parts = measured_service("r", service(load(1, 1.5), load(2, 3.6))).chain
    assert parts == Chain(cpu=5.0, ml=4.0, gpu=pytest.approx(1.5))


@pytest.mark.parametrize("busy", [None, 0.5])
def test_a_server_that_may_do_more_is_not_saturated(busy: float | None) -> None:
    assert not measured_service("r", service(load(1, 2.0, busy=busy))).is_saturated


@pytest.mark.parametrize(
    ("run", "what"),
    [
        (service(), "inference service, status ok, 0 loads"),
        (service(*LOADS, status="failed"), "inference service, status failed, 3 loads"),
        (service(kind="training", serving={}), "training, status ok, 0 loads"),
    ],
)
def test_a_result_without_a_service_is_refused(run: RunResult, what: str) -> None:
    line = f"r: expected a finished run of the kind inference service with loads on a server, got {what}"
    with pytest.raises(UsageError) as error:
        measured_service("r", run)
    assert str(error.value) == line


def test_the_table_has_what_was_measured(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", service(*LOADS).to_dict())
    answer = hepbench("sonic", tmp_path, "--network-gigabits=10")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    measured = {row.split()[0]: row.split()[-1] for row in lines[5:-4]}
    assert lines[4].split()[-2:] == ["measured", "[s]"]
    assert (measured["1"], measured["2"], measured["4"]) == ("2.00", "-", "3.20")
    assert lines[-2].startswith("network      20 jobs at most with 1 Gb an event on 10 Gb/s")
    assert lines[-1] == "measured     the server was saturated: it computed for 95 % of the time"


def test_another_chain_behind_the_same_server_has_nothing_measured(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", service(load(1, 2.0)).to_dict())
    answer = hepbench("sonic", tmp_path / "result.json", "--cpu-seconds=330", "--ml-seconds=220")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0].startswith("CPU alone    330 s an event, 66.7 % of it machine learning")
    assert lines[4].split()[-1] == "busy"
    assert lines[-1].endswith(
        "(it computed for 50 % of the time), so that the GPU may be faster than this; measure more clients"
    )


def test_a_file_that_is_no_result_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("{", encoding="utf-8")
    assert refused(hepbench("sonic", path), 2).startswith(f"{path}: not JSON")
