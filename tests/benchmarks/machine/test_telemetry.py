from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import psutil
import pytest

from benchmarks.machine import nvml
from benchmarks.machine.core_times import CoreTimes, core_times
from benchmarks.machine.memory import host_memory_peak_bytes
from benchmarks.machine.nvidia_gpu import NvidiaGpu
from benchmarks.machine.series import read_series
from benchmarks.machine.telemetry import Telemetry, together
from tests.benchmarks.machine.fake_nvml import FakeNvml

SPIN = "import time; end = time.perf_counter() + 0.6\nwhile time.perf_counter() < end: pass"


def visible_gpus() -> list[NvidiaGpu]:
    return [NvidiaGpu(index, handle) for index, handle in nvml.visible_handles().items()]


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
    """The child says how much time it had, because tests share the machine."""
    code = f"{SPIN}\nprint(time.process_time())"
    with Telemetry(interval=0.1) as telemetry:
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seen = telemetry.summary()
    assert seen["cpu_cores_mean"] * seen["seconds"] >= float(child.stdout) > 0


def test_what_a_thread_of_a_child_starts_belongs_to_the_run() -> None:
    """An inference server starts the process of its model so, and the kernel lists it with that thread."""
    endless = "import os; print(os.getpid(), flush=True)\nwhile True: pass"
    call = f"target=subprocess.run, args=([sys.executable, '-c', {endless!r}],)"
    code = f"import subprocess, sys, threading; threading.Thread({call}).start()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None
        try:
            process = psutil.Process(int(child.stdout.readline()))
            with Telemetry(interval=0.1) as telemetry:
                start = process.cpu_times().user
                time.sleep(1.0)
                used = process.cpu_times().user - start
        finally:
            os.killpg(child.pid, signal.SIGKILL)
    seen = telemetry.summary()
    assert seen["cpu_cores_mean"] * seen["seconds"] >= used > 0


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
    with Telemetry() as telemetry:
        time.sleep(0.02)
    seen = telemetry.summary()
    assert (seen["gpus"], seen["gpu_energy_joules"]) == ([], None)


@pytest.mark.gpu
def test_a_gpu_is_seen() -> None:
    if not nvml.visible_handles():
        pytest.skip(f"no GPU: {nvml.unavailable()}")
    with Telemetry(interval=0.1, gpus=visible_gpus()) as telemetry:
        time.sleep(0.5)
    seen = telemetry.summary()
    assert [gpu["index"] for gpu in seen["gpus"]] == list(nvml.visible_handles())
    for gpu in seen["gpus"]:
        assert gpu["name"]
        assert gpu["memory_used_bytes_max"] > 0
        if gpu["utilization_mean"] is not None:
            assert 0 <= gpu["utilization_mean"] <= 1
        if gpu["power_watts_max"] is not None:
            assert 0 < gpu["power_watts_mean"] <= gpu["power_watts_max"]
        if gpu["power_watts_max"] is not None and gpu["energy_joules"] is not None:
            assert 0 <= gpu["energy_joules"] <= 2 * gpu["power_watts_max"] * seen["seconds"] + 50
    for gpu in seen["series"][0]["gpus"]:
        for name, column in gpu["columns"].items():
            assert (column["values"] is None) == bool(column.get("missing")), name


def seen_by_rank(cores: str, own: float, foreign: float, joules: float | None = 0.0) -> dict[str, Any]:
    return {
        "seconds": own,
        "samples": 3,
        "error": None,
        "rss_bytes_max": 100,
        "cores": cores,
        "cpu_cores_mean": own,
        "cpu_cores_max": 2 * own,
        "foreign_cpu_cores_mean": foreign,
        "foreign_cpu_cores_max": 2 * foreign,
        "stolen_fraction": foreign / 100,
        "gpus": [{"energy_joules": joules}],
        "gpu_energy_joules": joules,
        "series": [{"rank": 0, "node": 0, "started_at": own}],
    }


def test_ranks_are_summed_and_their_neighbours_are_no_foreigners() -> None:
    """Two ranks on the same cores of node 0, where others kept half a core busy, and one on node 1, alone."""
    ranks = [
        seen_by_rank("0-3", 1.0, 2.0 + 0.5, 10.0),
        seen_by_rank("0-3", 2.0, 1.0 + 0.5, 20.0),
        seen_by_rank("0-3", 4.0, 0.0, 30.0),
    ]
    whole = together([0, 0, 1], ranks)
    assert (whole["seconds"], whole["samples"], whole["rss_bytes_max"]) == (4.0, 3, 300)
    assert (whole["cpu_cores_mean"], whole["cpu_cores_max"]) == (7.0, 14.0)
    assert (whole["foreign_cpu_cores_mean"], whole["foreign_cpu_cores_max"]) == (0.5, 1.0)
    assert whole["stolen_fraction"] == pytest.approx(0.04 / 3)
    assert (len(whole["gpus"]), whole["gpu_energy_joules"]) == (3, 60.0)
    assert whole["error"] is None
    assert whole["series"] == [
        {"rank": 0, "node": 0, "started_at": 1.0},
        {"rank": 1, "node": 0, "started_at": 2.0},
        {"rank": 2, "node": 1, "started_at": 4.0},
    ]
    ranks[1]["gpu_energy_joules"] = None
    ranks[2]["error"] = "OSError: x"
    whole = together([0, 0, 1], ranks)
    assert (whole["gpu_energy_joules"], whole["error"]) == (None, "rank 2: OSError: x")


def test_ranks_on_cores_of_their_own_see_other_strangers() -> None:
    ranks = [seen_by_rank("0-1", 2.0, 0.25), seen_by_rank("2-3", 2.0, 0.5)]
    whole = together([0, 0], ranks)
    assert (whole["foreign_cpu_cores_mean"], whole["foreign_cpu_cores_max"]) == (0.75, 1.5)
    assert whole.keys() == ranks[0].keys() - {"cores"}


def test_only_cores_that_this_process_may_use_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = set()

    def watch(cores: frozenset[int]) -> CoreTimes:
        watched.add(cores)
        return core_times(cores)

    monkeypatch.setattr("benchmarks.machine.telemetry.core_times", watch)
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        with Telemetry(interval=0.02) as telemetry:
            time.sleep(0.1)
    finally:
        os.sched_setaffinity(0, allowed)
    assert watched == {frozenset({min(allowed)})}
    assert telemetry.summary()["cores"] == str(min(allowed))


def test_stolen_time_is_a_share_of_the_cores_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cores, of which a hypervisor takes two, as the kernel's file would say."""
    start = time.perf_counter()

    def stolen(_: object) -> CoreTimes:
        seconds = time.perf_counter() - start
        return CoreTimes(busy=4 * seconds, stolen=2 * seconds, number=4)

    monkeypatch.setattr("benchmarks.machine.telemetry.core_times", stolen)
    with Telemetry() as telemetry:
        time.sleep(0.1)
    seen = telemetry.summary()
    assert seen["stolen_fraction"] == pytest.approx(0.5, rel=0.05)
    assert seen["foreign_cpu_cores_mean"] == pytest.approx(4.0, rel=0.2)


def test_nothing_went_wrong_and_the_summary_says_so() -> None:
    with Telemetry() as telemetry:
        time.sleep(0.02)
    assert telemetry.summary()["error"] is None


@pytest.mark.parametrize("good", [1, 3])
def test_an_error_ends_the_watching_and_not_the_run(monkeypatch: pytest.MonkeyPatch, good: int) -> None:
    """The machine can be read once (on entry) or three times, and never again."""
    calls = itertools.count(1)

    def breaking(cores: frozenset[int]) -> CoreTimes:
        if next(calls) > good:
            raise OSError("no more")
        return core_times(cores)

    monkeypatch.setattr("benchmarks.machine.telemetry.core_times", breaking)
    with Telemetry(interval=0.01) as telemetry:
        time.sleep(0.2)
    seen = telemetry.summary()
    assert seen["error"] == "OSError: no more"
    assert (seen["samples"], seen["stolen_fraction"]) == (good, 0.0)
    json.dumps(seen, allow_nan=False)


def test_of_a_slice_only_memory_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver would report the power of the whole GPU for it."""
    FakeNvml(1, slices={0: 2}).install(monkeypatch)
    with Telemetry(gpus=visible_gpus()) as telemetry:
        time.sleep(0.02)
    (gpu,) = telemetry.summary()["gpus"]
    assert gpu == {
        "index": 0,
        "name": "NVIDIA H100 MIG 1g.10gb",
        "memory_used_bytes_max": 1 << 30,
        "utilization_mean": None,
        "power_watts_mean": None,
        "power_watts_max": None,
        "energy_joules": None,
    }
    assert telemetry.summary()["gpu_energy_joules"] is None


@pytest.mark.parametrize(("virtual", "joules"), [(False, 1.0), (True, None)])
def test_energy_is_what_the_counter_gained(
    monkeypatch: pytest.MonkeyPatch, virtual: bool, joules: float | None
) -> None:
    FakeNvml(1, virtual=virtual).install(monkeypatch)
    with Telemetry(interval=60.0, gpus=visible_gpus()) as telemetry:
        time.sleep(0.02)
    assert telemetry.summary()["gpu_energy_joules"] == joules


def test_the_series_has_a_value_for_each_sample_and_the_clock_of_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FakeNvml(1).install(monkeypatch)
    before = time.time()
    with Telemetry(interval=0.2, gpus=visible_gpus()) as telemetry:
        spin(1.0)
    after = time.time()
    seen = telemetry.summary()
    (entry,) = seen["series"]
    readings = read_series(entry)
    assert before - 0.01 <= readings.times[0] <= readings.times[-1] <= after + 0.3
    assert len(readings.times) == seen["samples"] >= 4
    assert readings.times == sorted(readings.times)
    for columns in (readings.host, *readings.gpus):
        assert {len(values) for name, values in columns.values.items() if name not in columns.reasons} == {
            seen["samples"]
        }
    cores = [value for value in readings.host.values["cpu_cores"] if value is not None]
    assert max(cores) == pytest.approx(seen["cpu_cores_max"], abs=0.01)
    assert [gpu["name"] for gpu in entry["gpus"]] == ["NVIDIA H100"]
    assert set(readings.gpus[0].values["power"]) == {300.0}


def test_a_sensor_that_breaks_leaves_columns_of_one_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The load is read before the GPU, which breaks in the third sample."""
    FakeNvml(1).install(monkeypatch)
    calls = itertools.count(1)

    def breaking(_gpu: NvidiaGpu, _now: float) -> dict[str, float]:
        if next(calls) > 2:
            raise RuntimeError("no more")
        return {"power": 300.0}

    monkeypatch.setattr(NvidiaGpu, "read", breaking)
    with Telemetry(interval=0.05, gpus=visible_gpus()) as telemetry:
        time.sleep(0.3)
    seen = telemetry.summary()
    readings = read_series(seen["series"][0])
    assert (seen["samples"], seen["error"]) == (2, "RuntimeError: no more")
    assert (
        len(readings.times)
        == len(readings.host.values["memory"])
        == len(readings.gpus[0].values["power"])
        == 2
    )


def test_samples_that_were_missed_are_not_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second sample takes as long as ten of them."""
    calls = itertools.count(1)

    def slow(cores: frozenset[int]) -> CoreTimes:
        if next(calls) == 2:
            time.sleep(0.5)
        return core_times(cores)

    monkeypatch.setattr("benchmarks.machine.telemetry.core_times", slow)
    with Telemetry(interval=0.05) as telemetry:
        time.sleep(0.72)
    assert telemetry.summary()["samples"] <= 7
