"""Checks what hep-score expects of an image, whatever starts it: a process, docker, apptainer.

A case takes a ``Launcher`` and a new folder. The launcher says how the entry point is started and what a
small run is. ``tests/hepscore_adapter/image/test_conformance.py`` starts it as a process.
"""

from __future__ import annotations

import json
import re
import signal
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hepscore_adapter.validate import validate_summary
from tests.command import until

SCORES = {"training": {"train", "infer"}, "numerical kernel": {"evaluations", "node"}}
TREE = [
    "archive_processes_logs.tgz",
    "inputs.log",
    "parser_output.json",
    "proc_1",
    "result.json",
    "version.json",
]


@dataclass(frozen=True)
class Outcome:
    """A run that ended: exit code, standard output and error."""

    code: int
    stdout: bytes
    stderr: bytes

    def text(self) -> str:
        """Returns both streams as text, like hep-score, which dies of a byte that is not UTF-8."""
        return (self.stdout + self.stderr).decode("utf-8")


class Running(Protocol):
    """A run that has been started."""

    def signal(self, number: int) -> None:
        """Sends a signal as the engine does."""

    def finish(self, timeout: float) -> Outcome:
        """Waits for its end."""


class Launcher(Protocol):
    """How an entry point is started.

    Attributes:
        workload: Name of the workload of the image.
        small: Arguments of a run that takes as little time as can be.
        long: Arguments of a run that takes at least half a minute.
        events: Half of the events that a training needs at least, in batches of two.
    """

    workload: str
    small: tuple[str, ...]
    long: tuple[str, ...]
    events: int

    def start(self, *arguments: str, results: Path) -> Running:
        """Starts it with ``results`` as its results folder."""

    def inside(self, results: Path) -> str:
        """Returns the path that the results folder has for the entry point."""


Case = Callable[[Launcher, Path], None]


def run(launch: Launcher, results: Path, *arguments: str) -> Outcome:
    """Runs the entry point to its end."""
    return launch.start(*arguments, results=results).finish(600)


def scored(launch: Launcher, results: Path, *arguments: str) -> dict[str, Any]:
    """Returns the summary of a small run that ends well."""
    outcome = run(launch, results, *launch.small, *arguments)
    assert outcome.code == 0, outcome.text()
    return the_summary(launch, results)


def the_summary(launch: Launcher, results: Path) -> dict[str, Any]:
    """Returns the one summary in ``results`` after checking all that hep-score needs (C1, C10, C11, C12)."""
    assert summaries(results) == [f"{launch.workload}_summary.json"]
    text = (results / summaries(results)[0]).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text, parse_constant=_refuse)
    validate_summary(content)
    report, scores = content["report"], SCORES[content["run_info"]["kind"]]
    assert set(report["wl-scores"]) == scores
    assert all(type(score) is float and score > 0 for score in report["wl-scores"].values())
    assert (set(report["wl-stats"]) > scores, report["log"]) == (True, "ok")
    return content


def _refuse(constant: str) -> None:
    raise AssertionError(f"not strict JSON: {constant}")


def summaries(results: Path) -> list[str]:
    """Returns the names of the summaries that hep-score could find."""
    return sorted(path.name for path in results.glob("*_summary.json"))


def failed(launch: Launcher, results: Path, *arguments: str) -> Outcome:
    """Runs the entry point to its failure, which leaves no summary and prints a line and no traceback."""
    outcome = run(launch, results, *arguments)
    assert outcome.code != 0
    assert not results.exists() or summaries(results) == []
    assert "hepbench: " in outcome.text()
    assert "Traceback" not in outcome.text()
    return outcome


def c1_the_default_load(launch: Launcher, folder: Path) -> None:
    info = scored(launch, folder, "-W")["run_info"]
    assert (info["copies"], info["extra_arguments"]) == (1, "")
    assert [path.name for path in sorted(folder.iterdir())] == sorted(
        [*TREE, f"{launch.workload}_summary.json"]
    )


def c2_long_and_glued_options_are_echoed(launch: Launcher, folder: Path) -> None:
    count = launch.events
    for number, load in enumerate(
        (["--copies", "1", "--threads", "2", "--events", str(count)], ["-c1", "-t2", f"-e{count}"])
    ):
        results = folder / str(number)
        results.mkdir()
        info = scored(launch, results, "-W", "--batch-size", "2", *load)["run_info"]
        sizes = [info[key] for key in ("copies", "threads_per_copy", "events_per_thread", "events_per_epoch")]
        assert sizes == [1, 2, count, 2 * count]
        inputs = (results / "inputs.log").read_text(encoding="utf-8")
        assert inputs == f"NCOPIES=1\nNTHREADS=2\nNEVENTS_THREAD={count}\nEXTRA_ARGS=\n"


def c3_results_below_the_folder_or_in_a_new_one(launch: Launcher, folder: Path) -> None:
    parent, empty = folder / "parent", folder / "empty"
    for results in (parent, empty):
        results.mkdir()
    assert run(launch, parent, *launch.small).code == 0
    assert summaries(parent) == []
    [subfolder] = parent.iterdir()
    the_summary(launch, subfolder)
    assert run(launch, empty, *launch.small, "-W", "-w", f"{launch.inside(empty)}/x/y").code == 0
    the_summary(launch, empty / "x" / "y")


def c4_mop_removes_the_working_files_only(launch: Launcher, folder: Path) -> None:
    for mop, folders in {"none": True, "all": False}.items():
        results = folder / mop
        results.mkdir()
        scored(launch, results, "-W", "--mop", mop)
        assert (results / "proc_1").exists() == folders
        with tarfile.open(results / "archive_processes_logs.tgz") as archive:
            assert {"proc_1/out_1.log", "proc_1/run.log", "proc_1/result.json"} <= set(archive.getnames())


def c5_ncores_and_empty_arguments(launch: Launcher, folder: Path) -> None:
    events = str(2 * launch.events)
    info = scored(launch, folder, "", "-W", "", "--ncores", "", "1", "", "--events", events)["run_info"]
    assert (info["copies"], info["threads_per_copy"]) == (1, 1)


def c6_extra_arguments_are_trimmed_parsed_and_echoed(launch: Launcher, folder: Path) -> None:
    text = 'a b=c 0.001 /x,y $HOME `id` "quoted" it\'s --seed 11'
    info = scored(launch, folder, "-W", "--extra-args", f"  {text} ")["run_info"]
    assert (info["extra_arguments"], info["seed"]) == (text, 11)


def c7_what_is_not_understood_is_refused(launch: Launcher, folder: Path) -> None:
    wrong = (
        ["--bogus"],
        ["--bogus=1"],
        ["-z"],
        ["word"],
        ["--copies", "0"],
        ["-c1x"],
        ["--threads", "-1"],
        ["--events", "1.5"],
        ["--events"],
        ["--mop", "some"],
        ["--preset", "bogus"],
        ["--epochs", "1"],
        ["--extra-args", "--bogus 1"],
        ["-M", "tpu"],
        ["--gpus", "1", "--n-gpus", "1"],
        ["-M", "cpu", "--gpus", "1"],
        ["-M", "cpu", "--extra-args", "--n-gpus 1"],
        ["-M", "gpu", "--extra-args", "--device cpu"],
    )
    for number, arguments in enumerate(wrong):
        results = folder / str(number)
        results.mkdir()
        outcome = failed(launch, results, "-W", *arguments)
        assert (outcome.code, outcome.stdout) == (2, b""), arguments
        messages = [line for line in outcome.text().splitlines() if line.startswith("hepbench: ")]
        assert len(messages) == 1, arguments


def c8_an_old_summary_never_survives_a_failure(launch: Launcher, folder: Path) -> None:
    scored(launch, folder, "-W")
    assert failed(launch, folder, "-W", *launch.long, "--timeout", "1").code == 124


def c8_an_old_summary_is_replaced(launch: Launcher, folder: Path) -> None:
    first = scored(launch, folder, "-W")
    second = scored(launch, folder, "-W")  # the same folder again
    assert first["run_info"] == second["run_info"]


def c9_no_falling_back_to_the_cpu(launch: Launcher, folder: Path) -> None:
    """Shows it on any machine with fewer GPUs than this."""
    calls = (
        ["--gpus", "1000"],
        ["-M", "gpu", "--extra-args", " --n-gpus 1000 "],
        ["--device=cuda", "--n-gpus=1000"],
    )
    for number, arguments in enumerate(calls):
        results = folder / str(number)
        results.mkdir()
        outcome = failed(launch, results, "-W", *launch.small, *arguments)
        assert outcome.code == 1, arguments
        assert "expected 1000 GPU(s)" in outcome.text()


def c9_the_cpu_mode_runs_on_the_cpu(launch: Launcher, folder: Path) -> None:
    scored(launch, folder, "-W", "-M", "cpu")
    assert _result(folder)["telemetry"]["gpus"] == []


def c18_a_signal_ends_it(launch: Launcher, folder: Path) -> None:
    for number, code in {signal.SIGTERM: 143, signal.SIGINT: 130}.items():
        results = folder / str(int(number))
        results.mkdir()
        running = launch.start("-W", *launch.long, results=results)
        until(lambda: any(results.glob("proc_1/run.log")))  # noqa: B023 (called at once)
        running.signal(number)
        outcome = running.finish(60)
        assert outcome.code == code, outcome.text()
        assert summaries(results) == []


def c18_two_at_once(launch: Launcher, folder: Path) -> None:
    folders = [folder / name for name in ("one", "two")]
    for results in folders:
        results.mkdir()
    runs = [launch.start("-W", *launch.small, results=results) for results in folders]
    for running, results in zip(runs, folders, strict=True):
        assert running.finish(600).code == 0
        the_summary(launch, results)


def c19_copies_add_up(launch: Launcher, folder: Path) -> None:
    events = str(2 * launch.events)
    content = scored(launch, folder, "-W", "--copies", "2", "--threads", "1", "--events", events)
    report = content["report"]
    medians = [
        _result(folder / f"proc_{number}")["training"]["events_per_second"]["median"] for number in (1, 2)
    ]
    assert (content["run_info"]["copies"], len(report["copies"])) == (2, 2)
    assert abs(report["wl-scores"]["train"] - sum(medians)) <= 1e-9 * sum(medians)
    assert (report["wl-stats"]["train"]["count"], report["wl-stats"]["train"]["max"]) == (2, max(medians))
    assert 0 <= report["overlap"] <= 1


def _result(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return content


CASES: list[Case] = [case for name, case in globals().items() if re.match(r"c\d+_", name)]
# A kernel has neither events of a thread nor epochs.
CASES_OF_KERNELS = [
    case
    for case in CASES
    if case
    not in (
        c2_long_and_glued_options_are_echoed,
        c5_ncores_and_empty_arguments,
        c19_copies_add_up,
    )
]
