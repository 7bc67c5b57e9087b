"""Whole runs on the other backends, from the command line: verdict, figures of merit and summary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.result import read_result
from hepscore_adapter.validate import validate_summary
from tests.command import hepbench, read
from tests.conftest import Finished, tiny, tiny_tracks
from tests.equal.test_equal import OTHERS, require

RUNS = {"mlpf": (tiny, "finished"), "gnn_tracking": (tiny_tracks, "tracked")}


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("workload", RUNS)
def test_a_run_trains_as_on_tensorflow(
    workload: str, backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Losses are near those of TensorFlow, where a rounded digit may send an element to another bin."""
    require(backend)
    arguments: Callable[[], list[str]] = RUNS[workload][0]
    plain: Finished = request.getfixturevalue(RUNS[workload][1])
    answer = hepbench("run", *arguments(), "--backend", backend, "--output", tmp_path)
    assert answer.returncode == 0, answer.stderr

    result = read_result(tmp_path / "result.json")
    assert result.config["backend"] == backend
    assert backend in result.provenance["framework"]
    assert result.quality.keys() == plain.result["quality"].keys()
    for epoch, expected in zip(result.epochs, plain.result["epochs"], strict=True):
        assert epoch.loss == pytest.approx(expected["loss"], rel=0.05)
    assert result.verdict["word"]

    summary = read(tmp_path / f"{workload}_summary.json")
    validate_summary(summary, result)
    assert summary["report"]["settings"]["backend"] == backend


@pytest.mark.slow
def test_a_backend_that_is_not_installed_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['jax'] = None\n", encoding="utf-8")
    env = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}
    answer = hepbench("run", *tiny(backend="jax"), "--output", tmp_path / "run", env=env)
    assert answer.returncode == 2
    assert answer.stderr.startswith("hepbench: jax cannot be imported (")
    assert answer.stderr.endswith("; install it with pip install '.[jax]' or '.[jax-gpu]'\n")
