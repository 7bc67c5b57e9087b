"""The commands that answer at once, and every wrong call: one line, exit code 2, nothing written."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.files import write_json
from benchmarks.workload import REGISTRY
from benchmarks.workloads.mlpf.config import PRESETS
from tests.command import ROOT, command, environment, hepbench, refused
from tests.results import epoch, result

AT_ONCE = {
    "version": ["--version"],
    "help": ["--help"],
    "list": ["list"],
    "show": ["show", "mlpf", "--set", "seed=3"],
    "dry run": ["run", "mlpf", "--dry-run"],
}


@pytest.mark.parametrize("arguments", AT_ONCE.values(), ids=AT_ONCE.keys())
def test_it_answers_at_once(arguments: list[str]) -> None:
    """The best of five counts, because tests share the machine. CPU time includes the start of Python."""
    seconds = []
    for _ in range(5):
        process = subprocess.Popen(
            command(*arguments), cwd=ROOT, env=environment({}), stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        seconds.append(usage.ru_utime + usage.ru_stime)
    assert min(seconds) < 0.5


# It tries the frameworks in processes of their own, which takes seconds.
UNLOADED = {**AT_ONCE, "doctor": ["doctor"]}


@pytest.mark.parametrize("arguments", UNLOADED.values(), ids=UNLOADED.keys())
def test_it_loads_no_framework(arguments: list[str]) -> None:
    code = (
        "import atexit, sys; from benchmarks.cli import main;"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'horovod', 'matplotlib', 'pythia8mc'};"
        "atexit.register(lambda: print('loaded', sorted(heavy & sys.modules.keys())));"
        f"sys.argv = ['hepbench', *{arguments}]; main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment({}),
    )
    assert answer.stdout.splitlines()[-1] == "loaded []"
    assert len(answer.stdout.splitlines()) > 1


def test_the_version_is_the_distribution_s() -> None:
    assert hepbench("--version").stdout.split()[-1] == importlib.metadata.version("hepbench")


def test_the_list_has_each_workload_with_its_presets() -> None:
    lines = hepbench("list").stdout.splitlines()
    assert lines[0].startswith("mlpf: MLPF particle-flow reconstruction")
    assert lines[1].strip() == "presets: " + ", ".join(PRESETS)


def test_show_lays_flags_over_assignments_over_a_file_over_a_preset(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("epochs: 7\nbatch_size: 7\nseed: 7\n", encoding="utf-8")
    answer = hepbench(
        *("show", "mlpf", "--preset", "hepscore", "--config", file),
        *("--set", "epochs=8", "--set", "batch_size=8", "--epochs", "9", "--no-xla", "--deterministic"),
    )
    lines = answer.stdout.splitlines()
    assert answer.returncode == 0
    assert lines[0] == "mlpf, preset hepscore"
    values = {line.split(" = ")[0].strip(): line.split(" = ")[1] for line in lines[1:-1]}
    for key, value, origin in (
        ("train_events", "5120", "preset hepscore"),
        ("seed", "7", str(file)),
        ("batch_size", "8", "--set"),
        ("epochs", "9", "--epochs"),
        ("xla", "'off'", "--xla"),
        ("deterministic", "'on'", "--deterministic"),
    ):
        assert values[key].startswith(value + " "), key
        assert values[key].removeprefix(value).lstrip().startswith(origin + " "), key


def test_a_dry_run_shows_what_show_shows_and_writes_nothing(tmp_path: Path) -> None:
    settings = ["mlpf", "--preset", "smoke", "--batch-size", "3"]
    dry = hepbench("run", *settings, "--dry-run", "--output", tmp_path / "run", cwd=tmp_path)
    assert (dry.returncode, dry.stderr) == (0, "")
    assert dry.stdout == hepbench("show", *settings).stdout
    assert list(tmp_path.iterdir()) == []


WRONG = {
    "workload": (["run", "mlfp"], "unknown workload 'mlfp': did you mean 'mlpf'?"),
    "no workload": (["run"], "Missing argument 'WORKLOAD'."),
    "preset": (["run", "mlpf", "--preset", "smok"], "unknown preset 'smok': did you mean 'smoke'?"),
    "key": (["run", "mlpf", "--set", "epoch=3"], "unknown key 'epoch' in --set: did you mean 'epochs'?"),
    "no equals sign": (["run", "mlpf", "--set", "epochs"], "--set: expected KEY=VALUE, got 'epochs'"),
    "flag": (["run", "mlpf", "--epoch", "3"], "No such option '--epoch'. Did you mean '--epochs'?"),
    "zero epochs": (
        ["run", "mlpf", "--epochs", "0"],
        "epochs (from --epochs): expected a whole number from 2 to 100000, got '0'",
    ),
    "negative epochs": (
        ["run", "mlpf", "--epochs", "-1"],
        "epochs (from --epochs): expected a whole number from 2 to 100000, got '-1'",
    ),
    "batch of no number": (
        ["run", "mlpf", "--batch-size", "big"],
        "batch_size (from --batch-size): expected a whole number from 1 to 65536, got 'big'",
    ),
    "batch larger than the data": (
        ["run", "mlpf", "--batch-size", "65"],
        "batch_size: expected at most the 64 training events, got 65; "
        "lower --batch-size or raise --set train_events",
    ),
    "precision": (
        ["run", "mlpf", "--precision", "int8"],
        "precision (from --precision): expected one of float32, float64, mixed_bfloat16, mixed_float16, "
        "got 'int8'",
    ),
    "missing file": (
        ["run", "mlpf", "--config", "none.yaml"],
        "--config none.yaml: expected a readable YAML file, got: "
        "[Errno 2] No such file or directory: 'none.yaml'",
    ),
    "file that is a folder": (
        ["run", "mlpf", "--config", "."],
        "Invalid value for '--config': File '.' is a directory.",
    ),
    "show": (
        ["show", "mlpf", "--seed", "-1"],
        "seed (from --seed): expected a whole number from 0 to 2147483647, got '-1'",
    ),
    "generate": (
        ["data", "generate", "gnn"],
        f"unknown workload 'gnn': expected one of: {', '.join(sorted(REGISTRY))}",
    ),
    "source": (
        ["data", "fetch", "cms", "--output", "x"],
        "Invalid value for '{delphes}': 'cms' is not 'delphes'.",
    ),
    "command": (["rum", "mlpf"], "No such command 'rum'. Did you mean 'run'?"),
    "report of nothing": (
        ["report", "none.json"],
        "Invalid value for 'RESULTS...': Path 'none.json' does not exist.",
    ),
    "report of no result": (["report", "."], "[Errno 2] No such file or directory: 'result.json'"),
}


@pytest.mark.parametrize(("arguments", "line"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_call_is_told_in_one_line(arguments: list[str], line: str, tmp_path: Path) -> None:
    output = ["--output", "run"] if arguments[0] == "run" else []
    assert refused(hepbench(*arguments, *output, cwd=tmp_path), 2) == line
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_backend_is_told_in_one_line(tmp_path: Path) -> None:
    answer = hepbench("run", "mlpf", "--output", "run", cwd=tmp_path, env={"KERAS_BACKEND": "abacus"})
    line = refused(answer, 2)
    assert line.startswith("backend (from KERAS_BACKEND): expected one of tensorflow, jax, torch, got ")
    assert line.endswith("'abacus'")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_framework_is_told_in_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['tensorflow'] = None; from benchmarks.cli import main;"
        "sys.argv = ['hepbench', 'run', 'mlpf', '--output', 'run']; main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment({})
    )
    line = refused(answer, 2)
    assert line.startswith("tensorflow cannot be imported (")
    assert line.endswith("; install it with pip install '.[cpu]' or '.[gpu]'")
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_there_is_help() -> None:
    answer = hepbench()
    assert answer.returncode == 2
    assert answer.stderr.startswith("Usage: ")
    assert "doctor" in answer.stderr


def test_a_report_reads_files_and_folders(tmp_path: Path) -> None:
    write_json(tmp_path / "result.json", result().to_dict())
    one = hepbench("report", tmp_path)
    assert (one.returncode, one.stderr) == (0, "")
    assert one.stdout.startswith(f"{tmp_path}: mlpf, preset small, seed 7, ok\n")
    two = hepbench("report", tmp_path, tmp_path / "result.json")
    assert two.stdout == f"{one.stdout}\n{one.stdout}"


def test_a_comparison_fails_below_its_bound(tmp_path: Path) -> None:
    for name, seconds in (("fast", 10.0), ("slow", 20.0)):
        epochs = (epoch(0, 100, warmup=True), *(epoch(index, 100, seconds) for index in (1, 2, 3)))
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "result.json", result(epochs=epochs).to_dict())
    call = ("compare", tmp_path / "fast", tmp_path / "slow")
    shown = hepbench(*call)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "slower" in shown.stdout
    failed = hepbench(*call, "--fail-below", "0.6")
    assert (failed.returncode, failed.stdout) == (1, shown.stdout)
    medians = "(5 events/s for 10)"
    expected = f"{tmp_path / 'slow'}: train is 0.500 of {tmp_path / 'fast'}'s {medians}, below 0.6"
    assert failed.stderr == f"hepbench: {expected}\n"
    assert hepbench(*call, "--fail-below", "0.4").returncode == 0


def test_a_report_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("[]", encoding="utf-8")
    line = refused(hepbench("report", tmp_path), 2)
    assert line == f"{tmp_path / 'result.json'}: expected a JSON object, got list"


def test_verify_counts_the_events_of_a_data_set(mlpf_data: Path) -> None:
    answer = hepbench("data", "verify", mlpf_data)
    lines = answer.stdout.splitlines()
    assert (answer.returncode, lines[:2]) == (0, ["train: 8 events", "validation: 4 events"])
    assert len(lines[2].removeprefix("sha256 ")) == 64


def test_verify_of_no_data_set_is_a_failure(tmp_path: Path) -> None:
    line = refused(hepbench("data", "verify", tmp_path / "none"), 1)
    assert line == (
        f"{tmp_path / 'none'} has no manifest.json: there is no such folder; generate or import it again"
    )


def test_a_data_set_is_not_generated_over_another(mlpf_data: Path) -> None:
    before = (mlpf_data / "manifest.json").read_bytes()
    answer = hepbench("data", "generate", "mlpf", "--output", mlpf_data)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[1:] == [
        f"hepbench: {mlpf_data} exists already; remove it or choose another folder"
    ]
    assert (mlpf_data / "manifest.json").read_bytes() == before


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    answer = hepbench("list", capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (answer.returncode, answer.stderr) == (1, "")
