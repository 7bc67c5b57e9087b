"""A result made once more: its exact configuration runs again, and the two are compared figure by figure."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import UsageError
from benchmarks.launchers.sweep import PlannedRun, run_series
from benchmarks.machine.cgroup import usable_cores
from benchmarks.machine.provenance import DISTRIBUTION, package_version
from benchmarks.output import EXIT_FAILED, RunOptions, output_folder
from benchmarks.report import align, number
from benchmarks.resolution import BACKEND_VARIABLE, Resolved, resolve
from benchmarks.result import RunResult
from benchmarks.side_by_side import differing
from benchmarks.streams import say
from benchmarks.workload import presets

ROUNDING = 1e-6  # float32 has 24 bits
PUBLISHED = 1e-4  # what the published comparison of machines agreed to
# What a run fills in for itself, on this machine as on the other one.
_OF_THE_MACHINE = {"data", "threads"}


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How well two figures agree.

    Attributes:
        name: Of the figure, or of the series of figures.
        difference: Largest difference, relative to the larger of the two values. 0 means equal bits, and
            NaN that nothing is known but that they differ.
    """

    name: str
    difference: float

    @property
    def word(self) -> str:
        """Returns the words for the difference."""
        if math.isnan(self.difference):
            return "other bits"
        if self.difference == 0:
            return "to the bit"
        if self.difference <= ROUNDING:
            return f"to rounding ({ROUNDING:g})"
        return f"to {PUBLISHED:g}" if self.difference <= PUBLISHED else "not"


def reproduce(original: RunResult, options: RunOptions, data: Path | None = None) -> int:
    """Runs the configuration of a result again and prints how well the new result agrees with it.

    Args:
        original: A result with status ``ok``.
        options: Where the new result goes, in a folder ``seed-SEED``, and what is printed.
        data: Folder of its data set. None for the cache.

    Returns:
        Exit code: 0 if all figures agree to 1e-4 at least, 1 if they do not or if the run failed, 128 plus
        its number after a signal.

    Raises:
        UsageError: The result cannot be reproduced with this version, or its configuration is not valid here.
    """
    resolved, rank_options = plan(original, data)
    name = f"seed={original.seed}"
    with output_folder(dataclasses.replace(options, force=True), resolved) as folder:
        planned = {name: PlannedRun(resolved, rank_options)}
        code, results = run_series(planned, folder, options, lambda _: "")
    if code:
        return code

    # Other events give other figures, which would say nothing about the machines.
    again = results[name]
    if again.data_sha256 != original.data_sha256:
        say(
            f"hepbench: expected data {original.data_sha256[:12]}, got {again.data_sha256[:12]}; "
            "name the same data with --data",
            err=True,
        )
        return EXIT_FAILED
    figures = agreements(original, again)
    if not options.quiet:
        say(f"\n{describe(figures)}")
        for line in differing([run.provenance.get("framework", {}) for run in (original, again)]):
            say(f"another version of {line}")
    return EXIT_FAILED if any(figure.word == "not" for figure in figures) else 0


def plan(original: RunResult, data: Path | None = None) -> tuple[Resolved, tuple[str, ...]]:
    """Returns the configuration of a result, and the options of ``hepbench run`` for its ranks.

    Args:
        original: A result.
        data: Folder of its data set. None for the cache.

    Raises:
        UsageError: It did not end well, is of another version, has keys that this version does not know, or
            ``KERAS_BACKEND`` asks for another backend.
    """
    if original.status != "ok":
        raise UsageError(f"expected a result with status ok, got {original.status}")
    version = original.provenance.get("benchmark", {}).get("version")
    if version != (own := package_version(DISTRIBUTION)):
        raise UsageError(f"expected a result of {DISTRIBUTION} {own}, got one of {version}")
    backend, variable = original.config["backend"], os.environ.get(BACKEND_VARIABLE)
    if variable and variable != backend:
        raise UsageError(f"expected backend {backend}, got {BACKEND_VARIABLE}={variable}; unset the variable")
    preset = original.config["preset"]
    available = presets(original.workload)
    if preset not in available:
        raise UsageError(f"expected a preset among {', '.join(available)}, got {preset}")

    # A run notes the batch of each rank and that of all ranks. A call has one of them, and the other follows.
    config, base = original.config, available[preset]
    follows = "batch_size" if "global_batch_size" in config["changed"] else "global_batch_size"
    names = {field.name for field in dataclasses.fields(base)} - _OF_THE_MACHINE - {follows}
    assignments = [f"{key}={value}" for key, value in config.items() if key in names]

    # More threads than there are cores would only disturb each other.
    if config["threads"] <= usable_cores():
        assignments.append(f"threads={config['threads']}")
    if data is not None:
        assignments.append(f"data={data}")
    ranks = original.world_size
    option = "gpus" if original.device == "gpu" else "ranks"
    return resolve(preset, base, assignments=assignments), (f"--{option}={ranks}",) if ranks > 1 else ()


def agreements(first: RunResult, second: RunResult) -> list[Agreement]:
    """Returns how well two runs of one configuration agree, the quality last.

    Weights are known by their hash only. So they agree to the bit, or their difference is not known (NaN).
    """
    figures = _kernel_agreements(first, second) if first.kernel else _training_agreements(first, second)
    return [
        *figures,
        *(
            Agreement(name, _largest_difference([value], [second.quality.get(name, math.nan)]))
            for name, value in first.quality.items()
        ),
    ]


def _training_agreements(first: RunResult, second: RunResult) -> list[Agreement]:
    """Returns how well weights and losses of two trainings agree."""
    same_weights = first.weights_sha256 == second.weights_sha256
    losses = [[epoch.loss for epoch in run.epochs] for run in (first, second)]
    validation = [[epoch.validation["loss"] for epoch in run.epochs] for run in (first, second)]
    return [
        Agreement("weights", 0.0 if same_weights else math.nan),
        Agreement("training losses", _largest_difference(*losses)),
        Agreement("validation losses", _largest_difference(*validation)),
    ]


def _kernel_agreements(first: RunResult, second: RunResult) -> list[Agreement]:
    """Returns how well the losses of each implementation agree that both kernels have measured."""
    figures = [
        {row["implementation"]: row["figures"] for row in run.kernel["rows"] if "figures" in row}
        for run in (first, second)
    ]
    return [
        Agreement(f"losses, {name}", _largest_difference(losses, figures[1][name]))
        for name, losses in figures[0].items()
        if name in figures[1]
    ]


def _largest_difference(first: Sequence[float], second: Sequence[float]) -> float:
    """Returns the largest relative difference of two series, infinite where they cannot be compared."""
    if len(first) != len(second):
        return math.inf
    return max((_difference(*pair) for pair in zip(first, second, strict=True)), default=0.0)


def _difference(first: float, second: float) -> float:
    if first == second:
        return 0.0
    difference = abs(first - second) / max(abs(first), abs(second))
    return math.inf if math.isnan(difference) else difference


def describe(figures: Sequence[Agreement]) -> str:
    """Returns a table of the figures with the words for how well they agree."""
    rows = [("figure", "largest relative difference", "agrees")]
    rows += [(figure.name, number(figure.difference), figure.word) for figure in figures]
    return "\n".join(align(rows))
