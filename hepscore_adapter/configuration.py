"""Configurations of hep-score: one block a workload, with the scores of a reference run.

hep-score divides each score by its reference score. Reference runs are ordinary results (``result.json``).
Those that come with this distribution lie in ``configs/reference``; ``make configs`` makes the configurations
beside them.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.config import SMALL
from benchmarks.errors import UsageError
from benchmarks.machine.provenance import DISTRIBUTION, package_version
from benchmarks.report import machine
from benchmarks.resolution import choose
from benchmarks.result import RunResult, read_result
from benchmarks.workload import REGISTRY, image_name, presets
from hepscore_adapter.references import read_reference, reference_names
from hepscore_adapter.summary import Request, gpu_score_name, summary
from hepscore_adapter.validate import summary_path, validate_summary

# What hep-score accepts, and no slash at the end, at which docker would stumble.
_REGISTRY = re.compile(r"(docker|dir|oras|https|shub)://[A-Za-z0-9:/\-_.~]*[A-Za-z0-9\-_.~]")
_TOP_KEYS = {1: "hepscore_benchmark", 2: "hepscore"}  # of a configuration, by generation of hep-score
# What a reference run may set otherwise than its preset. It changes neither a step nor the number of steps.
_FREE_KEYS = ("data", "threads", "require_quiet")


@dataclass(frozen=True)
class Target:
    """What a configuration is written for.

    Attributes:
        registries: Where the images lie: ``docker://HOST/PATH`` or, for Apptainer, ``dir:///FOLDER`` or
            ``oras://HOST/PATH``. The first decides on the engine. Only hep-score 2 reads more than one.
        gpus: GPUs of each run; 0 for the CPU.
        repetitions: Runs of each workload, of which hep-score takes the median.
        generation: 1 for hep-score 1.5, 2 for hep-score 2.x.
        single_score: Whether a workload has one score with its name, as in hep-score's own configurations
            of GPU workloads, in place of the scores of its phases.
    """

    registries: tuple[str, ...]
    gpus: int
    repetitions: int
    generation: int = 1
    single_score: bool = False

    def __post_init__(self) -> None:
        """Refuses what hep-score would not take, or would take for something else.

        Raises:
            UsageError: A registry is malformed, there are more than hep-score reads, or a score that only
                runs on GPUs have is wanted of runs on the CPU.
        """
        for registry in self.registries:
            if not _REGISTRY.fullmatch(registry):
                raise UsageError(
                    "--registry: expected docker://HOST/PATH or dir:///FOLDER, of letters, digits and "
                    f":/-_.~, without a slash at the end, got {registry!r}"
                )
        if self.generation == 1 and len(self.registries) > 1:
            raise UsageError(
                f"--registry: hep-score 1.5 reads one registry, got {len(self.registries)}; "
                "write a file for each of them, or use --generation 2"
            )

        # hep-score 2 chooses by the kind, and would never look at a second registry of the same kind.
        kinds = [_kind(registry) for registry in self.registries]
        if repeated := next((kind for kind in kinds if kinds.count(kind) > 1), None):
            raise UsageError(
                f"--registry: expected one registry of each kind, got {kinds.count(repeated)} x {repeated}://"
            )
        if self.single_score and not self.gpus:
            raise UsageError(
                "--single-score: only runs on GPUs have this score; expected --gpus 1 or more, got --gpus 0"
            )

    @property
    def engine(self) -> str:
        """Returns the engine in hep-score's words, in which Apptainer is ``singularity``."""
        return "docker" if _kind(self.registries[0]) == "docker" else "singularity"

    def options(self) -> str:
        """Returns the options of ``hepbench hepscore config`` that ask for this, but for the preset's."""
        words = [f"--gpus {self.gpus}", f"--repetitions {self.repetitions}"]
        words += [f"--registry {registry}" for registry in self.registries]
        words += [f"--generation {self.generation}"] if self.generation != 1 else []
        words += ["--single-score"] if self.single_score else []
        return " ".join(words)


def _kind(registry: str) -> str:
    return registry.partition("://")[0]


def configuration(references: Sequence[RunResult], preset: str, target: Target) -> str:
    """Returns a complete configuration of hep-score, as YAML with comments.

    Args:
        references: A run of each workload, see ``references``.
        preset: The preset that hep-score runs.
        target: What the configuration is written for.

    Raises:
        UsageError: This distribution is not installed, and so the images have no version.
    """
    registries = target.registries
    settings = {
        "name": f"{DISTRIBUTION}-{preset}-{'gpu' if target.gpus else 'cpu'}",
        "reference_machine": "; ".join(dict.fromkeys(machine(run.provenance) for run in references)),
        "registry": registries[0] if len(registries) == 1 else list(registries),
        **({"addarch": True} if target.generation == 2 else {}),
        "container_exec": target.engine,
        "method": "geometric_mean",
        "repetitions": target.repetitions,
    }

    # Of several registries Apptainer would get the one that pulls, whatever their order.
    options = []
    if target.engine == "singularity" and len(registries) > 1:
        options = ["  options:", f"    container_uri: {_kind(registries[0])}"]

    lines = [
        *(f"# {line}".rstrip() for line in _heading(references, preset, target)),
        f"{_TOP_KEYS[target.generation]}:",
        "  settings:",
        *(f"    {key}: {json.dumps(value)}" for key, value in settings.items()),
        *options,
        "  benchmarks:",
        *(line for run in references for line in _block(run, preset, target)),
    ]
    return "\n".join(lines) + "\n"


def references(paths: Iterable[Path], workloads: Sequence[str], preset: str) -> list[RunResult]:
    """Reads the reference runs that a configuration is made of, one a workload.

    Args:
        paths: ``result.json`` files, or their folders; none: those that come with this distribution.
        workloads: Names; none: those of ``paths``, or all.
        preset: What every run of a configuration has as preset. A reference run has the same one, or the one
            with ``SMALL`` at the end of its name.

    Raises:
        UsageError: A run cannot be read, has no score, another preset or changed settings; or there is not
            one a workload.
    """
    runs = [_read(path / "result.json" if path.is_dir() else path) for path in paths]
    names = list(dict.fromkeys(workloads or [run.workload for run in runs] or REGISTRY))
    for name in names:
        choose("preset", preset, presets(name))
    if not runs:
        runs = [_shipped(name, preset) for name in names]

    # A reference of another preset would compare two different steps.
    for run in runs:
        if run.config["preset"] not in (preset, preset + SMALL):
            expected, actual = f"a run of {run.workload} with preset {preset}", run.config["preset"]
            raise UsageError(f"--reference: expected {expected}, got preset {actual}")
    if sorted(run.workload for run in runs) != sorted(names):
        expected, actual = ", ".join(names), ", ".join(run.workload for run in runs)
        raise UsageError(f"--reference: expected one run of each of {expected}, got {actual}")
    return runs


def _read(path: Path) -> RunResult:
    try:
        result = read_result(path)
    except OSError as error:
        raise UsageError(f"--reference {path}: expected the result of a run, got: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--reference {error}") from None
    return _checked(str(path), result)


def _checked(origin: str, result: RunResult) -> RunResult:
    """Returns a reference run that has a score and the settings of its preset.

    Raises:
        UsageError: It has not.
    """
    if result.status != "ok":
        raise UsageError(f"--reference {origin}: expected a run with status ok, got {result.status}")
    try:
        validate_summary(summary(result), result)
    except ValueError as error:
        raise UsageError(f"--reference {origin}: {error}") from None
    if changes := _changes(result):
        name = result.config["preset"]
        raise UsageError(
            f"--reference {origin}: expected preset {name} with no key changed but {', '.join(_FREE_KEYS)}, "
            f"got {', '.join(changes)}; make it with `{_run(result.workload, name)}`"
        )
    return result


def _changes(run: RunResult) -> list[str]:
    """Returns each key with another value than the run's preset has now, as ``KEY VALUE``."""
    preset = dataclasses.asdict(choose("preset", run.config["preset"], presets(run.workload)))
    keys = {key for key, value in preset.items() if key in run.config and run.config[key] != value}

    # Every run decides on the batch of all ranks, and on what its preset leaves open.
    keys -= {"global_batch_size", *run.config.get("resolved", ())}
    keys |= set(run.config.get("changed", ()))
    return [f"{key} {run.config[key]}" for key in sorted(keys - set(_FREE_KEYS))]


def _shipped(workload: str, preset: str) -> RunResult:
    """Reads the reference run of a preset that is shipped, or that of the preset's small one."""
    for name in (f"{workload}-{preset}", f"{workload}-{preset}{SMALL}"):
        if name in reference_names():
            return _checked(name, read_reference(name))
    raise UsageError(
        f"no reference run of {workload} with preset {preset} comes with {DISTRIBUTION}; make one with "
        f"`{_run(workload, preset)}` and name it: --reference {_folder(workload)}"
    )


def _heading(references: Sequence[RunResult], preset: str, target: Target) -> Iterable[str]:
    """Yields the comment at the top: what the file is, what its score means, and how it is made again."""
    yield f"hep-score configuration, written by `hepbench hepscore config` of {DISTRIBUTION} {_version()}."
    yield ""
    yield "    hep-score -f THIS_FILE OUTDIR"
    yield ""

    # A person who finds only this file and a number has to know what the number says.
    yield "Read status and score in OUTDIR/HEPscore_DATE/NAME.json: the exit code of hep-score does not tell."
    yield "The score is the geometric mean of throughput over reference throughput: 1 is the reference's."
    if target.single_score:
        yield "A workload has one score, the geometric mean of its throughputs, which it reports with -M gpu."
    if target.gpus and not any(run.provenance["gpus"] for run in references):
        yield "The reference machine has no GPU: a score says how many times as fast as its CPU a machine is."
    yield ""

    # The commands can be copied as they are.
    yield "To refer to another machine, run there and write this file again:"
    yield ""
    for run in references:
        yield f"    {_run(run.workload, run.config['preset'])}"
    yield f"    hepbench hepscore config --preset {preset} {target.options()} \\"
    yield "        " + " ".join(f"--reference {_folder(run.workload)}" for run in references)
    yield ""

    # With `addarch` a SIF for each architecture can lie in one folder.
    name = "<benchmark>:<version>" + ("_<architecture>" if target.generation == 2 else "")
    yield f"For Apptainer the registry is dir:///FOLDER, the folder of the SIFs named {name}."
    if len(target.registries) > 1:
        yield f"This file takes the images from {target.registries[0]}; -m and -i choose another registry."


def _block(reference: RunResult, preset: str, target: Target) -> Iterable[str]:
    """Yields one benchmark. hep-score drops arguments with other characters than letters, digits, - and _."""
    workload, single = reference.workload, target.single_score
    content = summary(reference, request=Request(gpu_score=single))
    scores = content["report"]["wl-scores"]
    arguments: dict[str, Any] = {"preset": preset}

    # Such a configuration has the options of hep-score's GPU workloads, and their names of images.
    if single:
        name = gpu_score_name(workload)
        benchmark, scores = f"{name}-bmk", {name: scores[name]}
        arguments |= {"-M": "gpu", "n-gpus": target.gpus}
    else:
        benchmark = image_name(workload)
        arguments |= {"gpus": target.gpus} if target.gpus else {}

    yield f"    {benchmark}:"
    yield f"      version: {json.dumps(f'v{_version()}')}"
    yield f"      results_file: {summary_path(workload, Path()).name}"
    yield from (f"      # {line}" for line in _origin(reference, preset, content, scores))
    yield "      ref_scores:"
    for name, score in scores.items():
        yield f"        {name}: {float(f'{score:.6g}')}"
    if target.gpus:
        yield "      gpu: true"
    yield "      args:"
    for key, value in arguments.items():
        yield f"        {key}: {value}"


def _origin(
    reference: RunResult, preset: str, content: Mapping[str, Any], scores: Iterable[str]
) -> Iterable[str]:
    """Yields lines that say where the reference scores come from."""
    app, changes = content["app"], content["run_info"]["changed_settings"]
    settings = ", ".join(f"{key} {value}" for key, value in changes.items())
    report = content["report"]
    spread, stats = report["relative_spread"], report["wl-stats"]
    spreads = ", ".join(f"{name} {spread[name]:.1%} of {stats[name]['count']}" for name in scores)
    git = app["git"] or {"commit": "no checkout", "dirty": False}
    commit = f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}"
    yield f"{machine(reference.provenance)}; hepbench {app['version']} ({commit})"
    name = reference.config["preset"]
    same_step = "" if name == preset else f", which takes the step of {preset} on fewer events"
    yield f"preset {name}{f' but for {settings}' if settings else ''}{same_step}"
    yield f"(max - min) / median: {spreads}"


def _run(workload: str, preset: str) -> str:
    return f"hepbench run {workload} --preset {preset} --output {_folder(workload)}"


def _folder(workload: str) -> str:
    return f"REFERENCE/{workload}"


def _version() -> str:
    version = package_version(DISTRIBUTION)
    if version is None:
        raise UsageError(f"expected {DISTRIBUTION} to be installed: the images have its version")
    return version
