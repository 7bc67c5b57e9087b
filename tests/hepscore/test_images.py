"""The real hep-score and the real suite on the real images: minutes for each."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.machine.provenance import package_version
from benchmarks.workload import REGISTRY, image_name
from tests.hepscore.images import ENGINES, measure, write_configuration
from tests.hepscore.outcome import problems, read_strictly
from tests.hepscore.programs import program, run_suite

HEP_SCORE = program("HEPSCORE_BIN", "hep-score") or ""
BMKRUN = program("BMKRUN_BIN", "bmkrun") or ""
pytestmark = [pytest.mark.container, pytest.mark.slow]


def lacking(engine: str) -> str:
    """What of an engine and its images is not there; empty if nothing is."""
    if shutil.which(engine) is None:
        return f"no {engine} on the PATH"
    for workload in REGISTRY:
        image = f"{ENGINES[engine].partition('://')[2]}/{image_name(workload)}:v{package_version('hepbench')}"
        if engine == "docker":
            asked = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
            there = asked.returncode == 0
        else:
            there = Path(image).exists()
        if not there:
            return f"no image {image}: make image sif"
    return ""


@pytest.mark.skipif(not HEP_SCORE, reason="no hep-score: HEPSCORE_BIN and the PATH name none")
@pytest.mark.parametrize("engine", ENGINES)
def test_hep_score_scores_every_image(engine: str, tmp_path: Path) -> None:
    if reason := lacking(engine):
        pytest.skip(reason)
    outcome, wrong, _ = measure(HEP_SCORE, engine, tmp_path)
    assert wrong == []
    assert set(outcome["wl-scores"]) == {image_name(workload) for workload in REGISTRY}
    for name, block in outcome["benchmarks"].items():
        assert block["app"]["containment"] == {"docker": "docker", "singularity": "apptainer"}[engine], name


@pytest.mark.skipif(not BMKRUN, reason="no hep-benchmark-suite: BMKRUN_BIN and the PATH name none")
def test_the_suite_publishes_the_score_of_every_image(tmp_path: Path) -> None:
    if reason := lacking("docker"):
        pytest.skip(reason)
    configuration = write_configuration(tmp_path, "docker")
    printed = run_suite(BMKRUN, configuration, tmp_path / "suite", mode="docker")
    (report,) = (tmp_path / "suite").glob("run_*/bmkrun_report.json")
    outcome = read_strictly(report)["profiles"]["hepscore"]
    assert list(problems(outcome, report.parent / "HEPSCORE", configuration)) == [], printed
