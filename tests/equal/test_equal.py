"""From the same initial weights, every framework comes to the loss and the gradients of TensorFlow."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.backends import REGISTRY
from tests.command import ROOT, environment

# As small as it takes to have several bins, several pieces, and a network of each kind.
SETTINGS = {
    "mlpf": ("batch_size=4", "pad_to=256", "bin_size=64", "threads=1"),
    "gnn_tracking": ("pad_nodes=60", "pad_edges=200", "piece_edges=50", "hidden=8", "threads=1"),
}
OTHERS = [name for name in REGISTRY if name != "tensorflow"]

Arrays = dict[str, np.ndarray]


def take_step(folder: Path, workload: str, *settings: str) -> Arrays:
    """Returns what a step on a backend leaves, or skips where its framework is not installed."""
    file = folder / "step.npz"
    answer = subprocess.run(
        [sys.executable, "-m", "tests.equal.step", file, workload, *SETTINGS[workload], *settings],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment({}),
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    with np.load(file) as arrays:
        return dict(arrays)


def require(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"no {REGISTRY[backend].title}: {REGISTRY[backend].install}")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Arrays]:
    require("tensorflow")
    return {name: take_step(tmp_path_factory.mktemp(name), name, "backend=tensorflow") for name in SETTINGS}


def assert_equal(step: Arrays, expected: Arrays) -> None:
    """Compares the loss to 1e-6, and each gradient to 1e-4 of its norm.

    A gradient may be nothing but rounding: distances do not change with the bias of all points.
    """
    assert step.keys() == expected.keys()
    assert float(step["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-6)
    gradients = step.keys() - {"loss", "predictions"}
    assert len(gradients) > 10
    rounding = 1e-7 * max(float(np.linalg.norm(expected[name])) for name in gradients)
    for name in gradients:
        difference = np.linalg.norm(step[name] - expected[name])
        assert difference <= 1e-4 * np.linalg.norm(expected[name]) + rounding, name
    scale = np.abs(expected["predictions"]).max()
    assert np.abs(step["predictions"] - expected["predictions"]).max() <= 1e-3 * scale


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("workload", SETTINGS)
def test_a_step_is_that_of_tensorflow(
    workload: str, backend: str, reference: dict[str, Arrays], tmp_path: Path
) -> None:
    require(backend)
    assert_equal(take_step(tmp_path, workload, f"backend={backend}"), reference[workload])


@pytest.mark.slow
@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("mode", ["checkpoint", "chunked"])
def test_every_memory_mode_is_that_of_tensorflow(
    mode: str, backend: str, reference: dict[str, Arrays], tmp_path: Path
) -> None:
    require(backend)
    step = take_step(tmp_path, "gnn_tracking", f"backend={backend}", f"memory_mode={mode}")
    assert_equal(step, reference["gnn_tracking"])


@pytest.mark.exhaustive
@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("workload", SETTINGS)
def test_every_precision_takes_a_step(workload: str, precision: str, backend: str, tmp_path: Path) -> None:
    """The loss is near that of float32. Steps of float16 are left out while the loss scale is too large."""
    require(backend)
    plain, step = (
        take_step(tmp_path, workload, f"backend={backend}", f"precision={name}")
        for name in ("float32", precision)
    )
    assert step["predictions"].dtype == "float32"
    assert float(step["loss"]) == pytest.approx(float(plain["loss"]), rel=0.05)
    assert float(step["loss"]) != float(plain["loss"])
