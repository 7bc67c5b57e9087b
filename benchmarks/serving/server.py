"""Inference servers: a real Triton that a run starts, watches, drains and ends, or one that is there."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import sleep

from benchmarks.errors import RunFailedError, UsageError
from benchmarks.serving.connection import Connection
from benchmarks.serving.environment import TritonEnvironment, find_triton
from benchmarks.serving.repository import ServedModel
from benchmarks.timing import clock

MESSAGE_BYTES = 32_000_000  # of the requests that one client has under way, because shared memory is scarce
READY_SECONDS = 50.0  # for a server to load its model
DRAIN_SECONDS = 5.0  # for a server to answer what it has and to end, before it is killed
SHARED_MEMORY = Path("/dev/shm")
_SPARE_BYTES = 4 << 20  # of shared memory, for what the server keeps beside the patches
_LOOPBACK = "127.0.0.1"

# The kernel kills the server when the process that started it ends, however that ends. The setting survives
# the change to another program, so the first program of the new process only makes it.
_DYING_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Server:
    """An inference server.

    Args:
        address: ``HOST:PORT``.
        kind: ``triton`` for one that the run has started, ``remote`` or ``in-process``.
        version: Name and version, as the server says it.
    """

    def __init__(self, address: str, kind: str, version: str) -> None:
        self.address, self.kind, self.version = address, kind, version

    def check(self) -> None:
        """Checks that the server is still there, as far as this process can know.

        Raises:
            RunFailedError: It has ended.
        """


def check_bounds(batch: int, in_flight: int, patch_bytes: int) -> None:
    """Checks that the requests which a client has under way are not too large together.

    Args:
        batch: Patches of a request.
        in_flight: Requests under way.
        patch_bytes: Size of a patch in a request, in bytes.

    Raises:
        UsageError: They are.
    """
    size = batch * in_flight * patch_bytes
    if size > MESSAGE_BYTES:
        raise UsageError(
            f"batch and in_flight: expected requests under way of at most {MESSAGE_BYTES / 1e6:g} MB "
            f"together, got {in_flight} of {batch} patches, which are {size / 1e6:.1f} MB; lower one of them"
        )


def check_shared_memory(max_batch: int, patch_bytes: int, folder: Path = SHARED_MEMORY) -> None:
    """Checks that the server can hand its largest batches to the model.

    Args:
        max_batch: Patches of the largest batch.
        patch_bytes: Size of a patch, in bytes.
        folder: Where shared memory is.

    Raises:
        RunFailedError: There is too little shared memory.
    """
    # The server prepares one batch while the model works on another.
    needed = 2 * max_batch * patch_bytes + _SPARE_BYTES
    try:
        status = os.statvfs(folder)
    except OSError as error:
        raise RunFailedError(f"expected shared memory at {folder}: {error.strerror}") from None
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise RunFailedError(
            f"expected {needed / 1e6:.0f} MB of shared memory in {folder} for batches of {max_batch} "
            f"patches, got {free / 1e6:.0f} MB; start the container with more, such as --shm-size=256m, or "
            "lower the batch"
        )


@contextmanager
def triton_server(
    repository: Path,
    served: ServedModel,
    max_batch: int,
    log: Path,
    ready_seconds: float = READY_SECONDS,
    port: int = 0,
) -> Iterator[Server]:
    """Runs Triton on loopback in the ``with`` block, and leaves nothing of it behind.

    Args:
        repository: From ``write_repository``.
        served: The model that the server must have.
        max_batch: Patches of its largest batch.
        log: File for what the server prints.
        ready_seconds: How long the server may take to load the model.
        port: For gRPC; 0 for any that is free.

    Yields:
        The server, which is ready.

    Raises:
        UsageError: There is no Triton here.
        RunFailedError: It cannot start or load the model, or there is too little shared memory.
    """
    environment = find_triton()
    check_shared_memory(max_batch, served.patch_bytes)
    port = port or _free_port()
    prefix = f"hepbench_{os.getpid()}_{secrets.token_hex(4)}_"
    with tempfile.TemporaryDirectory(prefix="hepbench-triton-") as folder:
        backends = _backend_folder(environment, Path(folder))
        command = _command(environment, repository, backends, port, prefix)
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment.variables(),
                start_new_session=True,  # Ctrl-C is for the run, which still needs the server to drain
            )
        try:
            server = _TritonServer(process, f"{_LOOPBACK}:{port}", log)
            server.wait_until_ready(served.name, ready_seconds)
            yield server
        finally:
            _end(process)
            for path in SHARED_MEMORY.glob(f"{prefix}*"):
                path.unlink(missing_ok=True)


def remote_server(address: str, served: ServedModel) -> Server:
    """Returns a server that is there already.

    Args:
        address: ``HOST:PORT`` of its gRPC.
        served: The model that the server must have.

    Raises:
        RunFailedError: It does not answer or does not have the model.
    """
    connection = Connection(address)
    try:
        answer = connection.ask("ServerMetadata")
        if not connection.is_ready(served.name):
            raise RunFailedError(
                f"the inference server at {address} does not have the model {served.name} ready; "
                "`hepbench serve export` writes it"
            )
    finally:
        connection.close()
    return Server(address, "remote", f"{answer.name} {answer.version}".strip())


def weights_failure(server: Server, served: ServedModel, seconds: float) -> str:
    """Says in one line why a server does not answer with the expected weights; empty if it does.

    Args:
        server: A server.
        served: The model with its weights' hash.
        seconds: How long the server has to answer.
    """
    connection = Connection(server.address)
    try:
        digest = connection.weights_sha256(served, seconds)
    except RunFailedError as error:
        return f"expected the server to answer with its weights' hash: {error}"
    finally:
        connection.close()
    if digest == served.weights_sha256:
        return ""
    return f"expected the weights {served.weights_sha256[:12]} to answer, got {digest[:12]}"


class _TritonServer(Server):
    """A Triton that this process has started."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, log: Path) -> None:
        super().__init__(address, "triton", "")
        self._process, self._log = process, log

    def check(self) -> None:
        """Checks that the process has not ended.

        Raises:
            RunFailedError: It has.
        """
        code = self._process.poll()
        if code is None:
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise RunFailedError(f"the inference server {how}{_reason(self._log)}")

    def wait_until_ready(self, model: str, seconds: float) -> None:
        """Returns when the model is loaded.

        Raises:
            RunFailedError: The server ends or takes too long.
        """
        until = clock() + seconds
        connection = Connection(self.address)
        try:
            while not connection.is_ready(model):
                self.check()
                if clock() > until:
                    raise RunFailedError(
                        f"the inference server was not ready within {seconds:g} s; see {self._log}"
                    )
                sleep(0.1)
            # Another program may answer at the port if the server could not take it.
            self.check()
            answer = connection.ask("ServerMetadata")
            self.version = f"{answer.name} {answer.version}".strip()
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def _backend_folder(environment: TritonEnvironment, folder: Path) -> Path:
    """Makes a folder of backends with the one for Python models, for the environment's version of Python."""
    backend = folder / "python"
    backend.mkdir()
    for path in (environment.server / "backends" / "python").iterdir():
        if path.name != environment.stub.name:
            (backend / path.name).symlink_to(path)
    (backend / environment.stub.name).symlink_to(environment.stub)
    return folder


def _command(
    environment: TritonEnvironment, repository: Path, backends: Path, port: int, prefix: str
) -> list[str]:
    """Returns the server's command line: gRPC on loopback, and nothing else that listens."""
    return [
        *(sys.executable, "-I", "-S", "-c", _DYING_WITH_PARENT),
        str(environment.binary),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--grpc-address={_LOOPBACK}",
        f"--grpc-port={port}",
        "--allow-http=false",
        "--allow-metrics=false",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=3",
        f"--backend-config=python,shm-region-prefix-name={prefix}",
    ]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the server, which may answer what it has, and whatever it started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(DRAIN_SECONDS)
    # The process of the model survives a server that was killed.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(log: Path) -> str:
    """Returns why the server failed, as the end of a sentence; only where to look if it does not say."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        # Lines begin with a letter for their severity, the date and the place in the source. Errors about
        # GPUs that the machine does not have are among them.
        if match := re.match(r'E\d{4} \S+ \d+ \S+\] "(failed to .*)"', line):
            first_line = match[1].split("\\n")[0].strip()
            return f": {first_line[:300]}; see {log}"
    return f"; see {log}"
