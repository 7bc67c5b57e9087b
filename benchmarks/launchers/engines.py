"""Docker and Apptainer: starts a container on an image of this benchmark, and leaves none behind."""

from __future__ import annotations

import csv
import io
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import RunFailedError, UsageError

LABEL = "hepbench.run"  # what runs here: docker ps --filter label=hepbench.run
SHM_BYTES = 1 << 30  # for the ranks of one machine; Docker's own 64 MB are too few for NCCL
SIF_MAGIC = b"SIF_MAGIC"
SIF_MAGIC_OFFSET = 32  # behind the line that makes the file a program


@dataclass(frozen=True)
class Container:
    """What is to run.

    Attributes:
        engine: Key of ``ENGINES``.
        image: Name of the Docker image, or the SIF file.
        arguments: What its entry point gets.
        results: Folder that the container sees as /results.
        gpus: GPUs that it needs.
        gpu_names: Indices or UUIDs that ``CUDA_VISIBLE_DEVICES`` limits this process to; empty: no limit.
    """

    engine: str
    image: str
    arguments: tuple[str, ...]
    results: Path
    gpus: int = 0
    gpu_names: tuple[str, ...] = ()

    def command_line(self) -> str:
        """What starts the same by hand."""
        return shlex.join(ENGINES[self.engine].command(self))

    def running(self) -> AbstractContextManager[Running]:
        """Starts it; it is gone when the context ends.

        Raises:
            UsageError: The engine, the image or the GPUs are not there.
            RunFailedError: The engine failed.
        """
        return ENGINES[self.engine].running(self)


@dataclass(frozen=True)
class Running:
    """A container that was started.

    Attributes:
        output: Lines of its standard output and standard error; they end when it ends.
        send: Sends a signal to it; nothing happens where it has ended.
        wait: Returns its exit code when it has ended.
    """

    output: Iterable[bytes]
    send: Callable[[int], None]
    wait: Callable[[], int]


@dataclass(frozen=True)
class Engine:
    """A container engine.

    Attributes:
        command: See ``Container.command_line``.
        running: See ``Container.running``.
    """

    command: Callable[[Container], list[str]]
    running: Callable[[Container], AbstractContextManager[Running]]


def bind_mount(source: Path, target: str) -> str:
    """A bind mount as both engines read it, whatever characters the path has."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["type=bind", f"source={source}", f"target={target}"])
    return line.getvalue()


# Docker


def _docker_settings(wanted: Container) -> dict[str, dict[str, Any]]:
    """Options of ``docker run`` and, with each, what the SDK calls it."""
    user = f"{os.getuid()}:{os.getgid()}"
    mount = {"Type": "bind", "Source": str(wanted.results), "Target": "/results"}
    return {
        f"--label={LABEL}": {"labels": [LABEL]},
        f"--user={user}": {"user": user},
        "--read-only": {"read_only": True},
        "--cap-drop=ALL": {"cap_drop": ["ALL"]},
        "--security-opt=no-new-privileges": {"security_opt": ["no-new-privileges"]},
        "--network=none": {"network_mode": "none"},
        "--tmpfs=/tmp": {"tmpfs": {"/tmp": ""}},
        f"--shm-size={SHM_BYTES}": {"shm_size": SHM_BYTES},
        f"--mount={bind_mount(wanted.results, '/results')}": {"mounts": [mount]},
        **_docker_gpus(wanted),
    }


def _docker_gpus(wanted: Container) -> dict[str, dict[str, Any]]:
    names = wanted.gpu_names[: wanted.gpus]
    if names:
        request = {"device_ids": list(names), "capabilities": [["gpu"]]}
        return {f'--gpus="device={",".join(names)}"': {"device_requests": [request]}}
    if wanted.gpus:
        request = {"count": wanted.gpus, "capabilities": [["gpu"]]}
        return {f"--gpus={wanted.gpus}": {"device_requests": [request]}}
    return {}


def _docker_command(wanted: Container) -> list[str]:
    return ["docker", "run", "--rm", *_docker_settings(wanted), wanted.image, *wanted.arguments]


@contextmanager
def _docker(wanted: Container) -> Iterator[Running]:
    try:
        import docker
        from docker.errors import DockerException
        from requests import RequestException
    except ImportError:
        raise UsageError("--engine docker needs a Python package: pip install '.[containers]'") from None
    try:
        client = docker.from_env()
    except DockerException as error:
        raise UsageError(f"--engine docker: {_unreachable(error)}") from None
    options = {name: value for each in _docker_settings(wanted).values() for name, value in each.items()}

    def send(number: int) -> None:
        with suppress(RequestException):  # it has just ended
            container.kill(signal=number)

    with closing(client), _docker_errors(wanted):
        container = client.containers.create(wanted.image, list(wanted.arguments), **options)
        try:
            output = container.attach(stream=True)
            container.start()
            yield Running(_lines(output), send, lambda: int(container.wait()["StatusCode"]))
        finally:
            container.remove(force=True)


def _unreachable(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, PermissionError):
        return "no permission to use the Docker daemon; join the group docker, or take --engine apptainer"
    return f"the Docker daemon does not answer ({error}); start it, or set DOCKER_HOST"


@contextmanager
def _docker_errors(wanted: Container) -> Iterator[None]:
    from docker.errors import APIError, ImageNotFound
    from requests import RequestException

    try:
        yield
    except ImageNotFound:
        raise UsageError(
            f"--image {wanted.image}: Docker has no such image; make it with make image, or docker pull it"
        ) from None
    except APIError as error:
        detail = str(error.explanation).strip()
        if "could not select device driver" in detail:
            raise UsageError(
                f"--gpus {wanted.gpus}: Docker finds no GPU runtime; install NVIDIA's container toolkit, "
                "or leave out --gpus"
            ) from None
        raise RunFailedError(f"Docker cannot run {wanted.image}: {detail}") from None
    except RequestException as error:
        raise RunFailedError(f"lost the Docker daemon: {error}") from None


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, however the stream was cut."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


# Apptainer


def _apptainer_command(wanted: Container) -> list[str]:
    """As hep-score does it, in process ids of its own: nothing in it outlives the container.

    /tmp is the host's: the container's own would hold 64 MB.
    """
    mounts = {"/results": wanted.results, "/tmp": Path(tempfile.gettempdir())}
    names = wanted.gpu_names[: wanted.gpus]
    return [
        *("apptainer", "run", "--contain", "--cleanenv", "--ipc", "--pid"),
        *(f"--mount={bind_mount(source, target)}" for target, source in mounts.items()),
        *(["--nv"] if wanted.gpus else []),
        *([f"--env=CUDA_VISIBLE_DEVICES={','.join(names)}"] if names else []),
        *(wanted.image, *wanted.arguments),
    ]


@contextmanager
def _apptainer(wanted: Container) -> Iterator[Running]:
    if shutil.which("apptainer") is None:
        raise UsageError("--engine apptainer: no apptainer on the PATH; install it, or take --engine docker")
    check_sif(Path(wanted.image))
    process = subprocess.Popen(
        _apptainer_command(wanted),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal's Ctrl-C comes to this process alone, which passes it on
    )
    assert process.stdout is not None
    try:
        yield Running(process.stdout, process.send_signal, process.wait)
    finally:
        process.kill()  # where it has not ended by itself; what runs in it goes with it
        process.wait()
        process.stdout.close()


def check_sif(path: Path) -> None:
    """Finds out now, not in the container's own words, whether there is an image.

    Raises:
        UsageError: The file cannot be read, or is another one.
    """
    try:
        with path.open("rb") as file:
            file.seek(SIF_MAGIC_OFFSET)
            magic = file.read(len(SIF_MAGIC))
    except OSError as error:
        raise UsageError(f"--image {path}: {error.strerror}; make it with make sif") from None
    if magic != SIF_MAGIC:
        raise UsageError(f"--image {path}: expected a SIF file, got something else; make it with make sif")


ENGINES = {
    "docker": Engine(_docker_command, _docker),
    "apptainer": Engine(_apptainer_command, _apptainer),
}
