"""Which engine is found: by variables, contexts and sockets, under its own name and under others."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from benchmarks.errors import UsageError
from benchmarks.launchers import discovery
from benchmarks.launchers.discovery import DockerEngine, apptainer_name, find_apptainer, find_docker

USER = f"{os.getuid()}:{os.getgid()}"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any engine."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(discovery, "DEFAULT_SOCKET", tmp_path / "run" / "docker.sock")
    (tmp_path / "bin").mkdir()
    (tmp_path / "run" / "podman").mkdir(parents=True)


def program(folder: Path, name: str, says: str = "") -> Path:
    path = folder / "bin" / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:  # the file stays
        server.bind(str(path))


def context(home: Path, name: str, host: str) -> None:
    """Makes a context as Docker's client does, which ``test_a_context_of_the_real_client`` compares."""
    folder = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def test_the_variable_comes_before_the_context_and_the_context_before_a_socket(tmp_path: Path) -> None:
    context(tmp_path, "mine", "unix:///run/user/7/docker.sock")
    listen(tmp_path / "run" / "docker.sock")
    home = {"HOME": str(tmp_path)}
    environment = {**home, "DOCKER_CONTEXT": "mine", "DOCKER_HOST": "tcp://192.0.2.1:2375"}
    assert find_docker(environment) == DockerEngine("tcp://192.0.2.1:2375", "DOCKER_HOST")
    del environment["DOCKER_HOST"]
    assert find_docker(environment) == DockerEngine("unix:///run/user/7/docker.sock", "Docker context mine")
    (tmp_path / ".docker" / "config.json").write_text('{"currentContext": "mine"}', encoding="utf-8")
    assert find_docker(home).origin == "Docker context mine"
    assert find_docker({**home, "DOCKER_CONTEXT": "default"}).origin == ""
    assert find_docker({}) == DockerEngine(f"unix://{tmp_path}/run/docker.sock")


def test_a_context_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^Docker context gone: expected its address in .*/meta\.json, "):
        find_docker({"HOME": str(tmp_path), "DOCKER_CONTEXT": "gone"})


@pytest.mark.parametrize(
    "settings", ["", "[]", "{}", '{"currentContext": ""}', '{"currentContext": "default"}']
)
def test_settings_without_a_context_are_passed_over(tmp_path: Path, settings: str) -> None:
    (tmp_path / "config.json").write_text(settings, encoding="utf-8")
    assert find_docker({"DOCKER_CONFIG": str(tmp_path)}).origin == ""


@pytest.mark.container
def test_a_context_of_the_real_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath + ":/usr/local/bin")
    if shutil.which("docker") is None:
        pytest.skip("no docker on the PATH")
    environment = {"DOCKER_CONFIG": str(tmp_path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    url = f"unix://{tmp_path}/a b.sock"
    for call in (("create", "mine", "--docker", f"host={url}"), ("use", "mine")):
        subprocess.run(["docker", "context", *call], env=environment, capture_output=True, check=True)
    assert find_docker(environment).url == url


def test_the_engine_of_a_user_is_found_at_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "DEFAULT_SOCKET", tmp_path / "system" / "docker.sock")
    program(tmp_path, "docker")
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    listen(tmp_path / "run" / "podman" / "podman.sock")
    engine = find_docker(environment)
    assert (engine.url, engine.is_podman) == (f"unix://{tmp_path}/run/podman/podman.sock", True)
    assert engine.client() == ["docker", f"--host={engine.url}"]
    listen(tmp_path / "run" / "docker.sock")
    engine = find_docker(environment)
    assert (engine.url, engine.is_podman) == (f"unix://{tmp_path}/run/docker.sock", False)


def test_docker_s_own_socket_that_leads_to_podman(tmp_path: Path) -> None:
    """As the package podman-docker of the distributions sets it up."""
    program(tmp_path, "docker")
    listen(tmp_path / "run" / "podman" / "podman.sock")
    (tmp_path / "run" / "docker.sock").symlink_to(tmp_path / "run" / "podman" / "podman.sock")
    engine = find_docker({})
    assert (engine.client(), engine.is_podman) == (["docker"], True)


def test_podman_without_a_service(tmp_path: Path) -> None:
    program(tmp_path, "podman")
    engine = find_docker({"XDG_RUNTIME_DIR": str(tmp_path / "run")})
    assert (engine.url, engine.client(), engine.is_podman) == ("", ["podman"], True)


def test_the_user_in_a_container_of_a_user_s_engine_is_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(tmp_path / "run" / "docker.sock")
    engine = find_docker({})
    real = Path.stat

    def stat(owner: int) -> None:
        def owned(path: Path, **options: bool) -> os.stat_result:
            return os.stat_result([*real(path, **options)[:4], owner, *real(path, **options)[5:]])

        monkeypatch.setattr(Path, "stat", owned)

    stat(0)
    assert (engine.is_rootless, engine.user()) == (False, USER)
    stat(1001)
    assert (engine.is_rootless, engine.user()) == (True, "0:0")
    assert DockerEngine("tcp://192.0.2.1:2375", "DOCKER_HOST").user() == USER
    assert DockerEngine("unix:///nowhere/docker.sock").user() == USER


def test_apptainer_comes_before_singularity(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^no apptainer or singularity on the PATH; install Apptainer$"):
        find_apptainer()
    assert apptainer_name() == "apptainer"
    singularity = program(tmp_path, "singularity", "singularity-ce version 4.1.2-1.el9")
    assert (apptainer_name(), find_apptainer()) == ("singularity", str(singularity))
    apptainer = program(tmp_path, "apptainer", "apptainer version 1.4.5")
    assert (apptainer_name(), find_apptainer()) == ("apptainer", str(apptainer))


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("singularity version 3.5.3", False),
        ("singularity version 3.8.7-1.el8", False),
        ("singularity-ce version 3.9.0", True),
        ("singularity-pro version 3.11-7", True),
        ("apptainer version 1.4.5", True),  # a link of the old name
    ],
)
def test_a_singularity_without_the_options_is_refused(tmp_path: Path, version: str, good: bool) -> None:
    path = program(tmp_path, "singularity", version)
    if good:
        assert find_apptainer() == str(path)
    else:
        with pytest.raises(UsageError) as caught:
            find_apptainer()
        assert str(caught.value) == (
            f"{path}: expected Apptainer, or SingularityCE 3.9 or newer, which has --mount; got {version}"
        )


def test_an_engine_behind_ssh_is_one_line(tmp_path: Path) -> None:
    context(tmp_path, "far", "ssh://me@192.0.2.1")
    for environment, origin in (
        ({"DOCKER_HOST": "ssh://me@192.0.2.1"}, "DOCKER_HOST"),
        ({"HOME": str(tmp_path), "DOCKER_CONTEXT": "far"}, "Docker context far"),
    ):
        with pytest.raises(UsageError) as caught:
            find_docker(environment)
        assert str(caught.value) == (
            f"{origin}: expected an engine of this machine, which has the output folder, got "
            "ssh://me@192.0.2.1; run hepbench there, or name another engine"
        )
