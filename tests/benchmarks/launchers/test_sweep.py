"""One key, several values: what a sweep runs, prints and leaves, in real processes that fit a line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.errors import UsageError
from benchmarks.launchers.sweep import configurations
from tests.command import LINE, environment, hepbench, names, read, refused, run_line, start
from tests.line import configured

FILES = ["line_summary.json", "result.json", "run.log"]


def comparison(stdout: str) -> list[list[str]]:
    """Returns the cells of the table at the end, which begins with an empty line."""
    table = stdout.rpartition("\n\n")[0].rpartition("\n\n")[2]
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]


def test_every_value_gets_a_folder_and_a_column(tmp_path: Path) -> None:
    answer = run_line(tmp_path / "sweep", "--sweep", "seed=3, 4", "--set=validation_events=2")
    assert answer.returncode == 0
    assert names(tmp_path / "sweep") == ["seed-3", "seed-4"]
    for seed in (3, 4):
        assert names(tmp_path / "sweep" / f"seed-{seed}") == FILES
        config = read(tmp_path / "sweep" / f"seed-{seed}" / "result.json")["config"]
        assert (config["seed"], config["validation_events"], config["preset"]) == (seed, 2, "smoke")
    lines = answer.stderr.splitlines()
    assert (lines[0], lines[5]) == ("run 1 of 2: seed=3", "run 2 of 2: seed=4")
    cells = comparison(answer.stdout)
    assert cells[:2] == [["seed=3", "seed=4"], ["status", "ok", "ok"]]
    assert ["loss", "0.0009766 (1.000)", "0.0009766 (1.000)"] in cells
    assert answer.stdout.endswith("\n\nThese settings differ:\n  seed: 3, 4\n")


def test_without_output_the_folder_is_named_after_the_run(tmp_path: Path) -> None:
    answer = hepbench("run", "line", "--sweep=seed=3", "--quiet", program=LINE, cwd=tmp_path)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    (folder,) = (tmp_path / "results").iterdir()
    assert re.fullmatch(r"line-smoke-\d{8}T\d{6}Z", folder.name)
    assert names(folder / "seed-3") == FILES


def test_the_runs_are_started_as_the_sweep_was(tmp_path: Path) -> None:
    """A script starts the sweep with options for the interpreter. The folder and the script are relative."""
    (tmp_path / "script.py").write_text("import tests.line.__main__", encoding="utf-8")
    (tmp_path / "settings.yaml").write_text("validation_events: 2\nseed: 9\n", encoding="utf-8")
    arguments = ["run", "line", "--config=settings.yaml", "--no-xla", "--sweep=seed=3", "--output=out"]
    answer = subprocess.run(
        [sys.executable, "-W", "error", "script.py", *arguments, "--quiet"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment({}),
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    config = read(tmp_path / "out" / "seed-3" / "result.json")["config"]
    assert (config["seed"], config["validation_events"], config["xla"]) == (3, 2, "off")


def test_a_dry_run_shows_every_configuration(tmp_path: Path) -> None:
    arguments = ["run", "line", "--sweep=seed=3,4", "--no-xla", "--dry-run"]
    answer = hepbench(*arguments, program=LINE, cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    first, second = answer.stdout.split("\n\n")
    assert re.search(r"^  seed = 3 +--sweep ", first, re.MULTILINE)
    assert re.search(r"^  seed = 4 +--sweep ", second, re.MULTILINE)
    for shown in (first, second):
        assert re.search(r"^  xla = 'off' +--xla ", shown, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    answer = run_line(tmp_path, "--sweep", "trouble=nan,none")
    assert answer.returncode == 1
    reason = "did not train: the loss is nan from step 1 of epoch 1"
    assert answer.stderr.splitlines()[-1] == f"hepbench: trouble=nan: failed: {reason}"
    assert comparison(answer.stdout)[:2] == [["trouble=nan", "trouble=none"], ["status", "failed", "ok"]]
    assert names(tmp_path / "trouble-nan") == ["result.json", "run.log"]
    assert names(tmp_path / "trouble-none") == FILES


def test_a_run_without_a_result_is_not_given_an_older_one(tmp_path: Path) -> None:
    """The folder of the value holds a good result, and the run does not come as far as its data."""
    older = tmp_path / "data-%2Fnowhere"
    assert run_line(older, "--quiet").returncode == 0
    answer = run_line(tmp_path, "--sweep=data=/nowhere,/", "--force")
    assert answer.returncode == 1
    assert "hepbench: /nowhere has no manifest.json\n" in answer.stderr
    assert answer.stderr.endswith("hepbench: data=/nowhere: failed: no result, exit code 1\n")
    assert comparison(answer.stdout)[:2] == [["data=/nowhere", "data=/"], ["status", "failed", "ok"]]
    assert read(older / "result.json")["status"] == "ok"  # a run that did not begin costs nothing
    assert names(tmp_path) == ["data-%2F", "data-%2Fnowhere"]


def test_a_run_without_data_leaves_a_result_that_says_so(tmp_path: Path) -> None:
    answer = run_line(tmp_path / "sweep", "--sweep=data=/nowhere", "--quiet")
    assert answer.returncode == 1
    reason = "failed: /nowhere has no manifest.json"
    file = tmp_path / "sweep" / "data-%2Fnowhere" / "result.json"
    lines = [f"hepbench: {reason} (see {file})", f"hepbench: data=/nowhere: {reason}"]
    assert answer.stderr.splitlines() == lines
    assert names(file.parent) == ["result.json", "run.log"]


def test_results_are_not_overwritten_without_force(tmp_path: Path) -> None:
    """Every folder is checked before the first run starts."""
    assert run_line(tmp_path / "seed-4", "--set=seed=1").returncode == 0
    line = refused(run_line(tmp_path, "--sweep=seed=3,4"), 2)
    existing = tmp_path / "seed-4" / "result.json"
    assert line == f"{existing} exists; choose another --output or give --force to replace it"
    assert names(tmp_path) == ["seed-4"]
    assert run_line(tmp_path, "--sweep=seed=3,4", "--force").returncode == 0
    assert [read(tmp_path / f"seed-{seed}" / "result.json")["seed"] for seed in (3, 4)] == [3, 4]


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "seed-4").touch()
    line = refused(run_line(tmp_path, "--sweep=seed=3,4"), 2)
    assert line == f"--output {tmp_path / 'seed-4'}: expected a folder to write to, got: File exists"
    assert names(tmp_path) == ["seed-4"]


SEED = "expected a whole number from 0 to 2147483647, got"
WRONG = {
    "no equals sign": (["seed"], [], "--sweep: expected KEY=A,B,..., got 'seed'"),
    "no key": (["=1,2"], [], "--sweep: expected KEY=A,B,..., got '=1,2'"),
    "no value": (["seed="], [], "--sweep: expected KEY=A,B,..., got 'seed='"),
    "an empty value": (["seed=1,,2"], [], "--sweep: expected KEY=A,B,..., got 'seed=1,,2'"),
    "unknown key": (["seeds=1,2"], [], "unknown key 'seeds' in --sweep: did you mean 'seed'?"),
    "out of range": (["seed=1,-2"], [], f"seed (from --sweep): {SEED} '-2'"),
    "keys that do not fit": (
        ["batch_size=1,4"],
        [],
        "batch_size: expected at most the 3 training events, got 4; "
        "lower --batch-size or raise --set train_events",
    ),
    "a value twice": (["seed=1,2,1"], [], "--sweep: expected each value once, got seed=1 and seed=1"),
    "another spelling": (
        ["deterministic=on,true"],
        [],
        "--sweep: expected each value once, got deterministic=on and deterministic=true",
    ),
    "an assignment": (
        ["seed=1,2"],
        ["epochs=3", "seed=1"],
        "seed: --sweep and --set contradict each other; leave one of them out",
    ),
    "two keys": (
        ["seed=1,2", "epochs=2,3"],
        [],
        "--sweep: expected one key, got 2: seed=1,2 epochs=2,3",
    ),
}


@pytest.mark.parametrize(("sweeps", "assignments", "line"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_call_is_told_in_one_line(sweeps: list[str], assignments: list[str], line: str) -> None:
    with pytest.raises(UsageError) as refusal:
        configurations(sweeps, assignments, {}, configured)
    assert str(refusal.value) == line


@pytest.mark.parametrize(
    ("sweep", "flag", "name"),
    [("batch_size=1,2", "--batch-size=1", "--batch-size"), ("xla=on,off", "--no-xla", "--xla")],
)
def test_a_key_is_swept_or_given_as_a_flag(sweep: str, flag: str, name: str, tmp_path: Path) -> None:
    line = refused(run_line(tmp_path / "sweep", "--sweep", sweep, flag), 2)
    key = sweep.partition("=")[0]
    assert line == f"{key}: --sweep and {name} contradict each other; leave one of them out"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tell", [os.kill, os.killpg], ids=["the sweep", "every process"])
@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_a_stopped_sweep_keeps_what_it_has(
    number: int, code: int, reason: str, tell: Callable[[int, int], None], tmp_path: Path
) -> None:
    """A signal goes to the sweep alone, as from kill, or to its run as well, as from a terminal."""
    process = start(
        *("run", "line", "--output", tmp_path, "--sweep=wait=0,0.05,0.06", "--epochs=50"),
        program=LINE,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any(line == "run 2 of 3: wait=0.05\n" for line in lines)
    assert any(line.startswith("epoch 2/50: ") for line in lines)
    tell(process.pid, number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stderr.splitlines()[-3:] == [
        f"hepbench: interrupted: {reason} (see {tmp_path / 'wait-0.05' / 'result.json'})",
        f"hepbench: wait=0.05: interrupted: {reason}",
        "hepbench: wait=0.06: not run",
    ]
    assert "Traceback" not in stderr
    assert comparison(stdout)[:2] == [["wait=0", "wait=0.05"], ["status", "ok", "interrupted"]]
    assert names(tmp_path) == ["wait-0", "wait-0.05"]
    record = read(tmp_path / "wait-0.05" / "result.json")
    assert (record["status"], record["reason"]) == ("interrupted", reason)
    assert 2 <= len(record["epochs"]) < 50
    with pytest.raises(ProcessLookupError):  # nobody is left
        os.killpg(process.pid, 0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_sweep_that_is_stopped_before_a_run_has_events_leaves_nothing(
    number: int, code: int, tmp_path: Path
) -> None:
    process = start(
        *("run", "line", "--output", tmp_path / "sweep", "--sweep=trouble=prepare,none"), program=LINE
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "run 1 of 2: trouble=prepare\n"
    assert process.stderr.readline() == "making events\n"
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (code, "")
    assert stderr.split("\n")[-4:] == [
        "hepbench: interrupted",
        f"hepbench: trouble=prepare: interrupted: no result, exit code {code}",
        "hepbench: trouble=none: not run",
        "",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_killed_does_not_stop_the_others(tmp_path: Path) -> None:
    process = start("run", "line", "--output", tmp_path, "--sweep=trouble=prepare,none", program=LINE)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    assert any(line == "making events\n" for line in lines)
    (run,) = psutil.Process(process.pid).children()
    run.kill()
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert stderr.endswith("hepbench: trouble=prepare: failed: no result, SIGKILL\n")
    assert comparison(stdout)[:2] == [["trouble=prepare", "trouble=none"], ["status", "failed", "ok"]]
    assert names(tmp_path / "trouble-none") == FILES
