"""Starts hep-score and the suite, which are GPLv3 and live in an environment of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml


def program(variable: str, name: str) -> str | None:
    """What the variable names, or what is found on the PATH."""
    return shutil.which(os.environ.get(variable) or name)


def run_hep_score(
    program: str,
    configuration: Path,
    folder: Path,
    *options: str,
    mode: str,
    env: Mapping[str, str] | None = None,
) -> str:
    """Runs hep-score to its end, whatever that is: its exit code does not tell.

    Returns:
        What it printed.
    """
    command = [program, "-v", *options, "-m", mode, "-f", str(configuration), str(folder)]
    return _printed(command, env)


def run_suite(
    program: str, configuration: Path, folder: Path, *, mode: str, env: Mapping[str, str] | None = None
) -> str:
    """Runs hep-score by way of ``bmkrun`` on whatever machine this is.

    Returns:
        What it printed.
    """
    settings = {
        "global": {
            "mode": mode,
            "rundir": str(folder),
            "benchmarks": ["hepscore"],
            "tags": {"site": "somewhere"},
            "hw_requirements": {"min_memory_per_core": 0.1, "min_disk_per_core": 0.1},
            "sw_requirements": {"check_root_access": False, "check_selinux_disabled": False},
        },
        "hepscore": {"version": "v1.5", "config": str(configuration)},
    }
    file = folder.with_suffix(".yaml")
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return _printed([program, "-c", str(file), "-m", mode], env)


def _printed(command: list[str], env: Mapping[str, str] | None) -> str:
    """Passes on what a command prints, line by line, and keeps it."""
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.decode("utf-8", errors="replace"))
            print(lines[-1], end="", flush=True)
    return "".join(lines)
