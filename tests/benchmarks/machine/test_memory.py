from __future__ import annotations

import resource
import subprocess
import sys

import psutil

from benchmarks.machine.memory import (
    host_memory_peak_bytes,
    memory_available_bytes,
    reset_memory_peak,
)

MIB = 1 << 20


def test_the_peak_remembers_memory_that_was_given_back() -> None:
    before = psutil.Process().memory_info().rss
    block = b"x" * (256 * MIB)
    del block
    assert host_memory_peak_bytes() >= before + 200 * MIB


def test_the_peak_is_not_inherited_from_the_process_that_started_this_one() -> None:
    """Fails with ``ru_maxrss``, where a launcher's gigabyte would show up as the benchmark's."""
    block = b"x" * (256 * MIB)
    code = "from benchmarks.machine.memory import host_memory_peak_bytes as peak; print(peak())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(block) == 256 * MIB
    assert 0 < int(answer.stdout) < 128 * MIB


def test_available_memory_is_less_than_there_is() -> None:
    assert 0 < memory_available_bytes() <= psutil.virtual_memory().total


def test_available_memory_keeps_to_the_limit_on_the_address_space() -> None:
    code = "from benchmarks.machine.memory import memory_available_bytes as room; print(room())"
    limit = 512 * MIB
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert 300 * MIB < int(answer.stdout) < limit


def test_the_peak_starts_again_from_what_is_held() -> None:
    large = bytearray(200_000_000)
    assert host_memory_peak_bytes() > 200_000_000
    del large
    held = reset_memory_peak()
    assert held - 1_000_000 < host_memory_peak_bytes() < held + 100_000_000
