"""What sites get besides Slurm's scripts: a test of ReFrame, a submit file of HTCondor, and a description."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.workload import REGISTRY
from hepscore_adapter.references import read_reference
from tests.command import ROOT, environment
from tests.conftest import tiny

CHECKS = ROOT / "containers" / "reframe" / "hepbench_checks.py"
SUBMIT_FILE = ROOT / "containers" / "htcondor" / "hepbench.sub"
DESCRIPTION = ROOT / "docs" / "DESCRIPTION.md"


@pytest.fixture
def reframe() -> Path:
    program = Path(sys.executable).with_name("reframe")
    if not program.exists():
        pytest.skip("no ReFrame: it is not installed beside this Python")
    return program


@pytest.mark.slow
def test_reframe_runs_its_test_on_this_machine(
    reframe: Path, tmp_path: Path, mlpf_data: Path, data_cache: Path
) -> None:
    """The local scheduler runs the smallest MLPF, and ReFrame reports the scores of its result."""
    assert mlpf_data.is_dir()
    program = tmp_path / "hepbench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m benchmarks.cli "$@"\n')
    program.chmod(0o755)
    options = ",".join(tiny()[1:])
    command = [
        *(reframe, "-c", CHECKS, "-r", "-n", "HepbenchCheck.*mlpf", f"--prefix={tmp_path / 'work'}"),
        *("--keep-stage-files", f"--report-file={tmp_path / 'report.json'}", "-S", "preset=smoke"),
        *("-S", f"program={program}", "-S", f"options={options}"),
    ]
    variables = environment({"HEPBENCH_DATA": str(data_cache), "HOME": str(tmp_path)})
    answer = subprocess.run(
        [str(word) for word in command],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "PASSED" in answer.stdout
    (file,) = (tmp_path / "work").rglob("result/result.json")
    scores = json.loads(file.read_text(encoding="utf-8"))["scores"]
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    (case,) = report["runs"][0]["testcases"]
    figures = {name: (value[0], value[4]) for name, value in case["perfvalues"].items()}
    assert figures == {
        f"generic:default:{name}": (score["spread"]["median"], score["unit"])
        for name, score in scores.items()
    }


def test_the_test_of_reframe_knows_every_workload() -> None:
    (names,) = re.findall(r"parameter\((\[.*\])\)", CHECKS.read_text(encoding="utf-8"))
    assert set(ast.literal_eval(names)) == set(REGISTRY)


def test_the_submit_file_is_one_of_htcondor() -> None:
    """HTCondor's own class reads it. Nothing is submitted."""
    htcondor = pytest.importorskip("htcondor2", reason="no HTCondor: its library is not installed")
    submit = htcondor.Submit(SUBMIT_FILE.read_text(encoding="utf-8"))
    assert submit.expand("arguments") == "run mlpf --preset=hepscore --data=/data/hepscore --output=result"
    assert submit.expand("container_image") == "mlpf-bmk_v0.1.0.sif"
    assert submit.expand("request_gpus") == "1"
    assert submit.expand("transfer_output_files") == "result"
    with pytest.raises(ValueError, match="parse"):
        htcondor.Submit("no submit file\nqueue")


def test_the_submit_file_calls_the_program_of_the_image() -> None:
    text = SUBMIT_FILE.read_text(encoding="utf-8")
    (program,) = re.findall(r"^executable\s*= (\S+)$", text, re.MULTILINE)
    dockerfile = (ROOT / "containers" / "Dockerfile").read_text(encoding="utf-8")
    assert str(Path(program).parent) in dockerfile
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(re.findall(r"bmk_v([\d.]+)\.sif", text)) == {project["version"]}


def test_the_description_has_the_baseline_of_the_reference_runs() -> None:
    """Procurement quotes these figures, so they are those of the results that are shipped."""
    text = DESCRIPTION.read_text(encoding="utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line]
    figures = {(row[0], row[1]): row[2] for row in rows if row[0] in REGISTRY and len(row) == 5}
    expected = {}
    for name in REGISTRY:
        run = read_reference(f"{name}-hepscore-small")
        assert run.provenance["cpu"]["model"] in text
        for score, value in run.scores.items():
            expected[name, score] = f"{value.spread.median:.4g} {value.unit}"
    assert figures == expected
