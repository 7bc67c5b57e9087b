from __future__ import annotations

import dataclasses
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import doctor
from benchmarks.doctor import Check, can_run, examine, format_checks
from benchmarks.launchers import discovery
from tests.benchmarks.machine.fake_nvml import FakeNvml
from tests.command import ROOT, hepbench

GOOD = Check("framework", True, "tensorflow 2.20.0", "every run", "pip install it", required=True)
BAD = dataclasses.replace(GOOD, ok=False, finding="no TensorFlow")
OPTIONAL = Check("Slurm", False, "not on PATH", "batch jobs", "log in to a submit node")


@pytest.fixture(autouse=True)
def no_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares each test the seconds that the import of a framework takes."""
    monkeypatch.setattr(doctor, "_import_failure", lambda _: "")


def check(name: str) -> Check:
    return next(check for check in examine() if check.name == name)


def test_everything_is_looked_for_once() -> None:
    names = [check.name for check in examine()]
    assert names == [
        "framework", "backend tensorflow", "backend jax", "backend torch", "memory", "cores", "disk here",
        "disk cache", "disk /tmp", "GPU", "Horovod", "Docker",
        "Apptainer", "Slurm", "hep-score", "Pythia", "ACTS", "pooch", "plotting",
    ]  # fmt: skip


def test_what_is_missing_says_what_for_and_what_to_do() -> None:
    assert format_checks([GOOD, OPTIONAL]).splitlines() == [
        "ok      framework  tensorflow 2.20.0",
        "-       Slurm      not on PATH",
        "                   needed for batch jobs: log in to a submit node",
        "",
        "A run on the CPU can start.",
    ]


def test_what_some_machines_cannot_have_can_be_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.doctor.package_version", lambda _: None)
    brought = "or bring events from another machine"
    assert check("Pythia").remedy == f"pip install '.[data]', {brought}"
    assert check("ACTS").remedy == f"pip install '.[tracking]', {brought}"
    assert check("pooch").remedy == "pip install '.[data]'"


def test_a_missing_requirement_stops_runs() -> None:
    assert not can_run([BAD, OPTIONAL])
    lines = format_checks([BAD, OPTIONAL]).splitlines()
    assert lines[0] == "MISSING framework  no TensorFlow"
    assert lines[-1] == "No run can start: see MISSING above."


def test_a_missing_option_stops_nothing() -> None:
    assert can_run([GOOD, OPTIONAL])


def test_it_is_fast_and_loads_no_framework() -> None:
    """CPU time, because tests share the machine: 0.3 s for a person includes starting Python."""
    code = (
        "import sys, time; from benchmarks.doctor import examine; examine();"
        "print(sorted({'tensorflow', 'keras', 'matplotlib', 'horovod'} & sys.modules.keys()),"
        "time.process_time())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, seconds = answer.stdout.rsplit(maxsplit=1)
    assert loaded == "[]"
    assert float(seconds) < 0.3


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ImportError('no GLIBCXX_3.4.32')", "ImportError: no GLIBCXX_3.4.32"),
        ("import os; os.kill(os.getpid(), 4)", "killed by SIGILL"),
    ],
)
def test_a_framework_that_cannot_be_loaded_is_missing(source: str, reason: str, tmp_path: Path) -> None:
    if find_spec("tensorflow") is None:
        pytest.skip("this is about an installed TensorFlow")
    (tmp_path / "tensorflow.py").write_text(source, encoding="utf-8")
    for other in ("jax", "torch"):  # of which one would be enough for a run
        (tmp_path / f"{other}.py").write_text("raise ImportError('not now')\n", encoding="utf-8")
    answer = hepbench("doctor", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    assert answer.returncode == 1
    line = answer.stdout.splitlines()[0]
    assert line.startswith("MISSING framework ")
    assert f"; it is installed but cannot be loaded: {reason}, " in line


def test_a_gpu_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(3, broken={1: "GPU is lost"}).install(monkeypatch)
    assert check("GPU").ok
    assert check("GPU").finding == "2 x NVIDIA H100, driver 550.54.15; GPU 1: GPU is lost"


def test_a_variable_that_hides_all_gpus_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeNvml(3).install(monkeypatch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "NoDevFiles")
    assert not check("GPU").ok
    assert check("GPU").finding == "none visible to this process (CUDA_VISIBLE_DEVICES=NoDevFiles)"


def test_programs_are_looked_for_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("HEPSCORE_BIN", raising=False)
    assert {name: check(name).ok for name in ("Docker", "Apptainer", "Slurm", "hep-score")} == {
        "Docker": False,
        "Apptainer": False,
        "Slurm": False,
        "hep-score": False,
    }
    for name in ("singularity", "sbatch", "hep-score"):
        executable(tmp_path / name)
    assert check("Apptainer").finding == str(tmp_path / "singularity")
    assert check("Slurm").ok
    assert check("hep-score").ok


def test_hepscore_bin_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = executable(tmp_path / "my-hep-score")
    monkeypatch.setenv("HEPSCORE_BIN", str(program))
    assert check("hep-score").finding == str(program)
    monkeypatch.setenv("HEPSCORE_BIN", "/nowhere/hep-score")
    result = check("hep-score")
    assert (result.ok, result.finding) == (False, "HEPSCORE_BIN=/nowhere/hep-score cannot be run")


def test_a_docker_client_without_its_daemon_is_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = executable(tmp_path / "docker")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    result = check("Docker")
    assert (result.ok, result.finding) == (False, f"{client}, daemon does not answer")


def test_a_docker_daemon_that_answers_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = executable(tmp_path / "docker")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    asked = []

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "docker.sock"))
        server.listen()

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(200).splitlines()[0])
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nOK")

        thread = threading.Thread(target=answer)
        thread.start()
        result = check("Docker")
        thread.join()
    assert (result.ok, result.finding) == (True, f"{client}, daemon answers")
    assert asked == [b"GET /_ping HTTP/1.0"]


def test_podman_alone_is_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = executable(tmp_path / "podman")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(discovery, "docker_sockets", lambda _: [])
    for name, value in {"DOCKER_HOST": "", "DOCKER_CONTEXT": "default"}.items():
        monkeypatch.setenv(name, value)
    result = check("Docker")
    assert (result.ok, result.finding) == (True, f"{client}, whose service is started when it is needed")


def test_a_context_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DOCKER_HOST": "", "DOCKER_CONTEXT": "gone", "DOCKER_CONFIG": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    assert not check("Docker").ok
    assert check("Docker").finding.startswith("Docker context gone: expected its address in ")


def test_a_singularity_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = executable(tmp_path / "singularity")
    program.write_text("#!/bin/sh\necho singularity version 3.5.3\n", encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not check("Apptainer").ok
    assert check("Apptainer").finding.endswith("got singularity version 3.5.3")


def test_a_daemon_on_another_machine_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(tmp_path / "docker")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    assert check("Docker").finding.endswith("daemon elsewhere (DOCKER_HOST), not asked")


def test_a_cache_folder_that_does_not_exist_yet_is_measured_where_it_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    assert "GiB free" in check("disk cache").finding


def executable(path: Path) -> Path:
    path.write_text("#!/bin/sh\n", encoding="utf-8")
    path.chmod(0o755)
    return path
