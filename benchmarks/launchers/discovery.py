"""Finds the container engines of this machine. Every command that looks for one looks here."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UsageError

DEFAULT_SOCKET = Path("/var/run/docker.sock")
APPTAINER_NAMES = ("apptainer", "singularity")
# The first SingularityCE with --mount, which takes paths with colons and commas. Every Apptainer has it.
OLDEST_SINGULARITY = (3, 9)
_SECONDS = 10.0  # for a program to say its version


@dataclass(frozen=True)
class DockerEngine:
    """An engine that speaks Docker's language: Docker or Podman, of the system or of a user (rootless).

    Attributes:
        url: Address of its service. Empty for a Podman of which no service runs.
        origin: What named the address, such as ``DOCKER_HOST``. Empty for the first socket that was found.
    """

    url: str
    origin: str = ""

    @property
    def socket(self) -> Path | None:
        """Returns the socket of the service, or None where it is on another machine or does not run."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None

    @property
    def is_rootless(self) -> bool:
        """Tells whether a user runs the engine. Its socket is then the user's, and not root's."""
        owner = os.getuid() if not self.url else 0
        if self.socket is not None:
            with suppress(OSError):  # nothing is there
                owner = self.socket.stat().st_uid
        return owner != 0

    @property
    def is_podman(self) -> bool:
        """Tells whether the engine is Podman, as far as its address says."""
        return not self.url or (self.socket is not None and self.socket.resolve().name == "podman.sock")

    def client(self) -> list[str]:
        """Returns the command line client that reaches this engine, with its options."""
        if not self.url or (shutil.which("docker") is None and self.is_podman):
            return ["podman"]
        if self.origin or self.socket == DEFAULT_SOCKET:  # the client finds these by itself
            return ["docker"]
        return ["docker", f"--host={self.url}"]

    def user(self) -> str:
        """Returns the user and group of a container whose files are to belong to the user of this process.

        In the container of a rootless engine, that user is root and every other number is a stranger.
        """
        return "0:0" if self.is_rootless else f"{os.getuid()}:{os.getgid()}"


def find_docker(environment: Mapping[str, str]) -> DockerEngine:
    """Returns the engine that ``DOCKER_HOST``, a context of Docker's client, or a socket leads to.

    The first two count in the order of Docker's client. After them comes the first socket that this process
    may use, and then Podman without a service.

    Args:
        environment: Environment variables of this process.

    Raises:
        UsageError: The context is not there or cannot be read, or the engine is reached by SSH.
    """
    if host := environment.get("DOCKER_HOST"):
        return _named_engine(host, "DOCKER_HOST")
    if context := _current_context(environment):
        return _named_engine(_context_host(context, environment), f"Docker context {context}")

    # A socket that is closed to this user is named only where there is no other one.
    sockets = [path for path in docker_sockets(environment) if path.exists()]
    usable = [path for path in sockets if os.access(path, os.R_OK | os.W_OK)]
    if not usable and shutil.which("podman"):
        return DockerEngine("")
    return DockerEngine(f"unix://{[*usable, *sockets, DEFAULT_SOCKET][0]}")


def _named_engine(url: str, origin: str) -> DockerEngine:
    if url.startswith("ssh://"):
        raise UsageError(
            f"{origin}: expected an engine of this machine, which has the output folder, got {url}; "
            "run hepbench there, or name another engine"
        )
    return DockerEngine(url, origin)


def docker_sockets(environment: Mapping[str, str]) -> list[Path]:
    """Returns where Docker and Podman listen, each for the system and for a user."""
    runtime = Path(environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    return [
        DEFAULT_SOCKET,
        runtime / "docker.sock",
        runtime / "podman" / "podman.sock",
        Path("/run/podman/podman.sock"),
    ]


def what_was_looked_for(engine: DockerEngine, environment: Mapping[str, str]) -> str:
    """Returns in words where ``find_docker`` looked for an engine that does not answer."""
    if engine.origin:
        return f"{engine.url} ({engine.origin})"
    sockets = ", ".join(map(str, docker_sockets(environment)))
    return f"{engine.url or 'podman'}; looked for DOCKER_HOST, a Docker context, {sockets} and podman"


def _docker_folder(environment: Mapping[str, str]) -> Path:
    """Returns the folder where Docker's client keeps its settings."""
    return Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME", "/"), ".docker"))


def _current_context(environment: Mapping[str, str]) -> str:
    """Returns the name of the context that Docker's client uses, or an empty text for the default one."""
    name = environment.get("DOCKER_CONTEXT", "")
    if not name:
        with suppress(OSError, ValueError):  # no file, or one that Docker's client warns of and passes over
            settings = json.loads((_docker_folder(environment) / "config.json").read_text(encoding="utf-8"))
            name = str(settings.get("currentContext", "")) if isinstance(settings, dict) else ""
    return "" if name == "default" else name


def _context_host(name: str, environment: Mapping[str, str]) -> str:
    """Returns the address of a context, which Docker's client keeps under the SHA-256 of its name."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    file = _docker_folder(environment) / "contexts" / "meta" / digest / "meta.json"
    try:
        host = json.loads(file.read_text(encoding="utf-8"))["Endpoints"]["docker"]["Host"]
    except (OSError, ValueError, LookupError, TypeError):
        raise UsageError(
            f"Docker context {name}: expected its address in {file}, found none; see docker context ls, "
            "or set DOCKER_HOST"
        ) from None
    return str(host)


def answers(path: Path) -> bool:
    """Tells whether an engine listens on a Unix socket and lets this user in."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect(str(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False


def apptainer_name() -> str:
    """Returns the name of Apptainer on this machine, which may have the old one."""
    return next((name for name in APPTAINER_NAMES if shutil.which(name)), APPTAINER_NAMES[0])


def find_apptainer() -> str:
    """Returns the path of Apptainer, or of a Singularity that takes the same options.

    Raises:
        UsageError: There is none, or it is too old.
    """
    path = shutil.which(apptainer_name())
    if path is None:
        raise UsageError(f"no {' or '.join(APPTAINER_NAMES)} on the PATH; install Apptainer")
    if Path(path).name == "apptainer":
        return path

    # A program that does not say its version gets the benefit of the doubt.
    try:
        command = [path, "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return path
    version = re.search(r"singularity\S* version (\d+)\.(\d+)", answer.stdout)
    if version and (int(version[1]), int(version[2])) < OLDEST_SINGULARITY:
        oldest = ".".join(map(str, OLDEST_SINGULARITY))
        raise UsageError(
            f"{path}: expected Apptainer, or SingularityCE {oldest} or newer, which has --mount; "
            f"got {answer.stdout.strip()}"
        )
    return path
