"""What tests share because it takes seconds: generated events and one finished MLPF run."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import hepbench, read

SKIPS = Path(__file__).with_name("allowed_skips.txt")

# The full model on eight short events without pile-up, and as little padding as it takes.
TINY_DATA = {"train_events": 8, "validation_events": 4, "pileup": 0, "pool_events": 1}
TINY = TINY_DATA | {
    "pad_to": 128,
    "bin_size": 64,
    "batch_size": 2,
    "epochs": 3,
    "min_accuracy": 0,
    "max_loss": 0,
    "min_steps": 1,
    "inference_seconds": 0,
}


# A small interaction network on whole barrels of a few short events.
TINY_TRACKS_DATA = {
    "train_events": 4,
    "validation_events": 2,
    "pileup": 4,
    "pool_events": 20,
    "phi_sectors": 1,
}
TINY_TRACKS = TINY_TRACKS_DATA | {
    "pad_nodes": 2000,
    "pad_edges": 2000,
    "hidden": 8,
    "iterations": 3,
    "piece_edges": 700,
    "epochs": 3,
    "batch_size": 2,
    "min_auc": 0,
    "max_loss": 0,
    "min_steps": 1,
    "inference_seconds": 0,
}


def tiny_tracks(**changes: object) -> list[str]:
    """Arguments of a run of GNN tracking that takes as long as TensorFlow takes to get ready."""
    return ["gnn_tracking", *(f"--set={key}={value}" for key, value in {**TINY_TRACKS, **changes}.items())]


def tiny(**changes: object) -> list[str]:
    """Arguments of a run of MLPF that takes as long as TensorFlow takes to get ready."""
    return ["mlpf", *(f"--set={key}={value}" for key, value in {**TINY, **changes}.items())]


def allowed_skips() -> tuple[str, ...]:
    """The beginnings of the reasons for which a test may be skipped in CI."""
    lines = SKIPS.read_text(encoding="utf-8").splitlines()
    return tuple(line.partition("#")[0].strip() for line in lines if line.partition("#")[0].strip())


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Fails a run in CI that skipped a test for a reason which is not listed."""
    if os.environ.get("CI") != "true":
        return
    reasons = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    ]
    for reason in sorted({reason for reason in reasons if not reason.startswith(allowed_skips())}):
        terminalreporter.line(f"skipped for a reason that {SKIPS.name} does not list: {reason}", red=True)
        terminalreporter._session.exitstatus = pytest.ExitCode.TESTS_FAILED


@dataclass(frozen=True)
class Finished:
    """A run that ended, as its process and its folder show it."""

    folder: Path
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        return read(self.folder / "result.json")

    @property
    def summary(self) -> dict[str, Any]:
        return read(self.folder / f"{self.result['workload']}_summary.json")


@pytest.fixture(autouse=True, scope="session")
def default_signals() -> None:
    """Lets the processes of tests end by every signal, also where the tests themselves ignore some.

    A shell's background job, as CI may be, ignores SIGINT, and ``nohup`` ignores SIGHUP. What is ignored
    stays so in a new program, but what has a handler does not.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)


@pytest.fixture(autouse=True, scope="session")
def data_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of its own for the session: no test sees the user's data, or leaves some there."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPBENCH_DATA", str(folder))
        yield folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def mlpf_data(data_cache: Path) -> Path:
    """The events of a tiny run, in the cache, by the command that makes them."""
    return made("mlpf", TINY_DATA, data_cache)


@pytest.fixture(scope="session")
def tracks_data(data_cache: Path) -> Path:
    """The hits of a tiny run of GNN tracking, likewise."""
    pytest.importorskip("acts", reason="tracking events are made with pyacts")
    made("gnn_tracking", TINY_TRACKS_DATA, data_cache)
    (folder,) = set(data_cache.glob("gnn_tracking-*")) - set(data_cache.glob("gnn_tracking-graphs-*"))
    return folder


def made(workload: str, settings: dict[str, int], cache: Path) -> Path:
    pytest.importorskip("pythia8mc", reason="events are made with pythia8mc")
    answer = hepbench(
        "data", "generate", workload, *(f"--set={key}={value}" for key, value in settings.items())
    )
    assert answer.returncode == 0, answer.stderr
    folder = Path(answer.stdout.strip())
    assert folder.parent == cache
    return folder


@pytest.fixture(scope="session")
def finished(mlpf_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of MLPF from the command line, on the events in the cache."""
    assert mlpf_data.is_dir()
    return ran(tiny(), tmp_path_factory)


@pytest.fixture(scope="session")
def tracked(tracks_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of GNN tracking, likewise."""
    assert tracks_data.is_dir()
    return ran(tiny_tracks(), tmp_path_factory)


def ran(arguments: list[str], folders: pytest.TempPathFactory) -> Finished:
    pytest.importorskip("keras", reason="models are written in Keras")
    folder = folders.mktemp("finished") / "run"
    answer = hepbench("run", *arguments, "--output", folder)
    assert answer.returncode == 0, answer.stderr
    return Finished(folder, answer.stdout, answer.stderr)
