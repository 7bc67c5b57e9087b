"""Tests what the entry point plans for a command line and a machine, before anything starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click
import pytest

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.machine import nvml
from benchmarks.machine.topology import ordered_cores
from hepscore_adapter.image.entrypoint import parse
from hepscore_adapter.image.plan import Image, Plan, make_plan
from tests import squares
from tests.line import PRESETS, LineConfig, register

IMAGE = Image("line", ("eight", "slow"), Path("/data"))
ALL = tuple(ordered_cores(os.sched_getaffinity(0)))


@pytest.fixture(autouse=True)
def line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the line a workload, on a machine with four usable cores and no GPU."""
    register(monkeypatch)
    monkeypatch.setattr("hepscore_adapter.image.plan.usable_cores", lambda: 4)
    monkeypatch.setattr(nvml, "assignable_devices", list)


def planned(*arguments: str) -> Plan:
    return make_plan(IMAGE, parse(list(arguments)))


def with_gpus(patch: pytest.MonkeyPatch, count: int) -> None:
    patch.setattr(nvml, "faults", list)
    patch.setattr(nvml, "assignable_devices", lambda: [f"GPU-{index}" for index in range(count)])


def test_without_options_one_copy_takes_all_cores_and_the_first_preset() -> None:
    assert planned("-W") == Plan(
        arguments=("line", "--preset=eight", "--data=/data/eight", "--threads=4"),
        copies=1,
        threads=4,
        events=None,
        extra_arguments="",
        cores=ALL,
        gpus=(),
        mode=None,
    )


def test_every_option_reaches_the_run() -> None:
    options = "--preset slow --epochs 3 --batch-size 2 --precision float64 --seed 5 -t2 -e4 -d"
    assert planned(*options.split()).arguments == (
        *("line", "--preset=slow", "--data=/data/slow", "--epochs=3", "--batch-size=2"),
        *("--precision=float64", "--seed=5", "--threads=2", "--set=train_events=8", "--debug"),
    )


@pytest.mark.parametrize(
    ("arguments", "threads"),
    [
        (["-c2"], 2),
        (["-c3"], 1),
        (["-n2"], 2),
        (["-n3", "-c2"], 1),
        (["-t3"], 3),
        (["-c4", "-t1", "-n4"], 1),
    ],
)
def test_threads_are_the_cores_shared_out(arguments: list[str], threads: int) -> None:
    plan = planned(*arguments)
    assert (plan.threads, plan.arguments[-1]) == (threads, f"--threads={threads}")


@pytest.mark.parametrize("arguments", [["-c5"], ["-t5"], ["-c2", "-t3"], ["-n8"]])
def test_more_threads_than_cores_are_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    plan = planned(*arguments)
    busy = plan.copies * plan.threads
    assert capsys.readouterr().err == (
        f"hepbench: {busy} threads on 4 usable cores: they get in each other's way\n"
    )


def test_as_many_threads_as_cores_are_nothing_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    planned("-c2", "-t2")
    assert capsys.readouterr().err == ""


def test_copies_are_bound_to_cores_of_their_own() -> None:
    def cores(copies: int, count: int) -> list[tuple[int, ...]]:
        plan = Plan((), copies, 1, None, "", tuple(range(count)), (), None)
        return [plan.cores_of(copy) for copy in range(copies)]

    assert cores(2, 4) == [(0, 1), (2, 3)]
    assert cores(2, 5) == [(0, 1), (2, 3)]
    assert cores(1, 3) == [(0, 1, 2)]
    assert cores(3, 2) == [(0, 1)] * 3  # fewer cores than copies: nobody is bound


def test_ncores_is_what_the_copies_share() -> None:
    assert planned("-n1").cores == (min(ALL),)


def test_gpus_are_shared_out_by_identifier(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 5)
    plan = planned("-c2", "--gpus", "2")
    assert [plan.visible_devices(copy) for copy in range(2)] == ["GPU-0,GPU-1", "GPU-2,GPU-3"]
    assert plan.arguments[-2:] == ("--gpus", "2")
    assert plan.threads == 1  # four cores, four ranks


@pytest.mark.parametrize(
    "arguments",
    [
        ["-M", "gpu"],
        ["--mode=gpu"],
        ["--device", "cuda"],
        ["-M", "gpu", "--device", "cuda"],
        ["-x", "-M gpu"],
        ["-x", "--device cuda"],
        ["-M", "gpu", "-x", "--n-gpus 1"],
        ["-x", " --device cuda --n-gpus 1 "],
        ["-M", "gpu", "--gpus", "1"],
    ],
)
def test_the_gpu_mode_is_one_gpu_for_each_copy(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    with_gpus(monkeypatch, 3)
    plan = planned("-c2", *arguments)
    assert (plan.mode, plan.arguments[-2:]) == ("gpu", ("--gpus", "1"))
    assert [plan.visible_devices(copy) for copy in range(2)] == ["GPU-0", "GPU-1"]


@pytest.mark.parametrize(
    ("arguments", "mode"),
    [
        (["--n-gpus", "2"], None),
        (["-x", "--n-gpus 2"], None),
        (["-M", "gpu", "--n-gpus", "2"], "gpu"),
        (["-M", "gpu", "--gpus", "2"], "gpu"),
    ],
)
def test_n_gpus_are_gpus(monkeypatch: pytest.MonkeyPatch, arguments: list[str], mode: str | None) -> None:
    with_gpus(monkeypatch, 3)
    plan = planned(*arguments)
    assert (plan.mode, plan.arguments[-2:], plan.visible_devices(0)) == (mode, ("--gpus", "2"), "GPU-0,GPU-1")


@pytest.mark.parametrize(
    "arguments", [["-M", "cpu"], ["--device", "cpu"], ["-x", "-M cpu"], ["-M", "cpu", "--device", "cpu"]]
)
def test_the_cpu_mode_hides_the_gpus(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Shows that several copies, which would otherwise share a GPU by accident, are then no mistake."""
    with_gpus(monkeypatch, 1)
    plan = planned("-c2", *arguments)
    assert (plan.mode, plan.gpus, plan.visible_devices(0)) == ("cpu", (), "")
    assert not [argument for argument in plan.arguments if argument.startswith("--gpus")]


def test_without_a_mode_a_copy_sees_what_the_image_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    assert (planned().mode, planned().visible_devices(0)) == (None, None)


def test_too_few_gpus_are_a_failed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 3)
    monkeypatch.setattr(nvml, "unavailable", lambda: "")
    with pytest.raises(RunFailedError) as caught:
        planned("-c2", "--gpus", "2")
    assert str(caught.value) == (
        "expected 4 GPU(s), 2 for each of 2, got 3; "
        "start the container with GPUs (docker --gpus all, apptainer --nv) or use --mode cpu"
    )


@pytest.mark.parametrize(
    "arguments", [["--gpus", "1"], ["--n-gpus", "1"], ["-M", "gpu"], ["--device", "cuda"]]
)
def test_no_driver_is_the_reason_that_is_given(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.setattr(nvml, "unavailable", lambda: "NVML Shared Library Not Found")
    with pytest.raises(RunFailedError, match=r"got 0 \(NVML Shared Library Not Found\); start"):
        planned(*arguments)


def test_a_gpu_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    monkeypatch.setattr(nvml, "unavailable", lambda: "")
    monkeypatch.setattr(nvml, "faults", lambda: ["GPU 1: GPU is lost"])
    assert planned("-M", "gpu").gpus == ("GPU-0",)
    with pytest.raises(RunFailedError, match=r"got 1 \(GPU 1: GPU is lost\); start"):
        planned("--n-gpus", "2")


def test_a_mig_slice_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "assignable_devices", lambda: ["MIG-11111111-2222", "MIG-33333333-4444"])
    plan = planned("-M", "gpu", "-c2")
    assert [plan.visible_devices(copy) for copy in range(2)] == ["MIG-11111111-2222", "MIG-33333333-4444"]
    assert plan.arguments[-2:] == ("--gpus", "1")


def test_copies_do_not_share_a_gpu_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    assert planned("-c1").gpus == ()
    with pytest.raises(UsageError) as caught:
        planned("-c2")
    assert str(caught.value) == (
        "2 copies would share a GPU; say with --gpus how many each has to itself, "
        "or hide the GPUs with --mode cpu"
    )


USAGE = {
    "threads beyond ncores": (
        ["-n2", "-c1", "-t3"],
        "--ncores 2: expected at least copies x threads = 3; lower --copies or --threads",
    ),
    "copies beyond ncores": (
        ["-n2", "-c3"],
        "--ncores 2: expected at least copies x threads = 3; lower --copies or --threads",
    ),
    "more events than there are": (
        ["-t2", "-e5"],
        "--events: expected at most 4 for 2 thread(s), because the preset has 8 training events, got 5",
    ),
    "less than a batch": (
        ["-t1", "-e1"],
        "--events: expected at least 1 step(s) of 2 events, got 1 x 1 thread(s); "
        "raise --events or lower --batch-size",
    ),
    "a preset that is not in the image": (
        ["--preset", "smoke"],
        "unknown preset 'smoke': expected one of: eight, slow",
    ),
    "a value out of range": (
        ["--epochs", "1001"],
        "epochs (from --epochs): expected a whole number from 2 to 1000, got '1001'",
    ),
    "gpus and n-gpus": (
        ["--gpus", "2", "--n-gpus", "2"],
        "--gpus 2 and --n-gpus 2 mean the same; leave one of them out",
    ),
    "gpus and n-gpus in extra-args": (
        ["--gpus", "1", "-x", "--n-gpus 2"],
        "--gpus 1 and --n-gpus 2 mean the same; leave one of them out",
    ),
    "a number of GPUs without GPUs": (
        ["-M", "cpu", "--gpus", "1"],
        "--mode cpu and --gpus 1 contradict each other; leave one of them out",
    ),
    "a number of GPUs without GPUs in extra-args": (
        ["-M", "cpu", "-x", "--n-gpus 1"],
        "--mode cpu and --n-gpus 1 contradict each other; leave one of them out",
    ),
    "a number of GPUs on the device cpu": (
        ["-x", "--device cpu --n-gpus 1"],
        "--device cpu and --n-gpus 1 contradict each other; leave one of them out",
    ),
    "two modes": (
        ["-M", "gpu", "--device", "cpu"],
        "--mode gpu and --device cpu contradict each other; leave one of them out",
    ),
    "a precision that is none": (
        ["-x", "--precision int8"],
        "precision (from --precision): expected one of float32, float64, mixed_bfloat16, mixed_float16, "
        "got 'int8'",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), USAGE.values(), ids=USAGE)
def test_what_cannot_be_run_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        planned(*arguments)
    assert str(caught.value) == message


def test_events_that_make_too_few_steps_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of two events take six. Two threads have six with three events each and four with two."""
    monkeypatch.setitem(PRESETS, "eight", LineConfig(train_events=8, min_steps=3))
    assert "--set=train_events=6" in planned("-t2", "-e3").arguments
    with pytest.raises(UsageError, match=r"^--events: expected at least 3 step\(s\) of 2 events, got 2 x 2 "):
        planned("-t2", "-e2")


SYNTAX = {
    "an unknown option": (["--bogus"], r"No such option.*--bogus.*"),
    "an unknown short option": (["-W", "-z"], r"No such option.*-z.*"),
    "a word": (["word"], r"Got unexpected extra argument.*word.*"),
    "an unknown option in extra-args": (["-x", "--bogus 1"], r"--extra-args: No such option.*--bogus.*"),
    "an option of the load in extra-args": (
        ["-x", "--copies 2"],
        r"--extra-args: No such option.*--copies.*",
    ),
    "a mode that is none": (["-M", "tpu"], r".*'-M' / '--mode'.*tpu.*"),
    "a device that is none": (["-x", "--device cuda:0"], r"--extra-args: .*'--device'.*cuda:0.*"),
    "no GPU of several": (["--n-gpus", "0"], r".*'--n-gpus'.*0.*"),
    "a mode twice": (
        ["-M", "gpu", "-x", "-M gpu"],
        "--mode: expected once, got it on the command line and in --extra-args",
    ),
    "no folder behind -w": (["-w", "", "-W"], r"--resultsdir: expected a folder, got -W"),
    "an option twice": (
        ["--seed", "1", "-x", "--seed 1"],
        "--seed: expected once, got it on the command line and in --extra-args",
    ),
    "bytes that are no text": (["-x", "\udcff"], r"--extra-args: expected printable text, got '\\udcff'"),
}


@pytest.mark.parametrize(("arguments", "message"), SYNTAX.values(), ids=SYNTAX)
def test_a_line_that_is_not_understood_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(click.ClickException) as caught:
        parse(arguments)
    assert re.fullmatch(message, caught.value.format_message())  # the other words are those of click


@pytest.mark.parametrize("position", range(5))
def test_empty_arguments_are_nothing(position: int) -> None:
    line = ["-W", "--ncores", "4", "-c1"]
    assert parse([*line[:position], "", *line[position:]]) == parse(line)


def test_an_empty_extra_args_does_not_take_the_next_option_for_its_value() -> None:
    assert parse(["--extra-args", "", "-W"]) == parse(["-W"])
    assert parse(["-x", "  ", "-W"]) == parse(["-W"])


def test_options_in_extra_args_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    options = parse(["-x", " --batch-size 4 n --gpus 2 a=b "])
    assert (options["batch_size"], options["gpus"]) == ("4", 2)
    assert options["extra_args"] == "--batch-size 4 n --gpus 2 a=b"
    assert capsys.readouterr().err == "hepbench: --extra-args: no option, only written down: n a=b\n"


def test_an_image_says_what_is_in_it() -> None:
    environment: dict[str, Any] = {"HEPBENCH_WORKLOAD": "line", "HEPBENCH_PRESETS": "eight slow"}
    assert Image.from_environment(environment) == IMAGE
    with pytest.raises(UsageError) as caught:
        Image.from_environment({})
    assert str(caught.value) == (
        "expected HEPBENCH_WORKLOAD and HEPBENCH_PRESETS in the environment, which the images set; "
        "outside of an image use `hepbench run`"
    )


def planned_kernel(*arguments: str) -> Plan:
    return make_plan(Image("squares", ("smoke",), Path("/data")), parse(list(arguments)))


@pytest.fixture
def _squares(monkeypatch: pytest.MonkeyPatch) -> None:
    squares.register(monkeypatch)


@pytest.mark.usefixtures("_squares")
def test_a_kernel_takes_the_options_that_are_not_of_trainings() -> None:
    plan = planned_kernel("-W", "--copies", "2", "--seed", "5", "--extra-args", "words --precision float64")
    assert plan.arguments == (
        *("squares", "--preset=smoke", "--data=/data/smoke", "--precision=float64", "--seed=5"),
        "--threads=2",
    )
    assert plan.copies == 2


@pytest.mark.usefixtures("_squares")
@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--events"])
def test_a_kernel_refuses_an_option_of_trainings(option: str) -> None:
    with pytest.raises(UsageError) as refusal:
        planned_kernel(option, "2")
    assert str(refusal.value) == f"{option}: expected a training, got squares, whose kind is numerical kernel"


@pytest.mark.usefixtures("_squares")
def test_a_kernel_has_ranks_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 2)
    assert planned_kernel("--gpus", "2").arguments[-2:] == ("--gpus", "2")
