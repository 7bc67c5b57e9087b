"""A run in a container: the engine's command, what is refused and, with real engines, what is left behind."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import docker
import psutil
import pytest
import requests

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.launchers import podman
from benchmarks.launchers.container import plan_container
from benchmarks.launchers.engines import SIF_MAGIC, SIF_MAGIC_OFFSET
from benchmarks.output import RunOptions
from benchmarks.resolution import Resolved, resolve
from benchmarks.workload import presets
from tests import toy_image
from tests.command import HEPBENCH, command, environment, hepbench, names, read, refused, start
from tests.toy_image import Toy

ELSEWHERE = "tcp://192.0.2.1:2375"  # an engine of which this machine knows nothing
USER = f"{os.getuid()}:{os.getgid()}"


def resolved(workload: str = "mlpf") -> Resolved:
    return resolve("smoke", presets(workload)["smoke"])


def command_line(engine: str, settings: dict[str, Any], image: str | None = None, debug: bool = False) -> str:
    """Returns the command for a results folder whose name has every character that may separate fields."""
    options = RunOptions(Path("/a, b:c"), debug=debug)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", ELSEWHERE)
        patch.setenv("PATH", "")
        return plan_container(engine, image, resolved(), settings, options).command_line()


def test_what_docker_is_told() -> None:
    settings = {"epochs": "2", "batch_size": None, "seed": "3", "set": (), "config": None}
    assert command_line("docker", settings, "i:v1") == (
        f"docker run --rm --label=hepbench.run --user={USER} --read-only --cap-drop=ALL"
        " --security-opt=no-new-privileges --network=none --tmpfs=/tmp --shm-size=1073741824"
        """ '--mount=type=bind,"source=/a, b:c",target=/results' i:v1"""
        " -W --preset smoke --epochs 2 --seed 3"
    )


def test_what_apptainer_is_told() -> None:
    assert command_line("apptainer", {"precision": "float64"}, "i.sif", debug=True) == (
        "apptainer run --contain --cleanenv --ipc --pid"
        """ '--mount=type=bind,"source=/a, b:c",target=/results'"""
        f" --mount=type=bind,source={tempfile.gettempdir()},target=/tmp i.sif"
        " -W --preset smoke --precision float64 --debug"
    )


def test_gpus_are_asked_of_the_engine_and_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    docker, apptainer = (command_line(engine, {"gpus": 2}, "i") for engine in ("docker", "apptainer"))
    assert " --gpus=2 i -W --preset smoke --gpus 2" in docker
    assert " --nv i -W --preset smoke --gpus 2" in apptainer


def test_only_gpus_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,7")
    docker, apptainer = (command_line(engine, {"gpus": 2}, "i") for engine in ("docker", "apptainer"))
    assert """ '--gpus="device=3,5"' i """ in docker
    assert " --nv --env=CUDA_VISIBLE_DEVICES=3,5 i " in apptainer
    assert "gpus" not in command_line("docker", {})


@pytest.mark.parametrize("visible", ["", "NoDevFiles", "-1", "3", "3,3"])
def test_gpus_that_are_hidden_are_not_asked_for(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(
        UsageError, match=r"^--gpus 2: expected 2 devices in CUDA_VISIBLE_DEVICES, got [01] in "
    ):
        command_line("docker", {"gpus": 2})
    assert "gpus" not in command_line("docker", {})


@pytest.mark.parametrize(
    ("engine", "image"),
    [
        ("docker", "localhost/hepbench/gnn-tracking-bmk:v0.1.0"),
        ("apptainer", "build/sif/gnn-tracking-bmk_v0.1.0.sif"),
    ],
)
def test_the_image_is_that_of_this_version(monkeypatch: pytest.MonkeyPatch, engine: str, image: str) -> None:
    monkeypatch.setattr("benchmarks.launchers.container.version", lambda _: "0.1.0")
    assert plan_container(engine, None, resolved("gnn_tracking"), {}, RunOptions()).image == image


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"set": ("train_events=4",)}, "--set"),
        ({"config": Path("a.yaml")}, "--config"),
        ({"sweep": ("seed=1,2",)}, "--sweep"),
        ({"data": "folder"}, "--data"),
        ({"xla": False}, "--xla"),
        ({"deterministic": True}, "--deterministic"),
        ({"ranks": 2}, "--ranks"),
        ({"global_batch_size": "8"}, "--global-batch-size"),
        ({"lr_scaling": "sqrt"}, "--lr-scaling"),
    ],
)
def test_what_an_image_does_not_take_is_refused(settings: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError) as caught:
        command_line("docker", settings)
    assert str(caught.value) == (
        f"{flag}: a container takes --preset, --epochs, --batch-size, --seed, --precision, --threads, --gpus"
        " only; leave it out, or run without --engine"
    )


def test_a_dry_run_prints_the_command_and_leaves_nothing(tmp_path: Path) -> None:
    call = ["run", "mlpf", "--engine=docker", "--image=i", "--dry-run"]
    answer = hepbench(
        *call,
        f"--output={tmp_path / 'out'}",
        "--gpus=2",
        env={"CUDA_VISIBLE_DEVICES": "0,1", "DOCKER_HOST": ELSEWHERE},
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"docker run --rm --label=hepbench.run --user={USER} ")
    assert answer.stdout.endswith(
        f"source={tmp_path / 'out'},target=/results '--gpus=\"device=0,1\"' i -W --preset smoke --gpus 2\n"
    )
    assert names(tmp_path) == []


def test_an_image_may_be_below_the_home_folder(tmp_path: Path) -> None:
    call = ["run", "mlpf", "--engine=apptainer", "--image", "~/i.sif", "--dry-run"]
    assert f" {tmp_path}/i.sif -W " in hepbench(*call, env={"HOME": str(tmp_path)}).stdout
    call[4] = "~nobody-of-this-name/i.sif"
    assert refused(hepbench(*call), 2).endswith("there is no such home folder; write the whole path")


def test_an_image_needs_an_engine() -> None:
    assert refused(hepbench("run", "mlpf", "--image=i"), 2) == (
        "--image: expected with --engine docker or --engine apptainer only; add one of them"
    )


def test_a_wrong_value_is_found_before_anything_starts() -> None:
    line = refused(hepbench("run", "mlpf", "--engine=docker", "--epochs=1", "--image=i"), 2)
    assert line == "epochs (from --epochs): expected a whole number from 2 to 100000, got '1'"


def test_a_result_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "result.json").touch()
    line = refused(hepbench("run", "mlpf", "--engine=docker", "--image=i", f"--output={tmp_path}"), 2)
    assert line == f"{tmp_path / 'result.json'} exists; choose another --output or give --force to replace it"


def unavailable(engine: str, folder: Path, *arguments: str, **options: Any) -> str:
    """Returns the line of a call that ends before a container starts, and checks that it leaves no folder."""
    call = ["run", "mlpf", "--engine", engine, "--output", folder / "out", *arguments]
    line = refused(hepbench(*call, **options), 2)
    assert not (folder / "out").exists()
    return line


def test_no_daemon_is_one_line(tmp_path: Path) -> None:
    line = unavailable("docker", tmp_path, env={"DOCKER_HOST": f"unix://{tmp_path}/none"})
    assert line == (
        "--engine docker: no engine answers ([Errno 2] No such file or directory)"
        f" at unix://{tmp_path}/none (DOCKER_HOST); start it, or set DOCKER_HOST"
    )


def without_sockets(folder: Path, sockets: str, path: str) -> subprocess.CompletedProcess[str]:
    """Runs in a container on a machine that has no socket but those of ``sockets``, and no context."""
    code = "from pathlib import Path; from benchmarks.launchers import discovery; from benchmarks import cli;"
    code += f"discovery.DEFAULT_SOCKET = Path('{folder}/docker.sock');"
    code += f"discovery.docker_sockets = lambda _: {sockets}; cli.main()"
    call = [sys.executable, "-c", code, "run", "mlpf", "--engine=docker", f"--output={folder / 'out'}"]
    nothing = {"DOCKER_HOST": "", "DOCKER_CONTEXT": "default", "PATH": path}
    return subprocess.run(call, capture_output=True, text=True, env=environment(nothing))


def test_without_any_engine_the_line_says_what_was_looked_for(tmp_path: Path) -> None:
    answer = without_sockets(tmp_path, "[Path('/a/docker.sock'), Path('/a/podman.sock')]", path="/nowhere")
    assert refused(answer, 2) == (
        f"--engine docker: no engine answers ([Errno 2] No such file or directory) at unix://{tmp_path}"
        "/docker.sock; looked for DOCKER_HOST, a Docker context, /a/docker.sock, /a/podman.sock and podman;"
        " start it, or set DOCKER_HOST"
    )


def test_a_podman_that_does_not_start_is_one_line(tmp_path: Path) -> None:
    podman = tmp_path / "bin" / "podman"
    podman.parent.mkdir()
    podman.write_text("#!/bin/sh\necho 'Error: cannot set up namespace' >&2\nexit 125\n", encoding="utf-8")
    podman.chmod(0o755)
    answer = without_sockets(tmp_path, "[]", path=f"{podman.parent}:/bin:/usr/bin")
    assert refused(answer, 2) == (
        "--engine docker: podman does not answer: Error: cannot set up namespace; start it,"
        " or set DOCKER_HOST"
    )
    assert names(tmp_path) == ["bin"]


def test_gpus_of_podman_have_their_names_of_the_container_device_interface() -> None:
    assert podman.gpu_settings(("0", "2")) == {
        f"--device=nvidia.com/gpu={name}": {
            "device_requests": [{"driver": "cdi", "device_ids": ["nvidia.com/gpu=0", "nvidia.com/gpu=2"]}]
        }
        for name in ("0", "2")
    }


@pytest.mark.parametrize(
    ("engine", "version", "good"),
    [
        ("Podman Engine", "4.3.1", False),
        ("Podman Engine", "5.3.2-dev", False),
        ("Podman Engine", "5.4.0", True),
        ("Engine", "4.3.1", True),
    ],
)
def test_a_podman_that_would_pass_over_gpus_is_refused(engine: str, version: str, good: bool) -> None:
    answer = {"Components": [{"Name": engine, "Version": version}]}
    if good:
        podman.check_gives_gpus(answer)
    else:
        with pytest.raises(UsageError, match=rf"^--gpus: expected Podman 5\.4 or newer, got {version}; use "):
            podman.check_gives_gpus(answer)


def test_no_permission_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> None:
        try:
            raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise docker.errors.DockerException("Error while fetching server API version") from error

    monkeypatch.setattr(docker, "from_env", lambda **_: forbidden())
    with (
        pytest.raises(UsageError) as caught,
        plan_container("docker", "i", resolved(), {}, RunOptions(tmp_path)).running(),
    ):
        raise AssertionError
    assert str(caught.value) == (
        "--engine docker: no permission to use the Docker daemon; join the group docker,"
        " or take --engine apptainer"
    )


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (docker.errors.APIError("500", explanation="no space left\n"), "Docker cannot run i: no space left"),
        (requests.ConnectionError("it is gone"), "lost the Docker daemon: it is gone"),
    ],
)
def test_a_failure_of_docker_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    client = Mock(**{"containers.create.side_effect": error})
    monkeypatch.setattr(docker, "from_env", lambda **_: client)
    with (
        pytest.raises(RunFailedError) as caught,
        plan_container("docker", "i", resolved(), {}, RunOptions(tmp_path)).running(),
    ):
        raise AssertionError
    assert str(caught.value) == line
    client.close.assert_called_once_with()


def test_a_missing_python_package_is_one_line(tmp_path: Path) -> None:
    code = "import sys; sys.modules['docker'] = None; from benchmarks.cli import main; main()"
    call = ["run", "mlpf", "--engine=docker", f"--output={tmp_path / 'out'}"]
    answer = subprocess.run(
        [sys.executable, "-c", code, *call], capture_output=True, text=True, env=environment({})
    )
    assert refused(answer, 2) == "--engine docker needs a Python package: pip install '.[containers]'"


def test_no_apptainer_is_one_line(tmp_path: Path) -> None:
    line = unavailable("apptainer", tmp_path, env={"PATH": str(tmp_path)})
    assert line == (
        "--engine apptainer: no apptainer or singularity on the PATH; install Apptainer,"
        " or take --engine docker"
    )


def test_the_engine_may_have_its_old_name(tmp_path: Path) -> None:
    program, image = tmp_path / "bin" / "singularity", tmp_path / "i.sif"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho $0 version 3.8.7\n", encoding="utf-8")
    program.chmod(0o755)
    image.write_bytes(b"#" * SIF_MAGIC_OFFSET + SIF_MAGIC)
    path = {"PATH": f"{program.parent}:/nowhere"}
    line = unavailable("apptainer", tmp_path, "--image", image, env=path)
    assert line.startswith(
        f"--engine apptainer: {program}: expected Apptainer, or SingularityCE 3.9 or newer"
    )
    answer = hepbench("run", "mlpf", "--engine=apptainer", "--image", image, "--dry-run", env=path)
    assert answer.stdout.startswith("singularity run --contain --cleanenv ")


@pytest.mark.parametrize("kind", ["missing", "folder", "text"])
def test_something_else_than_a_sif_is_one_line(tmp_path: Path, kind: str) -> None:
    program = tmp_path / "bin" / "apptainer"
    program.parent.mkdir()
    program.touch(mode=0o755)
    image = tmp_path if kind == "folder" else tmp_path / "image.sif"
    if kind == "text":
        image.write_text("#!/bin/sh\n" * 10, encoding="utf-8")
    line = unavailable("apptainer", tmp_path, "--image", str(image), env={"PATH": str(program.parent)})
    reasons = {
        "missing": "No such file or directory",
        "folder": "Is a directory",
        "text": "expected a SIF file, got something else",
    }
    assert line == f"--image {image}: {reasons[kind]}; make it with make sif"


# With real engines, and an image that takes no time.


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_image.tree(tmp_path_factory.mktemp("toy") / "files")


@pytest.fixture(scope="module")
def docker_toy(files: Path) -> Iterator[Toy]:
    image = toy_image.docker_image(files)
    yield Toy("docker", image)
    subprocess.run(
        ["docker", "rmi", image], capture_output=True, check=True
    )  # fails while a container uses it


@pytest.fixture(scope="module")
def apptainer_toy(files: Path) -> Toy:
    return Toy("apptainer", toy_image.sif(files, files.parent))


@pytest.fixture(params=["docker", "apptainer"])
def toy(request: pytest.FixtureRequest) -> Toy:
    toy: Toy = request.getfixturevalue(f"{request.param}_toy")
    return toy


def left_behind(toy: Toy, folder: Path) -> list[str]:
    """Returns the containers or processes of a run into a folder that still exist."""
    listed = ["docker", "ps", "--all", "--quiet", "--filter", f"ancestor={toy.image}"]
    if toy.engine == "docker":
        return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [word for words in running for word in words if str(folder) in word]


@pytest.mark.container
def test_a_run_in_a_container_ends_as_any_run(toy: Toy, tmp_path: Path) -> None:
    folder = tmp_path / "a, b" / "out"
    answer = hepbench(*toy.arguments(folder, toy_image.OK), "--batch-size=3")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stderr.splitlines()
    assert f"called with -W --preset smoke --seed {toy_image.OK} --batch-size 3" in lines
    assert answer.stdout.startswith(f"{folder}: mlpf, preset small, seed 7, ok\n")
    assert answer.stdout.endswith(
        f"\nresult:  {folder / 'result.json'}\nsummary: {folder / 'mlpf_summary.json'}\n"
    )
    assert lines[-1] == f"user {os.getuid()}, group {os.getgid()}"  # the container's table is not shown
    assert names(folder) == ["mlpf_summary.json", "result.json"]
    assert {path.stat().st_uid for path in folder.iterdir()} == {os.getuid()}
    assert left_behind(toy, tmp_path) == []


@pytest.mark.container
def test_quiet_is_quiet_until_it_ends_badly(toy: Toy, tmp_path: Path) -> None:
    answer = hepbench(*toy.arguments(tmp_path / "ok", toy_image.OK), "--quiet")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    line = refused(hepbench(*toy.arguments(tmp_path / "out", toy_image.SEVEN), "--quiet"), 7)
    assert line == "the container ended with exit code 7: hepbench: seven"
    assert names(tmp_path) == ["ok"]


@pytest.mark.container
def test_the_reason_of_a_failed_run_is_told(toy: Toy, tmp_path: Path) -> None:
    answer = hepbench(*toy.arguments(tmp_path, toy_image.FAILED))
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (f"hepbench: failed: it failed (see {tmp_path / 'result.json'})")
    assert answer.stdout.startswith(f"{tmp_path}: mlpf, preset small, seed 7, failed: it failed\n")


@pytest.mark.container
def test_an_older_result_is_not_taken_for_that_of_the_run(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    answer = hepbench(*toy.arguments(tmp_path, toy_image.SEVEN), "--force")
    assert (answer.returncode, answer.stdout) == (7, "")
    lines = answer.stderr.splitlines()
    assert lines[-2:] == ["hepbench: seven", "hepbench: the container ended with exit code 7"]
    assert (tmp_path / "result.json").read_text(encoding="utf-8") == "{}"


@pytest.mark.container
@pytest.mark.parametrize("seed", [toy_image.NOTHING, toy_image.OTHER])
def test_an_image_of_something_else_is_a_failure(toy: Toy, tmp_path: Path, seed: int) -> None:
    line = refused(hepbench(*toy.arguments(tmp_path, seed), "--quiet"), 1)
    file = tmp_path / "result.json"
    assert line == (
        f"the container left no {file}; is {toy.image} an image of hepbench?"
        if seed == toy_image.NOTHING
        else f"cannot read what the container left: {file}: expected a JSON object, got list"
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stderr is not None
    assert any(line in said for said in process.stderr)


@pytest.mark.container
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_container(toy: Toy, tmp_path: Path, number: signal.Signals) -> None:
    with start(*toy.arguments(tmp_path, toy_image.WAITS)) as process:
        wait_for(process, "still there")
        assert left_behind(toy, tmp_path) != []
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert stderr.splitlines()[-1] == (
        f"hepbench: interrupted: it interrupted (see {tmp_path / 'result.json'})"
    )
    assert "interrupted: it interrupted" in stdout
    assert read(tmp_path / "result.json")["status"] == "interrupted"
    assert left_behind(toy, tmp_path) == []


@pytest.mark.container
def test_a_signal_is_sent_again_to_a_container_that_is_just_starting(toy: Toy, tmp_path: Path) -> None:
    """A signal without a handler does not even kill the first process of a container."""
    with start(*toy.arguments(tmp_path, toy_image.STARTS)) as process:
        wait_for(process, "still there")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 143
    assert read(tmp_path / "result.json")["status"] == "interrupted"


@pytest.mark.container
def test_a_container_that_does_not_listen_is_ended_by_force(toy: Toy, tmp_path: Path) -> None:
    code = "from benchmarks import cli; from benchmarks.launchers import container;"
    code += "container.GRACE_SECONDS = 1; cli.main()"
    call = [sys.executable, "-c", code, *toy.arguments(tmp_path, toy_image.DEAF)]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment({})) as process:
        wait_for(process, "still there")
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143
    assert stderr.splitlines()[-1] == "hepbench: the container ended with exit code 143"
    assert left_behind(toy, tmp_path) == []


@pytest.mark.container
def test_a_reader_that_goes_away_ends_nothing_and_leaves_no_container(toy: Toy, tmp_path: Path) -> None:
    """Nobody reads standard error any more, and the run goes on until a signal ends it."""
    call = command(*toy.arguments(tmp_path, toy_image.WAITS), program=HEPBENCH)
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True, env=environment({})) as process:
        wait_for(process, "still there")
        assert process.stderr is not None
        process.stderr.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=120) == 143
    assert left_behind(toy, tmp_path) == []


@pytest.mark.container
def test_the_printed_command_starts_the_same_container(docker_toy: Toy, tmp_path: Path) -> None:
    call = docker_toy.arguments(tmp_path, toy_image.WAITS)
    line = hepbench(*call, "--dry-run").stdout
    create = shlex.split(line.replace("docker run", "docker create", 1))
    created = subprocess.run(create, capture_output=True, text=True, check=True).stdout.strip()
    try:
        with start(*call) as process:
            wait_for(process, "still there")
            settings = [settings_of(name) for name in left_behind(docker_toy, tmp_path)]
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
    finally:
        subprocess.run(["docker", "rm", created], capture_output=True, check=True)
    assert len(settings) == 2
    assert settings[0] == settings[1]
    assert settings[0]["ReadonlyRootfs"] is True


def settings_of(name: str) -> dict[str, Any]:
    """Returns the settings of a container but those of its end, which the printed command has otherwise."""
    inspected = subprocess.run(["docker", "inspect", name], capture_output=True, check=True).stdout
    (answer,) = json.loads(inspected)
    host = {key: value or None for key, value in answer["HostConfig"].items()}
    del host["AutoRemove"], host["RestartPolicy"]
    config = {key: answer["Config"][key] for key in ("User", "Labels", "Image", "Cmd", "Entrypoint", "Env")}
    return {**host, **config}


@pytest.mark.container
def test_an_image_that_is_not_there_is_one_line(docker_toy: Toy, tmp_path: Path) -> None:
    image = f"{docker_toy.image}-not"
    line = unavailable("docker", tmp_path, "--image", image)
    assert line == f"--image {image}: Docker has no such image; make it with make image, or docker pull it"


@pytest.mark.container
def test_a_gpu_that_docker_cannot_give_is_one_line(docker_toy: Toy, tmp_path: Path) -> None:
    described = subprocess.run(["docker", "info", "--format", "{{json .Runtimes}}"], capture_output=True)
    if b"nvidia" in described.stdout:
        pytest.skip("this Docker can give GPUs")
    line = unavailable("docker", tmp_path, "--image", docker_toy.image, "--gpus=1")
    assert line == (
        "--gpus 1: Docker finds no GPU runtime; install NVIDIA's container toolkit, or leave out --gpus"
    )


@pytest.mark.container
def test_a_damaged_sif_is_told(apptainer_toy: Toy, tmp_path: Path) -> None:
    image = tmp_path / "damaged.sif"
    image.write_bytes(Path(apptainer_toy.image).read_bytes()[:100_000])
    answer = hepbench(*Toy("apptainer", str(image)).arguments(tmp_path / "out", toy_image.OK), "--quiet")
    assert refused(answer, 255).startswith("the container ended with exit code 255: FATAL: ")
    assert not (tmp_path / "out").exists()
