"""A stand-in for an accelerator behind the real server, and loads on it: an event is one request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import RunResult
from benchmarks.serving.client import Load, Replay, write_replay
from benchmarks.serving.load import run_load
from benchmarks.serving.repository import Batching, ServedModel, write_repository
from benchmarks.serving.server import Server, triton_server
from benchmarks.verdict import verdict

SOURCE = Path(__file__).with_name("sleeping_model.py").read_text(encoding="utf-8")
SECONDS_LINE = "SECONDS = 0.02"


def served(values: int) -> ServedModel:
    """A model that answers with the first of the values of a patch."""
    return ServedModel("stand_in", (values,), {"first": 1}, "")


def unchanged(stored: np.ndarray) -> np.ndarray:
    return stored


def replay(folder: Path, values: int) -> Replay:
    patches = np.random.default_rng(1).random((4, values), np.float32)
    return write_replay(folder, patches, {"first": patches[:, :1]}, 1, unchanged, 0.0)


@contextmanager
def triton(folder: Path, values: int, seconds: float) -> Iterator[Server]:
    """The real server, which never joins requests."""
    assert SECONDS_LINE in SOURCE
    source = SOURCE.replace(SECONDS_LINE, f"SECONDS = {seconds}")
    models = write_repository(folder / "models", served(values), Batching(max_batch=1), None, 1, source)
    with triton_server(models, served(values), 1, folder / "server.log") as server:
        yield server


def measure(
    server: Server,
    events: Replay,
    values: int,
    clients: int,
    think: float,
    barrier: Callable[[], None] = lambda: None,
) -> Mapping[str, Any]:
    """The figures of clients in a closed loop; the warm-up is longer than a round of the most clients."""
    load = Load(
        clients=clients,
        batch=1,
        work_seconds=think,
        work="sleep",
        warmup_seconds=1.0,
        window_seconds=1.5,
        windows=1,
    )
    return run_load(server, served(values), events, load, barrier)


def disturbance(telemetry: Mapping[str, Any]) -> str:
    """Why a run's verdict would not be quiet; empty if it would."""
    word = verdict(RunResult("stand_in", "ok", config={}, seed=1, telemetry=telemetry))
    return "" if word.word == "quiet" else f"{word.word}: {'; '.join(word.reasons)}"
