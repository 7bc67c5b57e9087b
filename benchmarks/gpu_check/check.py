"""A check under way: its folder, its time, and the runs that it has started."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from benchmarks import workload
from benchmarks.config import TrainingConfig
from benchmarks.errors import RunFailedError
from benchmarks.result import RunResult, read_result
from benchmarks.timing import clock

BACKENDS = ("jax", "torch")  # what a stock machine has; TensorFlow's figures come from ``hepbench run``
PRESETS = {"gpu": "gpu-check", "cpu": "cpu-check"}
SMALL = PRESETS["cpu"]  # the preset of checks that need no size, on every device
PRECISIONS: Mapping[str, Mapping[str, str]] = {
    "float32": {"precision": "float32", "tf32": "off"},
    "bfloat16": {"precision": "mixed_bfloat16", "tf32": "off"},
    "tf32": {"precision": "float32", "tf32": "on"},
}
PATIENCE_SECONDS = 10.0  # for a process that is told to end


class OutOfTimeError(Exception):
    """The time of the check is over."""


@dataclass(frozen=True)
class Spec:
    """A run of a check.

    Attributes:
        workload: The workload.
        backend: The framework.
        preset: The preset.
        precision: A key of ``PRECISIONS``.
        settings: More keys of the configuration.
        copy: Tells runs apart that are the same otherwise.
    """

    workload: str
    backend: str
    preset: str
    precision: str = "float32"
    settings: tuple[tuple[str, str], ...] = ()
    copy: int = 1

    @property
    def name(self) -> str:
        """Returns the name of the run's folder."""
        parts = [self.workload, self.backend, self.precision, self.preset]
        parts += [f"{key}-{value}" for key, value in self.settings]
        return "-".join([*parts, *([str(self.copy)] if self.copy > 1 else [])])

    def command(self, folder: Path) -> list[str]:
        """Returns the command line of the run.

        Args:
            folder: Where its result goes.
        """
        values = {"backend": self.backend, **PRECISIONS[self.precision], **dict(self.settings)}
        return [
            *(sys.executable, "-m", "hepscore_adapter.programs", "run", self.workload),
            *(f"--preset={self.preset}", f"--output={folder}", "--force", "--quiet"),
            *(f"--set={key}={value}" for key, value in values.items()),
        ]

    def config(self) -> TrainingConfig:
        """Returns the preset's configuration, without what the run changes in it."""
        return cast(TrainingConfig, workload.presets(self.workload)[self.preset])


def checked_workloads() -> list[str]:
    """Returns the workloads that have the presets of a check."""
    return [name for name in workload.REGISTRY if workload.presets(name).keys() >= set(PRESETS.values())]


@dataclass
class Check:
    """A check under way.

    Attributes:
        device: ``gpu`` or ``cpu``.
        folder: Where everything is written.
        deadline: When its time is over, on ``benchmarks.timing.clock``.
        ceilings: What each backend's ceilings came to, by its name.
        results: Results of the runs so far, by their names.
    """

    device: str
    folder: Path
    deadline: float
    ceilings: dict[str, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, RunResult] = field(default_factory=dict)

    @property
    def preset(self) -> str:
        """Returns the preset that is measured on this device."""
        return PRESETS[self.device]

    def run(self, spec: Spec) -> RunResult:
        """Returns the result of a run, which is started if no part has asked for it yet.

        Raises:
            OutOfTimeError: The time of the check is over.
            RunFailedError: The run has no score, or ran elsewhere.
        """
        if spec.name not in self.results:
            folder = self.folder / "runs" / spec.name
            messages = self.call(spec.command(folder))[1]
            file = folder / "result.json"
            if not file.exists():
                raise RunFailedError(f"{spec.name}: no result: {_last_line(messages)}")
            self.results[spec.name] = read_result(file)
        result = self.results[spec.name]
        if result.status != "ok":
            raise RunFailedError(f"{spec.name}: {result.status}: {result.reason}")
        if result.device != self.device:
            raise RunFailedError(f"{spec.name}: expected it to run on a {self.device}, got {result.device}")
        return result

    def measure_ceilings(self, backend: str) -> dict[str, Any]:
        """Returns the ceilings of the device in a framework, see ``ceilings.py``.

        Raises:
            OutOfTimeError: The time of the check is over.
            RunFailedError: They could not be measured, or not on this device.
        """
        module = "benchmarks.gpu_check.ceilings"
        output, messages = self.call([sys.executable, "-m", module, backend, checked_workloads()[0]])
        try:
            figures: dict[str, Any] = json.loads(output)
        except ValueError:
            raise RunFailedError(f"ceilings of {backend}: {_last_line(messages)}") from None
        if figures["device"] != self.device:
            raise RunFailedError(
                f"ceilings of {backend}: expected a {self.device}, got a {figures['device']}"
            )
        self.ceilings[backend] = figures
        return figures

    def call(self, command: Sequence[str]) -> tuple[str, str]:
        """Runs a command until it ends, and returns what it printed on standard output and standard error.

        Raises:
            OutOfTimeError: The time of the check is over. The command is ended.
        """
        seconds = self.deadline - clock()
        if seconds <= 0:
            raise OutOfTimeError
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment()
        ) as process:
            try:
                return process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                # A run that is told to end removes what it has half done, such as a data set.
                process.terminate()
                try:
                    process.communicate(timeout=PATIENCE_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                raise OutOfTimeError from None

    def _environment(self) -> dict[str, str]:
        """Returns the variables of a process, which sees no GPU in a check of the CPU."""
        hidden = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"} if self.device == "cpu" else {}
        return {**os.environ, **hidden}


def machine_name(provenance: Mapping[str, Any]) -> str:
    """Returns the name of a machine's folder: that of its first GPU, otherwise that of its CPU."""
    names = [gpu["name"] for gpu in provenance["gpus"] if gpu["name"]]
    name = names[0] if names else provenance["cpu"]["model"] or provenance["system"]["architecture"]
    return re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")


def share_of_ceiling(check: Check, spec: Spec, result: RunResult) -> float | None:
    """Returns the rate of a training's products over that of a large one, or None without a ceiling."""
    ceilings = check.ceilings.get(spec.backend)
    if ceilings is None:
        return None
    rate = result.scores["train"].spread.median * spec.config().operations_per_event()
    return float(rate / ceilings["product"][spec.precision])


def _last_line(text: str) -> str:
    return next(reversed([line for line in text.splitlines() if line.strip()]), "nothing was printed")
