"""What is checked before a server starts, and connections to one that is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.serving import environment
from benchmarks.serving.connection import Connection
from benchmarks.serving.repository import Batching, configuration
from benchmarks.serving.server import check_bounds, check_shared_memory, remote_server, weights_failure
from tests.benchmarks.serving.linear import SERVED, predict, served_here


def test_requests_under_way_are_bound_to_32_mb() -> None:
    check_bounds(1693, 2, 48 * 48 * 4)
    with pytest.raises(UsageError, match=r"got 3 of 1693 patches, which are 46.8 MB"):
        check_bounds(1693, 3, 48 * 48 * 4)


def test_too_little_shared_memory_is_one_line(small_disk: Path) -> None:
    """The file system of the fixture has 6 MiB."""
    with pytest.raises(RunFailedError, match=r"expected 8 MB of shared memory in .* got 6 MB") as failure:
        check_shared_memory(200, 48 * 48 * 4, small_disk)
    assert "\n" not in str(failure.value)
    check_shared_memory(200, 48 * 48 * 4)


def test_no_shared_memory_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunFailedError, match=r"expected shared memory at .*none: No such file"):
        check_shared_memory(1, 1, tmp_path / "none")


def test_an_environment_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.VARIABLE, str(tmp_path))
    assert environment.missing_triton().startswith(f"expected Triton's environment at {tmp_path}, got none")
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text("#!/bin/sh\necho broken >&2\nexit 3\n", encoding="utf-8")
    python.chmod(0o755)
    assert environment.missing_triton().endswith("does not start: broken")


def test_a_server_that_is_there_is_asked_for_its_model() -> None:
    with served_here() as server:
        assert remote_server(server.address, SERVED).kind == "remote"
        connection = Connection(server.address)
        patches = np.ones((2, 3, 4, 1), np.float32)
        answer = connection.infer(SERVED, patches, SERVED.outputs, 5.0)
        np.testing.assert_allclose(answer["others"], predict(patches)["others"])
        connection.close()


def test_a_server_without_the_model_is_refused() -> None:
    from dataclasses import replace

    with served_here() as server, pytest.raises(RunFailedError, match="does not have the model other ready"):
        remote_server(server.address, replace(SERVED, name="other"))
    with pytest.raises(RunFailedError, match="cannot be reached"):
        remote_server("127.0.0.1:9", SERVED)


def test_the_weights_that_answer_are_compared() -> None:
    from dataclasses import replace

    with served_here() as server:
        assert weights_failure(server, SERVED, 5.0) == ""
        other = replace(SERVED, weights_sha256="0" * 64)
        failure = weights_failure(server, other, 5.0)
    assert failure == f"expected the weights 000000000000 to answer, got {SERVED.weights_sha256[:12]}"


def test_the_configuration_says_how_requests_are_joined() -> None:
    text = configuration(SERVED, Batching(64, (16, 32), 500, 8), threads=2)
    for line in (
        'name: "linear"',
        "max_batch_size: 64",
        "dims: [3, 4, 1]",
        "preferred_batch_size: [16, 32]",
        "max_queue_delay_microseconds: 500",
        "max_queue_size: 8",
        'key: "threads" value { string_value: "2" }',
    ):
        assert line in text


def test_a_preferred_batch_above_the_largest_is_refused() -> None:
    with pytest.raises(UsageError, match="at most the largest batch 64, got 65"):
        Batching(64, (65,))


def test_the_environment_is_beside_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setattr("sys.prefix", "/somewhere/.venv")
    assert environment.folder() == Path("/somewhere/.venv-triton")
