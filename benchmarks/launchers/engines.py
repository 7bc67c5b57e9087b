"""Docker (or Podman) and Apptainer: how each starts a container of this benchmark, and leaves none behind."""

from __future__ import annotations

import csv
import io
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.launchers import podman
from benchmarks.launchers.discovery import (
    DockerEngine,
    apptainer_name,
    find_apptainer,
    find_docker,
    what_was_looked_for,
)

LABEL = "hepbench.run"  # finds our containers: docker ps --filter label=hepbench.run
SHM_BYTES = 1 << 30  # for the ranks of one machine, because Docker's default of 64 MB is too small for NCCL
SIF_MAGIC = b"SIF_MAGIC"
SIF_MAGIC_OFFSET = 32  # bytes, after the line that makes the file a program


@dataclass(frozen=True)
class Container:
    """A container to run.

    Attributes:
        engine: Key of ``ENGINES``.
        image: Name of the Docker image, or the SIF file.
        arguments: Arguments of the entry point.
        results: Folder that the container sees as ``/results``.
        gpus: Number of GPUs that it needs.
        gpu_names: Indices or UUIDs in ``CUDA_VISIBLE_DEVICES``. Empty where this process may use all GPUs.
    """

    engine: str
    image: str
    arguments: tuple[str, ...]
    results: Path
    gpus: int = 0
    gpu_names: tuple[str, ...] = ()

    def command_line(self) -> str:
        """Returns the shell command that starts the same container by hand."""
        return shlex.join(ENGINES[self.engine].command(self))

    def running(self) -> AbstractContextManager[Running]:
        """Starts the container, which is removed when the context ends.

        Raises:
            UsageError: The engine, the image or the GPUs are missing.
            RunFailedError: The engine failed.
        """
        return ENGINES[self.engine].running(self)


@dataclass(frozen=True)
class Running:
    """A container that has been started.

    Attributes:
        output: Lines of its standard output and standard error, which end when the container ends.
        send: Sends a signal to it. Nothing happens if it has ended.
        wait: Waits until it has ended, and returns its exit code.
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
    """Returns a bind mount as both engines read it, whatever characters the path has."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(["type=bind", f"source={source}", f"target={target}"])
    return line.getvalue()


# Docker


def _docker_settings(container: Container, engine: DockerEngine) -> dict[str, dict[str, Any]]:
    """Returns options of ``docker run`` and, for each of them, the arguments of the SDK that do the same."""
    user = engine.user()
    mount = {"Type": "bind", "Source": str(container.results), "Target": "/results"}
    return {
        f"--label={LABEL}": {"labels": [LABEL]},
        f"--user={user}": {"user": user},
        "--read-only": {"read_only": True},
        "--cap-drop=ALL": {"cap_drop": ["ALL"]},
        "--security-opt=no-new-privileges": {"security_opt": ["no-new-privileges"]},
        "--network=none": {"network_mode": "none"},
        "--tmpfs=/tmp": {"tmpfs": {"/tmp": ""}},
        f"--shm-size={SHM_BYTES}": {"shm_size": SHM_BYTES},
        f"--mount={bind_mount(container.results, '/results')}": {"mounts": [mount]},
        **_docker_gpus(container, engine),
    }


def _docker_gpus(container: Container, engine: DockerEngine) -> dict[str, dict[str, Any]]:
    names = container.gpu_names[: container.gpus]
    if engine.is_podman:
        return podman.gpu_settings(names or tuple(map(str, range(container.gpus))))
    if names:
        request = {"device_ids": list(names), "capabilities": [["gpu"]]}
        return {f'--gpus="device={",".join(names)}"': {"device_requests": [request]}}
    if container.gpus:
        request = {"count": container.gpus, "capabilities": [["gpu"]]}
        return {f"--gpus={container.gpus}": {"device_requests": [request]}}
    return {}


def _docker_command(container: Container) -> list[str]:
    engine = find_docker(os.environ)
    options = _docker_settings(container, engine)
    return [*engine.client(), "run", "--rm", *options, container.image, *container.arguments]


@contextmanager
def _docker(container: Container) -> Iterator[Running]:
    """Runs a container by the SDK, which knows the container before it starts and can always remove it."""
    # What is missing is told apart: the Python package, or the engine.
    try:
        import docker
        from docker.errors import DockerException
        from requests import RequestException
    except ModuleNotFoundError:
        raise UsageError("--engine docker needs a Python package: pip install '.[containers]'") from None
    except ImportError as error:
        raise UsageError(f"--engine docker: its Python package cannot be loaded: {error}") from None
    engine = find_docker(os.environ)
    settings = _docker_settings(container, engine).values()
    options = {name: value for arguments in settings for name, value in arguments.items()}

    def send(number: int) -> None:
        with suppress(RequestException):  # it has just ended
            created.kill(signal=number)

    # Docker is asked for the output before the start, so that no line is missing.
    with ExitStack() as stack:
        url = engine.url or stack.enter_context(podman.podman_service())
        try:
            client = docker.from_env(environment={**os.environ, "DOCKER_HOST": url})
            stack.enter_context(closing(client))
            if container.gpus:
                podman.check_gives_gpus(client.version())
        except DockerException as error:
            raise UsageError(f"--engine docker: {_unreachable(error, engine)}") from None
        stack.enter_context(_docker_errors(container))
        created = client.containers.create(container.image, list(container.arguments), **options)
        try:
            output = created.attach(stream=True)
            created.start()
            yield Running(_whole_lines(output), send, lambda: int(created.wait()["StatusCode"]))
        finally:
            created.remove(force=True)


def _unreachable(error: BaseException, engine: DockerEngine) -> str:
    """Returns why the engine cannot be reached, from the first of the errors that led to this one."""
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, PermissionError):
        return "no permission to use the Docker daemon; join the group docker, or take --engine apptainer"
    looked_for = what_was_looked_for(engine, os.environ)
    return f"no engine answers ({error}) at {looked_for}; start it, or set DOCKER_HOST"


@contextmanager
def _docker_errors(container: Container) -> Iterator[None]:
    """Turns the errors of the SDK in the ``with`` block into one line for a person."""
    from docker.errors import APIError, ImageNotFound
    from requests import RequestException

    try:
        yield
    except ImageNotFound:
        raise UsageError(
            f"--image {container.image}: Docker has no such image; make it with make image, or docker pull it"
        ) from None
    except APIError as error:
        detail = str(error.explanation).strip()
        if "could not select device driver" in detail:
            raise UsageError(
                f"--gpus {container.gpus}: Docker finds no GPU runtime; install NVIDIA's container toolkit, "
                "or leave out --gpus"
            ) from None
        raise RunFailedError(f"Docker cannot run {container.image}: {detail}") from None
    except RequestException as error:
        raise RunFailedError(f"lost the Docker daemon: {error}") from None


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yields whole lines of a stream that arrives in chunks of any size."""
    unfinished_line = b""
    for chunk in chunks:
        *lines, unfinished_line = (unfinished_line + chunk).split(b"\n")
        yield from lines
    if unfinished_line:
        yield unfinished_line


# Apptainer


def _apptainer_command(container: Container) -> list[str]:
    """Returns the command that hep-score uses, with a namespace of process ids.

    The namespace lets no process outlive the container. ``/tmp`` is the host's, because that of a container
    would hold 64 MB.
    """
    mounts = {"/results": container.results, "/tmp": Path(tempfile.gettempdir())}
    names = container.gpu_names[: container.gpus]
    return [
        *(apptainer_name(), "run", "--contain", "--cleanenv", "--ipc", "--pid"),
        *(f"--mount={bind_mount(source, target)}" for target, source in mounts.items()),
        *(["--nv"] if container.gpus else []),
        *([f"--env=CUDA_VISIBLE_DEVICES={','.join(names)}"] if names else []),
        *(container.image, *container.arguments),
    ]


@contextmanager
def _apptainer(container: Container) -> Iterator[Running]:
    """Runs a container as a process, which takes everything in the container with it."""
    try:
        find_apptainer()
    except UsageError as error:
        raise UsageError(f"--engine apptainer: {error}, or take --engine docker") from None
    check_sif(Path(container.image))
    process = subprocess.Popen(
        _apptainer_command(container),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal's Ctrl-C reaches this process only, which passes it on
    )
    assert process.stdout is not None
    try:
        yield Running(process.stdout, process.send_signal, process.wait)
    finally:
        process.kill()  # nothing happens if it has ended by itself
        process.wait()
        process.stdout.close()


def check_sif(path: Path) -> None:
    """Checks that a file is an image, because Apptainer's own words for anything else help nobody.

    Raises:
        UsageError: The file cannot be read, or is something else.
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
