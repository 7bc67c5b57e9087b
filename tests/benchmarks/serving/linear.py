"""A linear map of patches of 3 x 4 x 1 values, which tests can check by hand: model, events, servers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.client import Load, Replay, write_replay
from benchmarks.serving.in_process import in_process_server
from benchmarks.serving.repository import Batching, ServedModel, write_repository
from benchmarks.serving.server import Server, triton_server

WEIGHTS = np.arange(36, dtype=np.float32).reshape(12, 3) / 36
SERVED = ServedModel(
    "linear", (3, 4, 1), {"first": 1, "others": 2}, hashlib.sha256(WEIGHTS.tobytes()).hexdigest()
)
# Three events of ten patches, in requests of at most four.
LOAD = Load(clients=2, batch=4, warmup_seconds=0.1, window_seconds=0.3, windows=2, request_seconds=5.0)
SOURCE = Path(__file__).with_name("linear_model.py").read_text(encoding="utf-8")


def halve(stored: np.ndarray) -> np.ndarray:
    """From stored integers to what the model takes."""
    return stored.astype(np.float32)[..., np.newaxis] / 2


def predict(patches: np.ndarray) -> dict[str, np.ndarray]:
    values = patches.reshape(len(patches), -1) @ WEIGHTS
    return {"first": values[:, :1], "others": values[:, 1:]}


def replay(folder: Path, tolerance: float = 1e-4) -> Replay:
    stored = np.random.default_rng(1).integers(0, 100, (30, 3, 4)).astype(np.int16)
    return write_replay(folder, stored, predict(halve(stored)), 10, halve, tolerance)


@contextmanager
def served_here(**options: Any) -> Iterator[Server]:
    """The in-process server, with another prediction where a test asks for it."""
    with in_process_server(SERVED, options.get("predict", predict)) as server:
        yield server


def repository(
    folder: Path, batching: Batching | None = None, changes: Mapping[str, str] | None = None
) -> Path:
    """A model repository, with lines of the model's program replaced."""
    source = SOURCE
    for line, other in (changes or {}).items():
        assert line in source
        source = source.replace(line, other)
    return write_repository(folder / "models", SERVED, batching or Batching(64), None, 1, source)


@contextmanager
def triton(
    folder: Path, batching: Batching | None = None, changes: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Server]:
    models = repository(folder, batching, changes)
    with triton_server(models, SERVED, 64, folder / "server.log", **options) as server:
        yield server


def load(**changes: Any) -> Load:
    return replace(LOAD, **changes)
