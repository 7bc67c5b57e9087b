"""What tests share because it takes seconds: generated events and one finished MLPF run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import hepbench, read

# The full model on eight short events without pile-up, and as little padding as it takes.
TINY_DATA = {"train_events": 8, "validation_events": 4, "pileup": 0, "pool_events": 1}
TINY = TINY_DATA | {"pad_to": 128, "bin_size": 64, "batch_size": 2, "epochs": 3, "min_accuracy": 0}


def tiny(**changes: object) -> list[str]:
    """Arguments of a run of MLPF that takes as long as TensorFlow takes to get ready."""
    return ["mlpf", *(f"--set={key}={value}" for key, value in {**TINY, **changes}.items())]


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
        return read(self.folder / "mlpf_summary.json")


@pytest.fixture(autouse=True, scope="session")
def heeding_ctrl_c() -> None:
    """A shell's background job, as CI may be, ignores SIGINT, and so would every process it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def data_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of its own for the session: no test sees the user's data, or leaves some there."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPBENCH_DATA", str(folder))
        yield folder


@pytest.fixture(scope="session")
def mlpf_data(data_cache: Path) -> Path:
    """The events of a tiny run, in the cache, by the command that makes them."""
    pytest.importorskip("pythia8mc", reason="events are made with pythia8mc")
    settings = [f"--set={key}={value}" for key, value in TINY_DATA.items()]
    made = hepbench("data", "generate", "mlpf", *settings)
    assert made.returncode == 0, made.stderr
    folder = Path(made.stdout.strip())
    assert folder.parent == data_cache
    return folder


@pytest.fixture(scope="session")
def finished(mlpf_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run of MLPF from the command line, on the events in the cache."""
    assert mlpf_data.is_dir()
    pytest.importorskip("keras", reason="models are written in Keras")
    folder = tmp_path_factory.mktemp("finished") / "run"
    answer = hepbench("run", *tiny(), "--output", folder)
    assert answer.returncode == 0, answer.stderr
    return Finished(folder, answer.stdout, answer.stderr)
