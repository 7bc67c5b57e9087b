"""The parts of a check of a GPU machine: their order, how they end, and what they compare."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.errors import RunFailedError
from benchmarks.gpu_check import __main__ as program
from benchmarks.gpu_check import parts
from benchmarks.gpu_check.__main__ import carry_out
from benchmarks.gpu_check.check import Check, OutOfTimeError, Spec, machine_name
from benchmarks.gpu_check.parts import NotHereError, Part, plan
from benchmarks.result import RunResult
from benchmarks.scores import account
from benchmarks.timing import clock
from tests.results import result

GPU = {"name": "Some GPU", "memory_used_bytes_max": 10**9, "energy_joules": 990.0, "power_watts_mean": 50.0}


@pytest.fixture
def check(tmp_path: Path) -> Check:
    return Check("cpu", tmp_path, clock() + 100)


def finished(check: Check, spec: Spec, **changes: Any) -> RunResult:
    """Puts the result of a run where the check finds it."""
    config = {**result().config, "tf32": "off", **changes.pop("config", {})}
    run = result(device="cpu", config=config, **changes)
    run = dataclasses.replace(run, scores=account(run).scores)
    check.results[spec.name] = run
    return run


def test_the_parts_come_in_a_fixed_order_that_begins_with_the_ceilings() -> None:
    names = [part.name for part in plan()]
    assert names[:4] == [
        "ceilings-jax",
        "ceilings-torch",
        "train-mlpf-jax-float32",
        "train-mlpf-torch-float32",
    ]
    assert [name for name in names if name.startswith("train-")][-1] == "train-gnn_tracking-torch-tf32"
    assert len([name for name in names if name.startswith("train-")]) == 2 * 2 * 3
    assert [name.partition("-")[0] for name in names[14:]] == [
        *["accuracy"] * 4,
        *["repeat"] * 4,
        *["memory"] * 2,
        "peaks",
        "telemetry",
    ]


def test_a_run_is_started_as_a_person_starts_it() -> None:
    spec = Spec("mlpf", "jax", "cpu-check", "tf32", (("deterministic", "on"),), copy=2)
    assert spec.name == "mlpf-jax-tf32-cpu-check-deterministic-on-2"
    assert spec.command(Path("DIR"))[1:] == [
        *("-m", "hepscore_adapter.programs", "run", "mlpf", "--preset=cpu-check", "--output=DIR", "--force"),
        *(
            "--quiet",
            "--set=backend=jax",
            "--set=precision=float32",
            "--set=tf32=on",
            "--set=deterministic=on",
        ),
    ]


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (RunFailedError("no"), "failed", "no"),
        (OutOfTimeError(), "not run", "no time was left"),
        (NotHereError("none here"), "not run", "none here"),
        (ValueError("odd"), "failed", "unexpected ValueError: odd"),
    ],
)
def test_whatever_becomes_of_a_part_is_a_record(
    check: Check, error: Exception, status: str, reason: str
) -> None:
    def work(_check: Check) -> dict[str, Any]:
        raise error

    record = carry_out(Part("one", work), check)
    assert (record["status"], record["reason"]) == (status, reason)


def test_each_part_is_written_and_a_failing_one_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_check: Check) -> dict[str, Any]:
        raise RunFailedError("broken")

    written = []

    def look(check: Check) -> dict[str, Any]:
        written.extend(sorted(path.name for path in check.folder.glob("*.json")))
        return {"figure": 1}

    monkeypatch.setattr(program, "plan", lambda: [Part("first", fail), Part("second", look)])
    answer = CliRunner().invoke(program.main, ["--device=cpu", f"--output={tmp_path}"])
    assert answer.exit_code == 1
    assert written == ["01-first.json", "machine.json"]
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "02-second.json").read_text())["figure"] == 1
    assert answer.stdout.splitlines()[-3:] == [
        "failed: broken: first",
        "parts: 1 ok, 1 failed, 0 not run",
        f"files: {folder}",
    ]


def test_without_time_no_part_is_run_and_all_are_listed(tmp_path: Path) -> None:
    answer = CliRunner().invoke(program.main, ["--device=cpu", f"--output={tmp_path}", "--seconds=0"])
    assert answer.exit_code == 0
    assert f"parts: 0 ok, 0 failed, {len(plan())} not run" in answer.stdout.splitlines()
    assert "\nnot run: no time was left: ceilings-jax, ceilings-torch, train-" in answer.stdout


def test_a_process_ends_with_the_time_of_the_check(tmp_path: Path) -> None:
    start = clock()
    with pytest.raises(OutOfTimeError):
        Check("cpu", tmp_path, start + 0.5).call([sys.executable, "-c", "import time; time.sleep(60)"])
    assert clock() - start < 20


def test_a_run_without_a_result_says_what_it_printed(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Check, "call", lambda *_: ("", "warning\nhepbench: no such thing\n"))
    with pytest.raises(RunFailedError, match=r"^mlpf-jax-float32-cpu-check: no result: hepbench: no such"):
        check.run(Spec("mlpf", "jax", "cpu-check"))


def test_a_run_on_another_device_is_no_result_of_this_check(check: Check) -> None:
    finished(check, spec := Spec("mlpf", "jax", "cpu-check"))
    with pytest.raises(RunFailedError, match="expected it to run on a gpu, got cpu"):
        dataclasses.replace(check, device="gpu").run(spec)


def part(name: str) -> Part:
    (found,) = (one for one in plan() if one.name == name)
    return found


def test_the_score_stands_beside_its_share_of_the_ceiling(check: Check) -> None:
    spec = Spec("mlpf", "jax", "cpu-check")
    run = finished(check, spec)
    rate = run.scores["train"].spread.median * spec.config().operations_per_event()
    check.ceilings["jax"] = {"product": {"float32": 4 * rate}, "copy": 1.0}
    record = part("train-mlpf-jax-float32").work(check)
    assert record["share_of_ceiling"] == pytest.approx(0.25)


def reference(check: Check, monkeypatch: pytest.MonkeyPatch, **values: float) -> None:
    """Lets the references say that seeds are 0.01 apart around the values."""
    figures = {name: {"1": value, "7": value, "2": value + 0.01} for name, value in values.items()}
    file = check.folder / "references.json"
    file.write_text(json.dumps({"mlpf": {"data_sha256": "ab", "figures": figures}}), encoding="utf-8")
    monkeypatch.setattr(parts, "REFERENCES", file)


def test_figures_within_twice_the_spread_of_the_seeds_agree(
    check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = finished(check, Spec("mlpf", "jax", "cpu-check"))
    accuracy = run.quality["accuracy"]
    reference(check, monkeypatch, accuracy=accuracy + 0.019)
    record = part("accuracy-mlpf-jax").work(check)
    assert record["figures"]["accuracy"]["tolerance"] == pytest.approx(0.02)
    reference(check, monkeypatch, accuracy=accuracy + 0.021)
    with pytest.raises(RunFailedError, match=r"accuracy: expected .* within 0\.02, got "):
        part("accuracy-mlpf-jax").work(check)


def test_a_repetition_with_other_weights_fails(check: Check) -> None:
    first = Spec("mlpf", "jax", "cpu-check")
    finished(check, first, weights_sha256="a" * 64)
    finished(check, dataclasses.replace(first, copy=2), weights_sha256="a" * 64)
    assert part("repeat-mlpf-jax").work(check)["seconds_over_usual"] == 1.0
    finished(check, dataclasses.replace(first, copy=2), weights_sha256="b" * 64)
    with pytest.raises(RunFailedError, match="expected the same weights twice, got aaaaaaaaaaaa and bbb"):
        part("repeat-mlpf-jax").work(check)


def test_peaks_stand_beside_what_was_expected(check: Check) -> None:
    with pytest.raises(NotHereError):
        part("peaks").work(check)
    finished(
        check, Spec("mlpf", "jax", "cpu-check"), peak_memory_bytes={"host": 5, "expected": 4, "device": 8}
    )
    record = part("peaks").work(check)
    assert record["above_expected"] == ["mlpf-jax-float32-cpu-check"]
    assert record["runs"]["mlpf-jax-float32-cpu-check"]["ratio"] == 2.0


def gpu_run(**changes: Any) -> RunResult:
    telemetry = {"gpus": [{**GPU, **changes}], "seconds": 20.0}
    return result(telemetry=telemetry, peak_memory_bytes={"host": 1, "expected": 1, "device": 9 * 10**8})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"name": "Another"}, "expected a GPU among Some GPU, got Another"),
        ({"energy_joules": 500.0}, "expected an energy near 1000 J by the power, got 500 J"),
        ({"memory_used_bytes_max": 10**8}, "expected a peak of at most what the driver saw, 0.1 GB, got 0.9"),
        ({"energy_joules": None}, ""),
    ],
)
def test_telemetry_that_contradicts_the_driver_is_a_fault(changes: dict[str, Any], fault: str) -> None:
    assert "; ".join(parts._faults(gpu_run(**changes), {"Some GPU"})) == fault


def test_a_check_of_a_cpu_has_no_telemetry_of_a_gpu(check: Check) -> None:
    with pytest.raises(NotHereError, match="this is a check of a CPU"):
        part("telemetry").work(check)


def test_a_machine_is_called_after_its_gpu_or_its_cpu() -> None:
    cpu = {"gpus": [], "cpu": {"model": "AMD EPYC 7763 (64-Core)"}, "system": {"architecture": "x86_64"}}
    assert machine_name(cpu) == "amd-epyc-7763-64-core"
    assert machine_name(cpu | {"gpus": [{"name": "NVIDIA H100 80GB HBM3"}]}) == "nvidia-h100-80gb-hbm3"
