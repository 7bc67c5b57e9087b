"""hep-score on the images that ``make image sif`` made."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.command import ROOT, hepbench
from tests.hepscore.outcome import problems, read_outcome
from tests.hepscore.programs import run_hep_score

# What hep-score calls an engine, and where that finds the images.
ENGINES = {"docker": "docker://localhost/hepbench", "singularity": f"dir://{ROOT / 'build' / 'sif'}"}
RESULTS = ROOT / "results" / "hepscore"


def write_configuration(folder: Path, engine: str) -> Path:
    """Two repetitions of both workloads on the CPU, as a site would ask for them."""
    options = ["--preset=smoke", "--gpus=0", "--repetitions=2", f"--registry={ENGINES[engine]}"]
    file = folder / "config.yaml"
    answer = hepbench("hepscore", "config", *options, "--output", file)
    assert answer.returncode == 0, answer.stderr
    return file


def measure(hep_score: str, engine: str, parent: Path) -> tuple[dict[str, Any], list[str], Path]:
    """Runs hep-score in a new folder.

    Returns:
        Its report, what is wrong with it, and where everything lies.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"{engine}-", dir=parent))
    configuration = write_configuration(folder, engine)
    printed = run_hep_score(hep_score, configuration, folder, mode=engine)
    outcome = read_outcome(folder, configuration)
    (results,) = folder.glob("HEPscore_*")
    wrong = list(problems(outcome, results, configuration))
    if "Final result" not in printed:
        wrong.append("expected the line 'Final result'")
    return outcome, wrong, results
