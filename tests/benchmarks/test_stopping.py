"""Signals other than Ctrl-C and SIGTERM: those of a terminal that is gone, and warnings of batch systems."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import Terminated
from benchmarks.stopping import STOP_SIGNALS, exit_code, signal_name
from tests.command import LINE, names, read, start, until

ENDLESS = ("--epochs=1000", "--set=wait=0.05")


def start_run(folder: Path, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Starts a run of the line, which has finished two epochs on return."""
    process = start("run", "line", "--output", folder, *arguments, program=LINE, **options)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("epoch 1/")
    assert process.stderr.readline().startswith("epoch 2/")
    return process


@pytest.mark.parametrize("number", set(STOP_SIGNALS) - {signal.SIGINT, signal.SIGTERM}, ids=lambda n: n.name)
def test_every_signal_of_a_batch_system_ends_a_run_as_sigterm_does(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = start_run(tmp_path, *ENDLESS)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    file = tmp_path / "result.json"
    assert stderr.splitlines()[-1] == f"hepbench: interrupted: {number.name} (see {file})"
    assert "Traceback" not in stderr
    result = read(file)
    assert (result["status"], result["reason"]) == ("interrupted", number.name)
    assert 2 <= len(result["epochs"]) < 1000
    assert names(tmp_path) == ["result.json", "run.log"]


def test_only_the_first_signal_counts(tmp_path: Path) -> None:
    process = start_run(tmp_path, "--epochs=1000", "--set=wait=0.5")
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGXCPU, signal.SIGHUP, signal.SIGUSR1):
        process.send_signal(number)
        time.sleep(0.02)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGUSR1
    assert read(tmp_path / "result.json")["reason"] == "SIGUSR1"


def test_before_there_are_events_a_signal_leaves_nothing(tmp_path: Path) -> None:
    process = start("run", "line", "--output", tmp_path / "run", "--set=trouble=prepare", program=LINE)
    assert process.stderr is not None
    assert process.stderr.readline() == "making events\n"
    process.send_signal(signal.SIGHUP)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGHUP
    assert (stdout, stderr.strip()) == ("", "hepbench: interrupted")
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
@pytest.mark.slow
def test_a_signal_that_is_ignored_at_the_start_stays_ignored(number: signal.Signals, tmp_path: Path) -> None:
    """As nohup has it."""
    process = start_run(tmp_path, "--set=wait=0.5", preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert read(tmp_path / "result.json")["status"] == "ok"


def test_a_terminal_that_is_gone_does_not_cost_the_result(tmp_path: Path) -> None:
    """The kernel sends SIGHUP, and whatever is written to the terminal from then on fails."""
    terminal, terminal_of_run = pty.openpty()
    log = tmp_path / "run.log"
    process = start(
        *("run", "line", "--output", tmp_path, *ENDLESS),
        program=LINE,
        stdin=terminal_of_run,
        stdout=terminal_of_run,
        stderr=terminal_of_run,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # makes it the session's own
    )
    os.close(terminal_of_run)
    until(lambda: log.exists() and "epoch 2/" in log.read_text(encoding="utf-8"))
    os.close(terminal)
    assert process.wait(30) == 128 + signal.SIGHUP
    result = read(tmp_path / "result.json")
    assert (result["status"], result["reason"]) == ("interrupted", "SIGHUP")


def test_a_limit_on_the_processors_time_leaves_a_result(tmp_path: Path) -> None:
    """The kernel warns with SIGXCPU, every second, before it kills."""
    process = start_run(tmp_path, "--set=inference_seconds=60")
    status = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    soft = int((int(status[11]) + int(status[12])) / os.sysconf("SC_CLK_TCK")) + 1
    resource.prlimit(process.pid, resource.RLIMIT_CPU, (soft, soft + 60))
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGXCPU
    result = read(tmp_path / "result.json")
    assert (result["status"], result["reason"], len(result["epochs"])) == ("interrupted", "SIGXCPU", 3)


def test_names_and_exit_codes() -> None:
    assert (signal_name(KeyboardInterrupt()), exit_code("Ctrl-C")) == ("Ctrl-C", 130)
    assert (signal_name(Terminated()), exit_code("SIGTERM")) == ("SIGTERM", 143)
    assert signal_name(Terminated(signal.SIGXCPU)) == "SIGXCPU"
    assert exit_code("SIGHUP (rank 1, 3 s after the start)") == 129
