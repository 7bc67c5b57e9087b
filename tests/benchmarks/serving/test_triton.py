"""The real Triton: what it serves, what it says of itself, and everything that can go wrong with it."""

from __future__ import annotations

import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.errors import RunFailedError
from benchmarks.serving.environment import missing_triton
from benchmarks.serving.load import run_load
from benchmarks.serving.repository import Batching
from benchmarks.serving.server import Server, remote_server, weights_failure
from tests.benchmarks.serving.linear import SERVED, load, replay, triton
from tests.command import environment

MISSING = missing_triton()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"no Triton: {MISSING}")]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No process and no shared memory of a server outlives it, however the test ends, within a minute."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 60
    commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    # Python keeps one process for itself, as soon as it has started another.
    assert [command for command in commands if "multiprocessing.resource_tracker" not in command] == []
    assert multiprocessing.active_children() == []
    assert list(Path("/dev/shm").glob(f"hepbench_{os.getpid()}_*")) == []


def server_processes() -> list[psutil.Process]:
    """The server, and then the process of its model."""
    children = psutil.Process().children(recursive=True)
    servers = [child for child in children if child.name() == "tritonserver"]
    return servers + [child for child in children if child.name().startswith("triton_python")]


def later(action: Callable[[], None]) -> Callable[[], None]:
    """What a load calls when its clients are ready: the action follows in the middle of the load."""
    return threading.Timer(0.8, action).start


def test_a_load_on_the_real_server_is_measured_and_joined(tmp_path: Path) -> None:
    """Eight clients, each with four patches under way, and a delay in which the server collects sixteen."""
    batching = Batching(64, preferred=(16,), delay_microseconds=20_000)
    changes = {"SECONDS = 0.0": "SECONDS = 0.005"}
    with triton(tmp_path, batching, changes) as server:
        assert server.kind == "triton"
        assert server.version.startswith("triton 2.")
        assert weights_failure(server, SERVED, 5.0) == ""
        assert remote_server(server.address, SERVED).version == server.version
        many = load(clients=8, batch=4, window_seconds=0.5, request_seconds=10.0)
        figures = run_load(server, SERVED, replay(tmp_path / "events"), many)
    assert figures["mean_batch"] > 8
    assert figures["executions"] < figures["requests"]
    assert 0 < figures["busy"] < 1.1
    split = figures["split_seconds"]
    assert split["queue"] > 0
    assert split["compute"] > 0.005
    assert split["network"] > 0


def test_a_server_that_is_killed_in_a_run_ends_it(tmp_path: Path) -> None:
    with triton(tmp_path) as server:
        kill = later(lambda: server_processes()[0].kill())
        with pytest.raises(RunFailedError, match="the inference server was killed by SIGKILL") as failure:
            run_load(server, SERVED, replay(tmp_path / "events"), load(window_seconds=3.0), kill)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("process", [0, 1], ids=["the server", "its model"])
def test_a_server_that_hangs_ends_the_run(process: int, tmp_path: Path) -> None:
    with triton(tmp_path) as server:
        hang = later(lambda: server_processes()[process].suspend())
        patient = load(window_seconds=8.0, request_seconds=2.0)
        with pytest.raises(RunFailedError, match=r"did not answer within 2 s|is not healthy"):
            run_load(server, SERVED, replay(tmp_path / "events"), patient, hang)


def test_a_model_that_is_killed_ends_the_run(tmp_path: Path) -> None:
    with triton(tmp_path) as server:
        kill = later(lambda: server_processes()[1].kill())
        patient = load(window_seconds=8.0, request_seconds=2.0)
        with pytest.raises(RunFailedError, match=r"refused a request|did not answer"):
            run_load(server, SERVED, replay(tmp_path / "events"), patient, kill)


def test_a_slow_server_ends_the_run(tmp_path: Path) -> None:
    with (
        triton(tmp_path, changes={"SECONDS = 0.0": "SECONDS = 1.5"}) as server,
        pytest.raises(RunFailedError, match=r"did not answer within 0.5 s"),
    ):
        run_load(server, SERVED, replay(tmp_path / "events"), load(request_seconds=0.5))


def test_a_full_queue_ends_the_run(tmp_path: Path) -> None:
    batching = Batching(4, queue_size=1)
    with (
        triton(tmp_path, batching, {"SECONDS = 0.0": "SECONDS = 0.1"}) as server,
        pytest.raises(RunFailedError, match="refused a request because its queue is full"),
    ):
        run_load(server, SERVED, replay(tmp_path / "events"), load(clients=6))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("OFFSET = 1.0", "client .: wrong answer: expected the output first within 0.0001"),
        ("OFFSET = float('nan')", "client .: wrong answer: .* got a difference of nan"),
    ],
    ids=["other values", "no numbers"],
)
def test_nonsense_ends_the_run(change: str, reason: str, tmp_path: Path) -> None:
    with (
        triton(tmp_path, changes={"OFFSET = 0.0": change}) as server,
        pytest.raises(RunFailedError, match=reason),
    ):
        run_load(server, SERVED, replay(tmp_path / "events"), load())


def test_other_weights_are_found(tmp_path: Path) -> None:
    with triton(tmp_path, changes={"(12, 3) / 36": "(12, 3) / 35"}) as server:
        assert weights_failure(server, SERVED, 5.0).startswith(
            f"expected the weights {SERVED.weights_sha256[:12]} to answer, got "
        )


def test_a_server_that_is_gone_before_the_start_ends_the_run(tmp_path: Path) -> None:
    with triton(tmp_path) as server:
        server_processes()[0].kill()
        with pytest.raises(RunFailedError, match="the inference server was killed by SIGKILL"):
            run_load(server, SERVED, replay(tmp_path / "events"), load())
    with pytest.raises(RunFailedError, match="cannot be reached"):
        run_load(Server(server.address, "remote", ""), SERVED, replay(tmp_path / "events"), load())


def test_a_client_that_is_killed_ends_the_run(tmp_path: Path) -> None:
    with triton(tmp_path) as server:
        kill = later(lambda: multiprocessing.active_children()[0].kill())
        with pytest.raises(RunFailedError, match=r"client . was killed by SIGKILL; its requests are lost"):
            run_load(server, SERVED, replay(tmp_path / "events"), load(window_seconds=3.0), kill)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(RunFailedError, match=f"the inference server ended with .*{port}") as failure,
            triton(tmp_path, port=port),
        ):
            pass
    assert "\n" not in str(failure.value)


def test_a_model_that_does_not_load_is_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(RunFailedError, match="these weights are of another model") as failure,
        triton(tmp_path, changes={"LOADS = True": "LOADS = False"}),
    ):
        pass
    assert "\n" not in str(failure.value)


def test_a_model_that_takes_too_long_to_load_is_one_line(tmp_path: Path) -> None:
    changes = {"if not LOADS:": "time.sleep(60)\n        if not LOADS:"}
    with (
        pytest.raises(RunFailedError, match="was not ready within 3 s"),
        triton(tmp_path, changes=changes, ready_seconds=3.0),
    ):
        pass


RUN = """
import sys
from pathlib import Path
from benchmarks.serving.load import run_load
from tests.benchmarks.serving.linear import SERVED, load, replay, triton

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with triton(folder) as server:
        endless = load(window_seconds=60.0)
        run_load(server, SERVED, replay(folder / "events"), endless, lambda: print("begins", flush=True))
"""


def test_a_run_that_is_killed_takes_its_server_with_it(tmp_path: Path) -> None:
    program = tmp_path / "run.py"
    program.write_text(RUN, encoding="utf-8")
    command = [sys.executable, program, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment({}), text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "begins\n"
        started = psutil.Process(run.pid).children(recursive=True)
        run.kill()
    assert len(started) >= 4  # the server, its model and two clients
    _, alive = psutil.wait_procs(started, timeout=30)
    assert alive == []
