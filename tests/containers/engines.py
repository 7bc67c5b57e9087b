"""The built images behind the launchers of ``tests.hepscore_adapter.image.conformance``."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from benchmarks.machine.provenance import package_version
from benchmarks.workload import image_name
from tests.command import ROOT
from tests.hepscore_adapter.image.conformance import Outcome

VERSION = f"v{package_version('hepbench')}"
# What an image must do without: a known user, a writable root, capabilities, a network.
HARD = (
    *("--user", "12345:12345", "--read-only", "--cap-drop", "ALL", "--network", "none"),
    *("--security-opt", "no-new-privileges", "--tmpfs", "/tmp"),
)
# The least load that a trained model stays above its preset's floor with.
SMALL = {
    "mlpf": ("--epochs", "2"),
    "gnn_tracking": ("--epochs", "7"),
    "mellin_dis": (),
}


def image_tag(workload: str) -> str:
    return f"localhost/hepbench/{image_name(workload)}:{VERSION}"


def sif(workload: str) -> Path:
    return ROOT / "build" / "sif" / f"{image_name(workload)}_{VERSION}.sif"


def need_docker_image(workload: str) -> str:
    """The image's tag, or a skipped test that says what is missing."""
    if shutil.which("docker") is None or docker("info").returncode != 0:
        pytest.skip("no Docker daemon answers")
    if docker("image", "inspect", image_tag(workload)).returncode != 0:
        pytest.skip(f"no image {image_tag(workload)}: make image WORKLOAD={workload}")
    return image_tag(workload)


def need_sif(workload: str) -> Path:
    """The SIF, or a skipped test that says what is missing."""
    if shutil.which("apptainer") is None:
        pytest.skip("no Apptainer")
    if not sif(workload).exists():
        pytest.skip(f"no {sif(workload).relative_to(ROOT)}: make sif WORKLOAD={workload}")
    return sif(workload)


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)


@dataclass
class Running:
    """A ``Running`` of ``conformance``; ``container`` is Docker's name of it."""

    popen: subprocess.Popen[bytes]
    container: str | None = None

    def signal(self, number: int) -> None:
        if self.container is None:
            self.popen.send_signal(number)
        else:
            assert docker("kill", "--signal", str(int(number)), self.container).returncode == 0

    def finish(self, timeout: float) -> Outcome:
        try:
            stdout, stderr = self.popen.communicate(timeout=timeout)
        finally:
            if self.container is not None:
                docker("rm", "--force", self.container)
            elif self.popen.poll() is None:
                self.popen.kill()
        return Outcome(self.popen.returncode, stdout, stderr)


@dataclass
class _Image:
    """What is the same for both engines; every run of a whole preset is long enough."""

    workload: str
    long: ClassVar[tuple[str, ...]] = ()
    events: ClassVar[int] = 32

    @property
    def small(self) -> tuple[str, ...]:
        return SMALL[self.workload]

    def inside(self, results: Path) -> str:
        assert results.is_dir()
        return "/results"


@dataclass
class DockerImage(_Image):
    """A ``Launcher`` that takes all it can from the container; ``more`` are further options of Docker."""

    more: tuple[str, ...] = ()

    def start(self, *arguments: str, results: Path) -> Running:
        results.chmod(0o1777)  # as hep-score does
        name = f"hepbench-test-{uuid.uuid4().hex[:12]}"
        options = [*HARD, "--rm", "--name", name, *self.more]
        if not any("/results" in option for option in self.more):
            options += ["--volume", f"{results}:/results"]
        command = ["docker", "run", *options, image_tag(self.workload), *arguments]
        return Running(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE), name)


@dataclass
class SifImage(_Image):
    """A ``Launcher`` with the options that hep-score gives to singularity, as root or as ``user``."""

    user: int | None = None
    more: tuple[str, ...] = ()

    def start(self, *arguments: str, results: Path) -> Running:
        results.chmod(0o1777)
        options = ["-i", "-c", "-e", "-B", f"{results}:/results", *self.more]
        command = ["apptainer", "run", *options, str(sif(self.workload)), *arguments]
        return Running(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                user=self.user,
                group=self.user,
                extra_groups=None if self.user is None else [],
            )
        )
