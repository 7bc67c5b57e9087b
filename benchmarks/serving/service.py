"""The service of a run: a server, clients that replay events, and one load after another."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.config import ServingConfig
from benchmarks.context import Context
from benchmarks.errors import RunFailedError
from benchmarks.serving.client import Load, Replay, write_replay
from benchmarks.serving.environment import missing_triton
from benchmarks.serving.in_process import in_process_server
from benchmarks.serving.load import run_load
from benchmarks.serving.local import Answer
from benchmarks.serving.repository import Batching, ServedModel, write_repository
from benchmarks.serving.server import (
    Server,
    check_shared_memory,
    remote_server,
    triton_server,
    weights_failure,
)
from benchmarks.workload import Service

# What an answer may differ by from the local one, in outputs from 0 to 1: another framework, or rounding.
TOLERANCES = {"float32": 1e-3}
ROUNDED_TOLERANCE = 0.05
WARMUP_SECONDS = 1.0
WEIGHTS_SECONDS = 20.0  # for a server to say which weights it has

log = logging.getLogger("hepbench")


@dataclass(frozen=True)
class ModelToServe:
    """A model of a run that is to be served.

    Attributes:
        config: Of the run.
        service: The workload.
        model: The keras.Model.
        about: What server and clients must know of it.
        answer: Its local inference, see ``benchmarks.serving.local``.
        patches: Of the event, as stored, (patches, ...).
        expected: Its outputs for them, in the model's order.
    """

    config: ServingConfig
    service: Service
    model: Any
    about: ServedModel
    answer: Answer
    patches: np.ndarray
    expected: list[np.ndarray]


def describe_model(
    config: ServingConfig, service: Service, patches: np.ndarray, weights_sha256: str
) -> ServedModel:
    """Returns what server and clients must know of a model.

    Args:
        config: Of the run.
        service: The workload.
        patches: At least one as stored, (patches, ...).
        weights_sha256: Hash of the weights.
    """
    shape = service.preprocess(patches[:1]).shape[1:]
    return ServedModel(config.workload, shape, service.outputs(), weights_sha256)


def batching(config: ServingConfig, delay: int) -> Batching:
    """Returns how a server joins requests that may wait for ``delay`` microseconds."""
    preferred = config.numbers("preferred_batches") if delay else ()
    return Batching(config.max_batch, preferred, delay)


def check_room(config: ServingConfig, patch_bytes: int) -> None:
    """Checks before the training that a server of the run's own can have its shared memory.

    Raises:
        RunFailedError: There is too little.
    """
    if not config.server and not missing_triton():
        check_shared_memory(config.max_batch, patch_bytes)


def measure_service(context: Context, served: ModelToServe) -> Iterator[Mapping[str, Any]]:
    """Measures the listed loads, and then what batching and other sizes of requests change.

    Yields:
        First ``server``, ``version`` and ``without_score``, which says why the service has no score and is
        empty if it has one. Then the figures of each load, see ``load_figures``, with its ``queue_delay`` in
        microseconds.

    Raises:
        RunFailedError: An answer was wrong, late or lost, or the server could not start or ended.
    """
    config = served.config
    with tempfile.TemporaryDirectory(prefix="hepbench-service-") as folder:
        replay = write_replay(
            Path(folder, "replay"),
            served.patches,
            dict(zip(served.about.outputs, served.expected, strict=True)),
            config.event_patches,
            served.service.preprocess,
            TOLERANCES.get(config.precision, ROUNDED_TOLERANCE),
        )
        delays = config.numbers("queue_delays", low=0)
        for delay in delays:
            with _server(served, delay, Path(folder, str(delay))) as server:
                failure = weights_failure(server, served.about, WEIGHTS_SECONDS)
                without_score = _without_score(server, failure)
                if delay == delays[0]:
                    yield {
                        "server": server.kind,
                        "version": server.version,
                        "without_score": without_score,
                    }
                for load in _loads(config, is_scored=delay == delays[0]):
                    yield {"queue_delay": delay, **_measure_load(context, server, served, replay, load)}

                # A server that was replaced under the load would have other weights now.
                if (again := weights_failure(server, served.about, WEIGHTS_SECONDS)) != failure:
                    raise RunFailedError(again or "the server has other weights than before the load")
            if server.kind != "triton":
                return


def _loads(config: ServingConfig, is_scored: bool) -> Iterator[Load]:
    """Yields the loads on one server: all numbers of clients for the scored ones, and the most for others."""
    clients = config.numbers("clients")
    for index, batch in enumerate(config.numbers("request_batches")):
        for count in clients if is_scored and index == 0 else clients[-1:]:
            yield Load(
                clients=count,
                batch=batch,
                in_flight=config.in_flight,
                work_seconds=config.work_seconds,
                rate=config.rate,
                warmup_seconds=WARMUP_SECONDS,
                window_seconds=config.window_seconds,
                windows=config.repetitions,
                seed=config.seed,
            )


def _measure_load(
    context: Context, server: Server, served: ModelToServe, replay: Replay, load: Load
) -> dict[str, Any]:
    """Returns the figures of a load, which copies of the run put on their servers at the same time."""
    figures = run_load(server, served.about, replay, load, context.meeting.meet)
    batch = served.service.preprocess(served.patches[: load.batch])
    context.meeting.keep_busy(lambda: served.answer(batch))
    return dict(figures)


def _without_score(server: Server, failure: str) -> str:
    """Says why a server gets no score; empty if it gets one."""
    if server.kind == "in-process":
        return f"the server was in the process of the run: {missing_triton()}"
    return failure


@contextlib.contextmanager
def _server(served: ModelToServe, delay: int, folder: Path) -> Iterator[Server]:
    """Gives the server that there is: a remote one, Triton, or one in this process."""
    config = served.config
    if config.server:
        yield remote_server(config.server, served.about)
    elif missing_triton():
        names = list(served.about.outputs)

        def predict(patches: np.ndarray) -> dict[str, np.ndarray]:
            return dict(zip(names, served.answer(patches), strict=True))

        with in_process_server(served.about, predict) as server:
            yield server
    else:
        repository = write_repository(
            folder / "models", served.about, batching(config, delay), served.model, config.threads
        )
        output = folder / "triton.log"
        try:
            with triton_server(repository, served.about, config.max_batch, output) as server:
                yield server
        except RunFailedError as error:
            # The file is gone when somebody looks for it, and the log of the run stays.
            if output.exists():
                log.error("the inference server printed:\n%s", output.read_text(errors="replace")[-20_000:])
            raise RunFailedError(str(error).replace(str(output), "run.log")) from error
