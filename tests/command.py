"""Runs ``hepbench`` as a person does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HEPBENCH = "benchmarks.cli"
LINE = "tests.line"  # hepbench, with a workload that takes no time


def command(*arguments: object, program: str = HEPBENCH) -> list[str]:
    return [sys.executable, "-m", program, *map(str, arguments)]


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's, without a backend that somebody has chosen, and with the checkout on the path."""
    kept = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def hepbench(
    *arguments: object, program: str = HEPBENCH, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    given = {"capture_output": True, "text": True, "cwd": ROOT, "timeout": 300, **options}
    return subprocess.run(command(*arguments, program=program), env=environment(env or {}), **given)


def start(
    *arguments: object, program: str = HEPBENCH, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT, **options}
    return subprocess.Popen(command(*arguments, program=program), env=environment(env or {}), **given)


def refused(answer: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of a call that came to nothing: its exit code, and no word but that line."""
    assert answer.returncode == code, answer.stderr
    assert answer.stdout == ""
    line, end, rest = answer.stderr.partition("\n")
    assert (end, rest) == ("\n", ""), answer.stderr
    assert line.startswith("hepbench: ")
    return line.removeprefix("hepbench: ")


def run_line(folder: Path, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """``hepbench run line --output folder``, to its end."""
    return hepbench("run", "line", "--output", folder, *arguments, program=LINE, **options)


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Waits for ``condition``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)
