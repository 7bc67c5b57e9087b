"""Runs on a GPU, which this project's machines may lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.backends import REGISTRY
from benchmarks.machine import nvml
from benchmarks.result import read_result
from benchmarks.scores import is_quotable
from tests.command import hepbench


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("backend", REGISTRY)
def test_several_processes_share_a_gpu(backend: str, data_cache: Path, tmp_path: Path) -> None:
    if not nvml.visible_handles():
        pytest.skip(f"no GPU: {nvml.unavailable()}")
    pytest.importorskip(backend, reason=f"no {REGISTRY[backend].title}: {REGISTRY[backend].install}")
    assert data_cache.exists()
    answer = hepbench(
        *("run", "mellin_dis", "--backend", backend, f"--output={tmp_path}"),
        *("--set=series_events=10000", "--set=repetition_seconds=1"),
        timeout=600,
    )
    assert answer.returncode == 0, answer.stderr
    result = read_result(tmp_path / "result.json")
    if result.device != "gpu":
        pytest.skip(f"no GPU: {backend} cannot use it")

    # Nothing but the first GPU was used, and all processes were on it together.
    assert result.config["implementation"] == "pairs"
    assert result.kernel["environment"]["CUDA_VISIBLE_DEVICES"] == nvml.assignable_devices()[0]
    several = result.kernel["node"][1]
    assert several["processes"] == 2
    assert is_quotable(several)

    # The peak of the device rises with the events.
    peaks = [
        entry["peak_memory_bytes"]
        for entry in sorted(result.kernel["series"], key=lambda entry: entry["events"])
        if entry["implementation"] == "eager"
    ]
    assert peaks == sorted(peaks)
    assert peaks[-1] > 2 * peaks[0] > 0
