"""The kind of workload "inference service": a short training, local inference, and a server under load.

The result has ``serving`` with ``rows`` of local inference, one for each number format and batch size, and
``service`` with ``server``, ``version`` and ``without_score``, which says why the service has no score, and
``loads``. Those with the first size of requests and the first delay are the listed loads, and the highest of
them within the bound is scored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks import backends, workload
from benchmarks.config import RunConfig, ServingConfig, as_service
from benchmarks.context import Context
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.machine.cgroup import usable_cores
from benchmarks.scores import row_rate, service_shortfall
from benchmarks.serving.figures import load_line
from benchmarks.serving.local import Answer, answer_function, largest_difference, measure_row
from benchmarks.serving.training import train_model
from benchmarks.timing import EpochTimer
from benchmarks.training.run import parameter_counts, weights_sha256
from benchmarks.workload import Service

# What a batch of another size may change, and what another number format may, in outputs from 0 to 1.
SAME_FORMAT, OTHER_FORMAT = 1e-3, 0.5
PRECISIONS = ("float32", "mixed_bfloat16")  # of the rows, besides that of the run


def measure(context: Context, workload: Service) -> None:
    """Trains, judges the model, and measures local inference and the service; fills in the result's fields.

    Raises:
        RunFailedError: The run has no score: the loss is lost, outputs differ between batch sizes, the server
            failed, or no load is within the bound.
    """
    _ServiceRun(context, workload).run()


def export_model(config: RunConfig, folder: Path, note: Callable[[str], None]) -> Path:
    """Trains the model of a configuration, and writes a model repository for a stock Triton.

    Args:
        config: Of an inference service.
        folder: Where the repository goes.
        note: Takes a line of text now and then.

    Returns:
        The folder.

    Raises:
        UsageError: The configuration is of another kind, or cannot be carried out here.
        DataError: The patches are damaged, too few, or cannot be made.
        RunFailedError: The loss is lost.
    """
    from benchmarks.serving.repository import write_repository
    from benchmarks.serving.service import batching, describe_model

    config = backends.restrict(as_service(config, "serve export"), 1)
    backend = backends.load(config.backend)
    config = dataclasses.replace(config, threads=config.threads or usable_cores())
    service: Service = workload.load(config.workload)
    events = service.prepare(config, note)
    config = config.with_auto_resolved(backend.device(), None)
    backend.configure(config)

    model = train_model(backend, service, config, events, note)
    about = describe_model(config, service, events.raw(), weights_sha256(model, backend.fetch))
    delay = config.numbers("queue_delays", low=0)[0]
    # A server on another machine has other cores, all of which its model may use.
    return write_repository(folder, about, batching(config, delay), model, threads=0)


class _ServiceRun:
    """One inference service with its measurements."""

    def __init__(self, context: Context, service: Service) -> None:
        self.context, self.service = context, service
        self.backend, self.events, self.fields = context.backend, context.events, context.fields
        self.config = cast(ServingConfig, context.config)
        self.rows: list[dict[str, Any]] = []
        self.fields["serving"] = {"rows": self.rows}

    def run(self) -> None:
        """Does all of it; see ``measure``."""
        config, note = self.config, self.context.progress.note
        self._check_clients()

        # Weights come first: the same seed and patches give the same on one framework and machine.
        with EpochTimer(self.backend.drain) as training:
            model = train_model(self.backend, self.service, config, self.events, note)
        self.fields["seconds"] = {"training": training.seconds}
        self.fields["model"] = parameter_counts(model)
        self.fields["weights_sha256"] = weights_sha256(model, self.backend.fetch)

        # The outputs for the whole event are what every later answer is compared with.
        scored_answer = self._answer_function(model)
        expected = self._judge(scored_answer)

        # The scored number format comes first, and with it the model that is there already.
        raw = self.events.raw()
        patches = self.service.preprocess(raw)
        for precision in dict.fromkeys((config.precision, *PRECISIONS)):
            is_scored = precision == config.precision
            answer = scored_answer if is_scored else self._answer_function(self._model_in(precision, model))
            for batch_size in config.batch_sizes():
                self._measure_row(precision, batch_size, answer, patches, expected)
        self._measure_service(model, scored_answer, raw, expected)

    def _check_clients(self) -> None:
        """Finds out before the training that clients and a server can run.

        Raises:
            RunFailedError: They cannot.
        """
        try:
            from benchmarks.serving.service import check_room
        except ModuleNotFoundError as error:
            raise RunFailedError(
                f"clients of an inference server need gRPC ({error}): pip install '.[serving]'"
            ) from None
        check_room(self.config, self.config.patch_bytes)

    def _measure_service(
        self, model: Any, answer: Answer, raw: np.ndarray, expected: list[np.ndarray]
    ) -> None:
        """Records the service and its loads, one after the other, so that a broken run keeps what it has.

        Raises:
            RunFailedError: The server or a client failed, or no listed load is within the bound.
        """
        from benchmarks.serving.service import ModelToServe, describe_model, measure_service

        config, note = self.config, self.context.progress.note
        about = describe_model(config, self.service, raw, self.fields["weights_sha256"])
        served = ModelToServe(config, self.service, model, about, answer, raw, expected)
        try:
            service, *loads = self._record_parts(measure_service(self.context, served))
        except UsageError as error:
            raise RunFailedError(str(error)) from None
        if service["without_score"]:
            note(f"the service has no score: {service['without_score']}")
        elif shortfall := service_shortfall({**service, "loads": loads}, dataclasses.asdict(config)):
            raise RunFailedError(shortfall)

    def _record_parts(self, parts: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yields the service and its loads again, after they are in the record."""
        loads: list[Mapping[str, Any]] = []
        for index, part in enumerate(parts):
            if index:
                loads.append(part)
                self.context.progress.note(load_line(part))
            else:
                self.fields["serving"]["service"] = {**part, "loads": loads}
            yield part

    def _answer_function(self, model: Any) -> Answer:
        predict = self.backend.predict_step(model, self.config.xla == "on")
        return answer_function(self.backend, predict, self.service.outputs())

    def _model_in(self, precision: str, model: Any) -> Any:
        """Returns the same model in another number format."""
        config = dataclasses.replace(self.config, precision=precision)
        other = self.service.build(config, np.random.default_rng(config.seed)).model
        other.set_weights(model.get_weights())
        return other

    def _judge(self, answer: Answer) -> list[np.ndarray]:
        """Records the quality of the model on the event, and returns its outputs for all patches.

        Raises:
            RunFailedError: The quality is too poor, and so there is nothing worth serving.
        """
        metrics = self.service.metrics()
        parts = []
        for batch in self.events.batches("validation", self.config.batch_size):
            parts.append(answer(batch.inputs))
            metrics.update(parts[-1], batch)
        self.fields["quality"], self.fields["breakdown"] = metrics.result(), dict(metrics.breakdown())
        if failure := self.config.quality_failure(self.fields["quality"]):
            raise RunFailedError(f"did not train: {failure}")
        return [np.concatenate(output) for output in zip(*parts, strict=True)]

    def _measure_row(
        self,
        precision: str,
        batch_size: int,
        answer: Answer,
        patches: np.ndarray,
        expected: list[np.ndarray],
    ) -> None:
        """Records a row of local inference.

        Raises:
            RunFailedError: Its outputs are not those of the model.
        """
        config = self.config
        figures, answers = measure_row(
            answer, patches, batch_size, config, self.backend.drain, self.context.meeting
        )
        difference = largest_difference(answers, expected)
        row = {"precision": precision, **figures, "largest_difference": difference}
        self.rows.append(row)
        self.context.progress.note(f"{precision}, batch {batch_size}: {row_rate(row):.4g} patches/s")
        allowed = SAME_FORMAT if precision == config.precision == "float32" else OTHER_FORMAT
        if not difference <= allowed:
            raise RunFailedError(
                f"local inference in {precision} at batch {batch_size}: expected outputs within {allowed:g} "
                f"of the others, got a difference of {difference:.3g}"
            )
