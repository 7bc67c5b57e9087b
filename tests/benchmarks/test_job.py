"""What a run leaves on the disk and on the terminal, however it ends.

The command line is the real one; the workload is the line of ``tests.line``, which takes no time.
``workloads/mlpf/test_runs.py`` does the same with the real one.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from hepscore_adapter.validate import validate_summary
from tests.command import LINE, environment, hepbench, names, read, refused, run_line, start, until

PLAIN = r"epoch {}/3{}: \d+\.\d\d s, \d+\.\d+ events/s, loss {}, validation loss {}, input wait \d+\.\d %"


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Returns a folder with the result and the summary of a run with seed 1."""
    assert run_line(tmp_path / "run").returncode == 0
    return tmp_path / "run"


def test_a_run_leaves_result_summary_and_log(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    answer = run_line(folder)
    assert answer.returncode == 0
    assert names(folder) == ["line_summary.json", "result.json", "run.log"]
    result, summary = read(folder / "result.json"), read(folder / "line_summary.json")
    assert result["status"] == "ok"
    assert [epoch["loss"] for epoch in result["epochs"]] == [3, 0.1875, 0.01171875]
    validate_summary(summary)
    assert summary["report"]["wl-scores"]["train"] == result["training"]["events_per_second"]["median"]
    log = (folder / "run.log").read_text(encoding="utf-8")
    assert "configuration: {'workload': 'line'" in log
    assert "status: ok" in log


def test_without_a_terminal_there_are_plain_lines_and_a_table(tmp_path: Path) -> None:
    answer = run_line(tmp_path)
    lines = answer.stderr.splitlines()
    assert re.fullmatch(PLAIN.format(1, r" \(warm-up\)", "3", "0.25"), lines[0])
    assert re.fullmatch(PLAIN.format(2, "", "0.1875", "0.015625"), lines[1])
    assert re.fullmatch(PLAIN.format(3, "", "0.011719", "0.00097656"), lines[2])
    assert lines[3:] == ["measuring inference"]
    assert answer.stdout.startswith(f"{tmp_path}: line, preset smoke, seed 1, ok\n")
    assert answer.stdout.endswith(
        f"\n\nresult:  {tmp_path / 'result.json'}\nsummary: {tmp_path / 'line_summary.json'}\n"
    )
    assert "\r" not in answer.stderr
    assert "\x1b" not in answer.stderr + answer.stdout


def test_quiet_says_nothing(tmp_path: Path) -> None:
    answer = run_line(tmp_path, "--quiet")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert (tmp_path / "line_summary.json").exists()


def test_quiet_says_why_a_run_failed(tmp_path: Path) -> None:
    line = refused(run_line(tmp_path, "--quiet", "--set", "trouble=nan"), 1)
    assert line == (
        f"failed: did not train: the loss is nan from step 1 of epoch 1 (see {tmp_path / 'result.json'})"
    )


def test_a_terminal_gets_a_bar_with_rate_and_loss(tmp_path: Path) -> None:
    terminal, terminal_of_run = pty.openpty()
    fcntl.ioctl(terminal_of_run, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    settings = ["epochs=2", "train_events=6", "validation_events=1", "wait=0.4"]
    process = start(
        *("run", "line", "--output", tmp_path, *(f"--set={item}" for item in settings)),
        program=LINE,
        stderr=terminal_of_run,
        stdout=subprocess.DEVNULL,
        env={"TERM": "xterm"},
    )
    os.close(terminal_of_run)
    output = b""
    while True:
        try:
            output += os.read(terminal, 4096)
        except OSError:  # how Linux says that the other end is closed
            break
    os.close(terminal)
    assert process.wait() == 0
    text = output.decode()
    # Three steps of two events in 1.2 s; once a second, so at the last step, or at the one before.
    assert re.search(r"epoch 1/2  \[#+-*\] .*\d\.\d events/s, loss (1|0\.25)\x1b", text)
    assert re.search(r"epoch 2/2  \[#+-*\] .*\d\.\d events/s, loss 0\.0(1562|0390)", text)
    assert "measuring inference" in text


def test_a_result_is_not_overwritten(older: Path) -> None:
    before = {path.name: path.read_bytes() for path in older.iterdir()}
    line = refused(run_line(older, "--seed", "2"), 2)
    assert line == f"{older / 'result.json'} exists; choose another --output or give --force to replace it"
    assert {path.name: path.read_bytes() for path in older.iterdir()} == before


def test_a_summary_alone_is_not_overwritten_either(older: Path) -> None:
    (older / "result.json").unlink()
    line = refused(run_line(older, "--seed", "2"), 2)
    assert line.startswith(f"{older / 'line_summary.json'} exists; ")


def test_force_replaces_the_result(older: Path) -> None:
    assert run_line(older, "--seed", "2", "--force").returncode == 0
    assert read(older / "result.json")["seed"] == 2
    summary = read(older / "line_summary.json")
    assert summary["run_info"]["seed"] == 2
    assert names(older) == ["line_summary.json", "result.json", "run.log"]


def test_an_older_result_does_not_pass_for_that_of_a_run_that_was_killed(older: Path) -> None:
    run = start("run", "line", "--preset", "slow", "--output", older, "--force", program=LINE)
    until(lambda: not (older / "line_summary.json").exists())
    run.kill()
    run.communicate()
    result = read(older / "result.json")
    assert (result["status"], result["epochs"]) == ("failed", [])
    assert result["reason"].startswith("killed before it ended")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["trouble=nan"], "did not train: the loss is nan from step 1 of epoch 1"),
        (["epochs=2", "min_accuracy=1"], "did not train: accuracy: expected at least 1.0, got 0.0"),
        (["trouble=reader"], "unexpected OSError: [Errno 5] Input/output error"),
        (
            ["trouble=memory", "event_bytes=1000000"],
            "does not fit: batch_size 2 in float32 is expected to take 0.0 GB; MemoryError; "
            "lower --batch-size",
        ),
    ],
    ids=["nan", "floor", "reader", "memory"],
)
def test_a_failed_run_has_a_reason_and_no_score(settings: list[str], reason: str, older: Path) -> None:
    """The summary of the run before is gone, because hep-score would take it for that of this run."""
    answer = run_line(older, "--force", *(f"--set={item}" for item in settings))
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == f"hepbench: failed: {reason} (see {older / 'result.json'})"
    assert "Traceback" not in answer.stderr
    assert names(older) == ["result.json", "run.log"]
    record = read(older / "result.json")
    assert (record["status"], record["reason"]) == ("failed", reason)
    assert record["epochs"][0]["loss"] == 3
    assert answer.stdout.startswith(f"{older}: line, preset smoke, seed 1, failed: {reason}\n")


def test_a_wrong_call_costs_no_result_even_with_force(older: Path) -> None:
    before = {name: (older / name).read_bytes() for name in ("result.json", "line_summary.json")}
    answer = run_line(older, "--force", env={"KERAS_BACKEND": "abacus"})
    assert answer.returncode == 2
    assert {name: (older / name).read_bytes() for name in before} == before


def test_what_breaks_before_the_training_has_a_result_with_the_reason(older: Path) -> None:
    """Nothing that an older run left passes for it."""
    answer = run_line(older, "--force", "--set=trouble=broken")
    assert answer.returncode == 1
    reason = "unexpected RuntimeError: no such device"
    assert answer.stderr == f"hepbench: failed: {reason} (see {older / 'result.json'})\n"
    assert names(older) == ["result.json", "run.log"]
    record = read(older / "result.json")
    assert (record["status"], record["reason"], record["epochs"]) == ("failed", reason, [])
    assert "Traceback" in (older / "run.log").read_text(encoding="utf-8")


def test_a_loss_of_nan_is_null_in_json(tmp_path: Path) -> None:
    run_line(tmp_path, "--set", "trouble=nan")
    assert [epoch["loss"] for epoch in read(tmp_path / "result.json")["epochs"]] == [3, None]


def test_debug_shows_where_it_went_wrong(tmp_path: Path) -> None:
    quiet, loud = tmp_path / "quiet", tmp_path / "loud"
    assert "Traceback" not in run_line(quiet, "--set", "trouble=reader").stderr
    assert "Traceback" in (quiet / "run.log").read_text(encoding="utf-8")
    answer = run_line(loud, "--set", "trouble=reader", "--debug")
    assert answer.returncode == 1
    assert "Traceback" in answer.stderr
    assert "_go_wrong" in answer.stderr


def test_what_needs_more_memory_than_there_is_does_not_start(tmp_path: Path) -> None:
    """Two events take 10 GB each in a process that may take 8 GiB."""
    limit = 8 << 30
    answer = run_line(
        tmp_path,
        "--set=event_bytes=10000000000",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert answer.returncode == 1
    reason = read(tmp_path / "result.json")["reason"]
    match = re.fullmatch(
        r"does not fit: batch_size 2 in float32 is expected to take 20\.0 GB; "
        r"(\d\.\d) GB are available; lower --batch-size",
        reason,
    )
    assert match is not None, reason
    assert 5 < float(match[1]) < 8.6
    assert names(tmp_path) == ["result.json", "run.log"]


@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_stopped_run_keeps_its_epochs(number: int, code: int, reason: str, older: Path) -> None:
    process = start(
        *("run", "line", "--output", older, "--force", "--epochs=1000", "--set=wait=0.05"), program=LINE
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch 1/1000 (warm-up)")
    assert process.stderr.readline().startswith("epoch 2/1000")
    assert "line_summary.json" not in names(older)  # from the start, not from the end
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stderr.splitlines()[-1] == f"hepbench: interrupted: {reason} (see {older / 'result.json'})"
    assert "Traceback" not in stderr
    record = read(older / "result.json")
    assert (record["status"], record["reason"]) == ("interrupted", reason)
    assert 2 <= len(record["epochs"]) < 1000
    assert record["epochs"][1]["loss"] == 0.1875
    assert names(older) == ["result.json", "run.log"]
    assert "interrupted" in stdout.splitlines()[0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_before_it_has_events_leaves_nothing(
    number: int, code: int, tmp_path: Path
) -> None:
    process = start(*("run", "line", "--output", tmp_path / "run", "--set=trouble=prepare"), program=LINE)
    assert process.stderr is not None
    assert process.stderr.readline() == "making events\n"
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert (stdout, stderr.strip()) == ("", "hepbench: interrupted")
    assert names(tmp_path) == []


def test_a_run_without_its_data_has_a_result_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "line_summary.json").touch()
    answer = run_line(tmp_path, "--data", "/nowhere", "--quiet", "--force")
    reason = "/nowhere has no manifest.json"
    assert refused(answer, 1) == f"failed: {reason} (see {tmp_path / 'result.json'})"
    record = read(tmp_path / "result.json")
    assert (record["status"], record["reason"], record["config"]["data"]) == ("failed", reason, "/nowhere")
    assert names(tmp_path) == ["result.json", "run.log"]


def test_a_wrong_call_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    refused(run_line(tmp_path, "--gpus", 1), 2)
    assert names(tmp_path) == ["notes.txt"]


def test_a_run_with_too_few_threads_says_so_before_its_framework_aborts(tmp_path: Path) -> None:
    """Each run has a stack of 64 GB for every thread, and with it no room for the second one."""
    stack, room = 64 << 30, 96 << 30
    code = f"import resource as r, threading; threading.stack_size({stack >> 10} << 10);"
    code += f"r.setrlimit(r.RLIMIT_AS, ({room}, {room})); import runpy;"
    code += "runpy.run_module('tests.line', run_name='__main__')"
    call = [sys.executable, "-c", code, "run", "line", "--quiet", "--threads=3", f"--output={tmp_path}"]
    answer = subprocess.run(call, capture_output=True, text=True, env=environment({}))
    record = read(tmp_path / "result.json")
    assert re.fullmatch(
        r"expected room for 14 more threads, got [01]; raise the limit of processes \(ulimit -u: \w+\) or "
        r"that of the control group \(pids.max\), or lower --threads",
        record["reason"],
    )
    assert refused(answer, 1) == f"failed: {record['reason']} (see {tmp_path / 'result.json'})"


def test_the_result_is_there_even_if_nobody_reads_the_table(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    answer = run_line(tmp_path, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert "Traceback" not in answer.stderr
    assert names(tmp_path) == ["line_summary.json", "result.json", "run.log"]


def test_without_output_the_folder_is_named_after_the_run(tmp_path: Path) -> None:
    answer = hepbench("run", "line", "--quiet", program=LINE, cwd=tmp_path)
    assert answer.returncode == 0
    (folder,) = (tmp_path / "results").iterdir()
    assert re.fullmatch(r"line-smoke-\d{8}T\d{6}Z", folder.name)
    assert names(folder) == ["line_summary.json", "result.json", "run.log"]
