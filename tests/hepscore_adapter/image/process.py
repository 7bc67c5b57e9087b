"""Starts the entry point as a process on this machine, with the line as its workload."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.command import environment
from tests.hepscore_adapter.image.conformance import Outcome


@dataclass
class Process:
    """A ``Running`` of ``conformance``."""

    popen: subprocess.Popen[bytes]

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def finish(self, timeout: float) -> Outcome:
        stdout, stderr = self.popen.communicate(timeout=timeout)
        return Outcome(self.popen.returncode, stdout, stderr)


@dataclass
class LineImage:
    """A ``Launcher`` of ``conformance``. Data, working folder and temporary files are in ``folder``."""

    folder: Path
    presets: str = "eight slow nan floor"
    env: Mapping[str, str] = field(default_factory=dict)
    workload: str = "line"
    small: tuple[str, ...] = ()
    long: tuple[str, ...] = ("--preset", "slow")
    events: int = 2
    prefix: tuple[str, ...] = ()  # program before the entry point, such as unshare with its options

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def start(self, *arguments: str, results: Path, **options: object) -> Process:
        for name in ("tmp", *(f"data/{preset}" for preset in self.presets.split())):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        variables = {
            "HEPBENCH_WORKLOAD": self.workload,
            "HEPBENCH_PRESETS": self.presets,
            "HEPBENCH_IMAGE_DATA": str(self.folder / "data"),
            "TMPDIR": str(self.temporary),
            **self.env,
        }
        program = [*self.prefix, sys.executable, "-m", "tests.line.entrypoint"]
        command = [*program, f"--resultsdir={results}", *arguments]
        defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.temporary, **options}
        return Process(subprocess.Popen(command, env=environment(variables), **defaults))

    def inside(self, results: Path) -> str:
        return str(results)
