"""What the entry point makes of a command line and of the machine, before anything starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click
import pytest

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.machine import nvml
from hepscore_adapter.image.entrypoint import parse
from hepscore_adapter.image.plan import Image, Load, plan
from tests.line import register

IMAGE = Image("line", ("eight", "slow"), Path("/data"))
ALL = tuple(sorted(os.sched_getaffinity(0)))


@pytest.fixture(autouse=True)
def line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is a workload, on a machine with four usable cores and no GPU."""
    register(monkeypatch)
    monkeypatch.setattr("hepscore_adapter.image.plan.usable_cores", lambda: 4)
    monkeypatch.setattr(nvml, "visible_handles", dict)


def planned(*arguments: str) -> Load:
    return plan(IMAGE, parse(list(arguments)))


def with_gpus(patch: pytest.MonkeyPatch, count: int) -> None:
    patch.setattr(nvml, "visible_handles", lambda: {index: f"handle {index}" for index in range(count)})
    patch.setattr(nvml, "read", lambda _function, handle: f"GPU-{handle[-1]}")


def test_without_options_one_copy_takes_all_cores_and_the_first_preset() -> None:
    assert planned("-W") == Load(
        arguments=("line", "--preset=eight", "--data=/data/eight", "--threads=4"),
        copies=1,
        threads=4,
        events=None,
        extra_arguments="",
        cores=ALL,
        gpus=(),
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
    asked = planned(*arguments)
    assert (asked.threads, asked.arguments[-1]) == (threads, f"--threads={threads}")


@pytest.mark.parametrize("arguments", [["-c5"], ["-t5"], ["-c2", "-t3"], ["-n8"]])
def test_more_threads_than_cores_are_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    asked = planned(*arguments)
    busy = asked.copies * asked.threads
    assert capsys.readouterr().err == (
        f"hepbench: {busy} threads on 4 usable cores: they get in each other's way\n"
    )


def test_as_many_threads_as_cores_are_nothing_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    planned("-c2", "-t2")
    assert capsys.readouterr().err == ""


def test_copies_are_bound_to_cores_of_their_own() -> None:
    def cores(copies: int, count: int) -> list[tuple[int, ...]]:
        shared = Load((), copies, 1, None, "", tuple(range(count)), ())
        return [shared.cores_of(copy) for copy in range(copies)]

    assert cores(2, 4) == [(0, 1), (2, 3)]
    assert cores(2, 5) == [(0, 1), (2, 3)]
    assert cores(1, 3) == [(0, 1, 2)]
    assert cores(3, 2) == [(0, 1)] * 3  # fewer cores than copies: nobody is bound


def test_ncores_is_what_the_copies_share() -> None:
    assert planned("-n1").cores == ALL[:1]


def test_gpus_are_shared_out_by_identifier(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 5)
    asked = planned("-c2", "--gpus", "2")
    assert [asked.gpus_of(copy) for copy in range(2)] == [("GPU-0", "GPU-1"), ("GPU-2", "GPU-3")]
    assert asked.arguments[-2:] == ("--gpus", "2")
    assert asked.threads == 1  # four cores, four ranks


def test_too_few_gpus_are_a_failed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 3)
    monkeypatch.setattr(nvml, "unavailable", lambda: "")
    with pytest.raises(RunFailedError) as caught:
        planned("-c2", "--gpus", "2")
    assert str(caught.value) == (
        "expected 4 GPU(s), 2 for each of 2, got 3; "
        "start the container with GPUs (docker --gpus all, apptainer --nv) or leave --gpus out"
    )


def test_no_driver_is_the_reason_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "unavailable", lambda: "NVML Shared Library Not Found")
    with pytest.raises(RunFailedError, match=r"got 0 \(NVML Shared Library Not Found\); start"):
        planned("--gpus", "1")


def test_copies_do_not_share_a_gpu_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 1)
    assert planned("-c1").gpus == ()
    with pytest.raises(UsageError) as caught:
        planned("-c2")
    assert str(caught.value) == "2 copies would share a GPU; say with --gpus how many each has to itself"


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
        "--events: expected a batch of 2 or more, got 1 x 1 thread(s); raise --events or lower --batch-size",
    ),
    "a preset that is not in the image": (
        ["--preset", "smoke"],
        "unknown preset 'smoke': expected one of: eight, slow",
    ),
    "a value out of range": (
        ["--epochs", "1001"],
        "epochs (from --epochs): expected a whole number from 2 to 1000, got '1001'",
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


SYNTAX = {
    "an unknown option": (["--bogus"], r"No such option.*--bogus.*"),
    "an unknown short option": (["-W", "-z"], r"No such option.*-z.*"),
    "a word": (["word"], r"Got unexpected extra argument.*word.*"),
    "an unknown option in extra-args": (["-x", "--bogus 1"], r"--extra-args: No such option.*--bogus.*"),
    "an option of the load in extra-args": (
        ["-x", "--copies 2"],
        r"--extra-args: No such option.*--copies.*",
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
