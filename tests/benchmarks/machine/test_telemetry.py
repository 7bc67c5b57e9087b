from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from benchmarks.machine import nvml
from benchmarks.machine.memory import host_memory_peak_bytes
from benchmarks.machine.telemetry import Telemetry, together

SPIN = "import time; end = time.perf_counter() + 0.6\nwhile time.perf_counter() < end: pass"


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_busy_process_is_seen_as_its_own_load() -> None:
    with Telemetry(interval=0.1) as telemetry:
        start = time.process_time()
        spin(0.5)
        used = time.process_time() - start
    seen = telemetry.summary()
    assert seen["seconds"] >= 0.5
    assert seen["cpu_cores_mean"] * seen["seconds"] == pytest.approx(used, abs=0.1)
    assert seen["samples"] >= 3


def test_a_child_belongs_to_the_run_and_is_not_foreign() -> None:
    with Telemetry(interval=0.1) as telemetry:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", SPIN], check=True)
        assert time.perf_counter() - start >= 0.6
    seen = telemetry.summary()
    assert seen["cpu_cores_mean"] * seen["seconds"] > 0.2


def test_foreign_load_is_seen() -> None:
    """The other process is no child: it is started by a shell that ends at once."""
    with subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1" & echo started', sys.executable, SPIN], stdout=subprocess.PIPE
    ) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        with Telemetry(interval=0.1) as telemetry:
            time.sleep(0.5)
        shell.stdout.close()
    seen = telemetry.summary()
    assert seen["foreign_cpu_cores_mean"] > 0.2
    assert seen["foreign_cpu_cores_max"] >= seen["foreign_cpu_cores_mean"]
    assert seen["cpu_cores_mean"] < 0.2


def test_peak_memory_includes_children() -> None:
    size = host_memory_peak_bytes() + 100_000_000
    code = f"import time; block = b'x' * {size}; time.sleep(0.5)"
    with Telemetry(interval=0.05) as telemetry:
        subprocess.run([sys.executable, "-c", code], check=True)
    assert telemetry.summary()["rss_bytes_max"] > size


def test_a_block_shorter_than_the_interval_still_has_two_samples() -> None:
    with Telemetry(interval=60.0) as telemetry:
        time.sleep(0.05)
    seen = telemetry.summary()
    assert seen["samples"] == 2
    assert seen["cpu_cores_max"] == seen["cpu_cores_mean"]


def test_the_summary_is_strict_json() -> None:
    with Telemetry() as telemetry:
        time.sleep(0.02)
    json.dumps(telemetry.summary(), allow_nan=False)


def test_a_failing_run_is_not_hidden_and_the_thread_ends() -> None:
    telemetry = Telemetry(interval=0.01)
    with pytest.raises(KeyError), telemetry:
        raise KeyError("x")
    assert telemetry.summary()["samples"] >= 2


def test_a_summary_before_the_end_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"^expected the telemetry's with block to have ended$"):
        Telemetry().summary()


def test_without_a_gpu_there_is_none_and_no_energy() -> None:
    if nvml.handles():
        pytest.skip("this machine has a GPU")
    with Telemetry() as telemetry:
        time.sleep(0.02)
    seen = telemetry.summary()
    assert (seen["gpus"], seen["gpu_energy_joules"]) == ([], None)


@pytest.mark.gpu
def test_a_gpu_is_seen() -> None:
    if not nvml.visible_handles():
        pytest.skip(f"no GPU: {nvml.unavailable()}")
    with Telemetry(interval=0.1) as telemetry:
        time.sleep(0.5)
    seen = telemetry.summary()
    assert [gpu["index"] for gpu in seen["gpus"]] == list(nvml.visible_handles())
    for gpu in seen["gpus"]:
        assert gpu["name"]
        assert gpu["memory_used_bytes_max"] > 0
        assert 0 <= gpu["utilization_mean"] <= 1
        assert 0 < gpu["power_watts_mean"] <= gpu["power_watts_max"]
        assert 0 <= gpu["energy_joules"] <= 2 * gpu["power_watts_max"] * seen["seconds"] + 50


def test_ranks_are_summed_and_their_neighbours_are_no_foreigners() -> None:
    """Two ranks on node 0, where others kept half a core busy, and one on node 1, alone."""

    def seen(own: float, foreign: float, joules: float) -> dict[str, Any]:
        return {
            "seconds": own,
            "samples": 3,
            "rss_bytes_max": 100,
            "cpu_cores_mean": own,
            "cpu_cores_max": 2 * own,
            "foreign_cpu_cores_mean": foreign,
            "foreign_cpu_cores_max": 2 * foreign,
            "gpus": [{"energy_joules": joules}],
            "gpu_energy_joules": joules,
        }

    ranks = [seen(1.0, 2.0 + 0.5, 10.0), seen(2.0, 1.0 + 0.5, 20.0), seen(4.0, 0.0, 30.0)]
    whole = together([0, 0, 1], ranks)
    assert (whole["seconds"], whole["samples"], whole["rss_bytes_max"]) == (4.0, 3, 300)
    assert (whole["cpu_cores_mean"], whole["cpu_cores_max"]) == (7.0, 14.0)
    assert (whole["foreign_cpu_cores_mean"], whole["foreign_cpu_cores_max"]) == (0.5, 1.0)
    assert (len(whole["gpus"]), whole["gpu_energy_joules"]) == (3, 60.0)
    ranks[1]["gpu_energy_joules"] = None
    assert together([0, 0, 1], ranks)["gpu_energy_joules"] is None
