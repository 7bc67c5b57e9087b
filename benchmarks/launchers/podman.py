"""What Podman does otherwise than Docker, although it speaks Docker's language."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.errors import UsageError
from benchmarks.launchers.discovery import answers

SERVICE_SECONDS = 10.0  # for a service that is started here to answer
OLDEST_WITH_GPUS = (5, 4)  # older ones pass over the GPUs that a request by Docker's interface names


def gpu_settings(names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Returns options for GPUs and the arguments of Docker's SDK that do the same.

    Podman takes no other names than those of the Container Device Interface.

    Args:
        names: Indices or UUIDs of the GPUs.
    """
    devices = [f"nvidia.com/gpu={name}" for name in names]
    requests = [{"driver": "cdi", "device_ids": devices}]
    return {f"--device={device}": {"device_requests": requests} for device in devices}


def check_gives_gpus(version: Mapping[str, Any]) -> None:
    """Checks that an engine gives GPUs to a container that is made by Docker's interface.

    Args:
        version: The engine's answer about its version.

    Raises:
        UsageError: It is a Podman that would start the container without them.
    """
    parts = {str(part.get("Name")): str(part.get("Version")) for part in version.get("Components") or ()}
    podman = parts.get("Podman Engine")
    if podman and tuple(int(number) for number in re.findall(r"\d+", podman)[:2]) < OLDEST_WITH_GPUS:
        oldest = ".".join(map(str, OLDEST_WITH_GPUS))
        raise UsageError(
            f"--gpus: expected Podman {oldest} or newer, got {podman}; use Docker or --engine apptainer"
        )


@contextmanager
def podman_service() -> Iterator[str]:
    """Serves Docker's interface in the ``with`` block, for a Podman that has no service, as is its default.

    Yields:
        Address of the service.

    Raises:
        UsageError: Podman does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="hepbench-", ignore_cleanup_errors=True) as folder:
        path = Path(folder, "podman.sock")
        process = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{path}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a terminal's Ctrl-C reaches this process only, which still needs it
        )
        try:
            until = time.monotonic() + SERVICE_SECONDS
            while not answers(path):
                if process.poll() is not None or time.monotonic() > until:
                    process.kill()
                    last_lines = process.communicate()[1].strip().splitlines()[-1:]
                    reason = ": ".join(["podman does not answer", *last_lines])
                    raise UsageError(f"--engine docker: {reason}; start it, or set DOCKER_HOST")
                time.sleep(0.1)
            yield f"unix://{path}"
        finally:
            process.terminate()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
