"""Configurations of hep-score: one block a workload, with the scores of a reference run.

hep-score divides each score by its reference score. Reference runs are ordinary results (``result.json``).
Those that come with this distribution lie in ``configs/reference``; ``make configs`` makes the configurations
beside them.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.machine.provenance import DISTRIBUTION, package_version
from benchmarks.report import machine
from benchmarks.resolution import choose
from benchmarks.result import RunResult, read_result
from benchmarks.workload import REGISTRY, image_name, presets
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import summary_path, validate_summary

# What hep-score 1.5 accepts, and no slash at the end, at which docker would stumble.
_REGISTRY = re.compile(r"(docker|dir|oras|https|shub)://[A-Za-z0-9:/\-_.~]*[A-Za-z0-9\-_.~]")


def configuration(references: Sequence[RunResult], *, registry: str, gpus: int, repetitions: int) -> str:
    """A complete configuration of hep-score, as YAML with comments.

    Args:
        references: A run of each workload, all with the same preset; see ``references``.
        registry: Where the images lie: ``docker://HOST/PATH`` or, for Apptainer, ``dir:///FOLDER``.
        gpus: GPUs of each run; 0 for the CPU.
        repetitions: Runs of each workload, of which hep-score takes the median.

    Raises:
        UsageError: hep-score would not take the registry.
    """
    if not _REGISTRY.fullmatch(registry):
        raise UsageError(
            "--registry: expected docker://HOST/PATH or dir:///FOLDER, of letters, digits and :/-_.~, "
            f"without a slash at the end, got {registry!r}"
        )
    preset = references[0].config["preset"]
    settings = {
        "name": f"{DISTRIBUTION}-{preset}-{'gpu' if gpus else 'cpu'}",
        "reference_machine": "; ".join(dict.fromkeys(machine(each.provenance) for each in references)),
        "registry": registry,
        "container_exec": "docker" if registry.startswith("docker://") else "singularity",
        "method": "geometric_mean",
        "repetitions": repetitions,
    }
    blocks = [line for each in references for line in _block(each, gpus)]
    lines = [
        *(f"# {line}".rstrip() for line in _heading(references, gpus, registry, repetitions)),
        "hepscore_benchmark:",
        "  settings:",
        *(f"    {key}: {json.dumps(value)}" for key, value in settings.items()),
        "  benchmarks:",
        *blocks,
    ]
    return "\n".join(lines) + "\n"


def references(paths: Iterable[Path], workloads: Sequence[str], preset: str) -> list[RunResult]:
    """The reference runs that a configuration is made of, one a workload.

    Args:
        paths: ``result.json`` files, or their folders; none: those that come with this distribution.
        workloads: Names; none: those of ``paths``, or all.
        preset: What every run of a configuration, and so every reference run, has as preset.

    Raises:
        UsageError: A run cannot be read, has no score or another preset; or there is not one a workload.
    """
    given = [_read(path / "result.json" if path.is_dir() else path) for path in paths]
    names = list(dict.fromkeys(workloads or [each.workload for each in given] or REGISTRY))
    for name in names:
        choose("preset", preset, presets(name))
    if not given:
        given = [_shipped(name, preset) for name in names]
    for each in given:
        if each.config["preset"] != preset:
            expected, came = f"a run of {each.workload} with preset {preset}", each.config["preset"]
            raise UsageError(f"--reference: expected {expected}, got preset {came}")
    if sorted(each.workload for each in given) != sorted(names):
        wanted, came = ", ".join(names), ", ".join(each.workload for each in given)
        raise UsageError(f"--reference: expected one run of each of {wanted}, got {came}")
    return given


def _read(path: Path) -> RunResult:
    try:
        result = read_result(path)
    except OSError as error:
        raise UsageError(f"--reference {path}: expected the result of a run, got: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"--reference {error}") from None
    if result.status != "ok":
        raise UsageError(f"--reference {path}: expected a run with status ok, got {result.status}")
    try:
        validate_summary(summary(result), result)
    except ValueError as error:
        raise UsageError(f"--reference {path}: {error}") from None
    return result


def _shipped(workload: str, preset: str) -> RunResult:
    file = importlib.resources.files("hepscore_adapter") / f"configs/reference/{workload}-{preset}.json"
    with importlib.resources.as_file(file) as path:
        if path.exists():
            return _read(path)
    raise UsageError(
        f"no reference run of {workload} with preset {preset} comes with {DISTRIBUTION}; make one with "
        f"`{_run(workload, preset)}` and name it: --reference {_folder(workload)}"
    )


def _heading(references: Sequence[RunResult], gpus: int, registry: str, repetitions: int) -> Iterable[str]:
    preset = references[0].config["preset"]
    options = f"--preset {preset} --gpus {gpus} --repetitions {repetitions} --registry {registry}"
    yield f"hep-score configuration, written by `hepbench hepscore config` of {DISTRIBUTION} {_version()}."
    yield ""
    yield "    hep-score -f THIS_FILE OUTDIR"
    yield ""
    yield "Read status and score in OUTDIR/HEPscore_DATE/NAME.json: the exit code of hep-score does not tell."
    yield "The score is the geometric mean of throughput over reference throughput: 1 is the reference's."
    if gpus and not any(each.provenance["gpus"] for each in references):
        yield "The reference machine has no GPU: a score says how many times as fast as its CPU a machine is."
    yield ""
    yield "To refer to another machine, run there and write this file anew:"
    yield ""
    for each in references:
        yield f"    {_run(each.workload, preset)}"
    yield f"    hepbench hepscore config {options} \\"
    yield "        " + " ".join(f"--reference {_folder(each.workload)}" for each in references)
    yield ""
    yield "For Apptainer the registry is dir:///FOLDER, the folder of the SIFs named <benchmark>:<version>."


def _block(reference: RunResult, gpus: int) -> Iterable[str]:
    """One benchmark. hep-score drops arguments with characters other than letters, digits, - and _."""
    content = summary(reference)
    arguments = {"preset": reference.config["preset"], **({"gpus": gpus} if gpus else {})}
    yield f"    {image_name(reference.workload)}:"
    yield f"      version: {json.dumps(f'v{_version()}')}"
    yield f"      results_file: {summary_path(reference.workload, Path()).name}"
    yield from (f"      # {line}" for line in _origin(reference, content))
    yield "      ref_scores:"
    for name, score in content["report"]["wl-scores"].items():
        yield f"        {name}: {float(f'{score:.6g}')}"
    if gpus:
        yield "      gpu: true"
    yield "      args:"
    for key, value in arguments.items():
        yield f"        {key}: {value}"


def _origin(reference: RunResult, content: Mapping[str, Any]) -> Iterable[str]:
    """Where the reference scores come from."""
    app, changed = content["app"], content["run_info"]["changed_settings"]
    settings = ", ".join(f"{key} {value}" for key, value in changed.items())
    report = content["report"]
    spread, stats = report["relative_spread"], report["wl-stats"]
    spreads = ", ".join(
        f"{name} {spread[name]:.1%} of {stats[name]['count']}" for name in report["wl-scores"]
    )
    git = app["git"] or {"commit": "no checkout", "dirty": False}
    commit = f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}"
    yield f"{machine(reference.provenance)}; hepbench {app['version']} ({commit})"
    yield f"preset {reference.config['preset']}{f' but for {settings}' if settings else ''}"
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
