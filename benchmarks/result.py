"""What a run leaves behind: ``RunResult``, to and from JSON. Standard library only."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class EpochRecord:
    """One pass over the training events.

    Attributes:
        index: Counts from 0.
        warmup: True for an epoch that is recorded and never scored (the first one compiles).
        seconds: From an idle to a drained device, validation not included; of the slowest rank.
        events: Real events trained on, summed over the ranks.
        elements: Real (unpadded) elements in them.
        padded_elements: Elements the device worked on, padding included.
        steps: Optimiser steps.
        throughput: ``events / seconds``, in events/s.
        loss: Mean training loss over the events of the epoch.
        input_wait_fraction: Share of ``seconds`` in which the device had no batch to work on; of
            several ranks, their mean.
        validation: ``seconds``, ``loss`` and the metrics of the validation pass after the epoch.
        communication_seconds: What the all-reduces of these steps take on their own, see
            ``benchmarks.training.communication``; 0 on one rank.
        started_at: When the clock started, in seconds since 1970 (UTC); None in results of earlier versions.
        validation_started_at: The same of the validation pass; None where there was none, too.
    """

    index: int
    warmup: bool
    seconds: float
    events: int
    elements: int
    padded_elements: int
    steps: int
    throughput: float
    loss: float
    input_wait_fraction: float
    validation: Mapping[str, float] = field(default_factory=dict)
    communication_seconds: float = 0.0
    started_at: float | None = None
    validation_started_at: float | None = None


@dataclass(frozen=True)
class Spread:
    """Median and spread of one figure over its repetitions.

    Attributes:
        relative_spread: ``(max - min) / median``.
    """

    count: int
    mean: float
    median: float
    min: float
    max: float
    relative_spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Summarises ``values``.

        Raises:
            ValueError: ``values`` is empty.
        """
        if not values:
            raise ValueError("expected at least one value, got none")
        median = statistics.median(values)
        low, high = min(values), max(values)
        return cls(
            count=len(values),
            mean=statistics.fmean(values),
            median=median,
            min=low,
            max=high,
            relative_spread=(high - low) / median if median else 0.0,
        )


@dataclass(frozen=True)
class Score:
    """One figure of a run that was repeated.

    Attributes:
        spread: Over its repetitions.
        unit: Such as ``events/s``.
    """

    spread: Spread
    unit: str


@dataclass(frozen=True)
class RunResult:
    """Everything a run measured. ``result.json`` is this record.

    Attributes:
        status: ``ok``, ``failed`` or ``interrupted``; only an ``ok`` run has a score.
        reason: One line that says why a run is not ``ok``; empty otherwise.
        config: The effective configuration, JSON values only.
        kind: The kind of workload, such as ``training``.
        device: ``gpu`` or ``cpu``, where the model ran; empty in results of earlier versions.
        scores: What the run is scored by, higher is better; empty unless the run is ``ok``.
        verdict: Whether the machine was quiet, see ``benchmarks.verdict``; empty unless the run is ``ok``.
        quality: Figures of merit of the trained model on the validation events.
        breakdown: The same in bins, where a workload has such, with ``plots``, see ``benchmarks.plots``.
        inference: ``batch`` and ``single`` (batch of 1), see ``benchmarks.training.inference``.
        kernel: What a numerical kernel measured, see ``benchmarks.kernels.run``.
        telemetry: What was sampled beside the run, see ``benchmarks.machine.telemetry``, with its ``phases``.
        energy_scored: Energy of the phases behind each score, and of an event, see
            ``benchmarks.machine.energy``; empty in results of earlier versions.
        serving: What an inference service measured, see ``benchmarks.serving.run``.
        peak_memory_bytes: ``host`` and, where the device has memory of its own, ``device``; and
            ``expected``, what the configuration expects. Of several ranks, the one with the most.
        distributed: ``learning_rate_factor``; of several ranks also ``launcher``, ``nodes``, ``libraries``,
            ``ranks`` (of each ``node``, ``cores``, ``peak_memory_bytes``) and what
            ``benchmarks.training.communication`` measured.
        weights_sha256: Hash of the final weights, in the model's order, little endian.
        data_sha256: Hash of the data set's manifest.
    """

    workload: str
    status: str
    config: Mapping[str, Any]
    seed: int
    reason: str = ""
    kind: str = "training"
    device: str = ""
    world_size: int = 1
    scores: Mapping[str, Score] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[EpochRecord, ...] = ()
    quality: Mapping[str, float] = field(default_factory=dict)
    breakdown: Mapping[str, Any] = field(default_factory=dict)
    inference: Mapping[str, Any] = field(default_factory=dict)
    kernel: Mapping[str, Any] = field(default_factory=dict)
    serving: Mapping[str, Any] = field(default_factory=dict)
    peak_memory_bytes: Mapping[str, int] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str = ""
    data_sha256: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    telemetry: Mapping[str, Any] = field(default_factory=dict)
    energy_scored: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    distributed: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def timed(self) -> tuple[EpochRecord, ...]:
        """Returns the epochs that count for the score."""
        return tuple(epoch for epoch in self.epochs if not epoch.warmup)

    def training(self) -> Spread:
        """Returns the throughput over the timed epochs, in events/s."""
        return Spread.of([epoch.throughput for epoch in self.timed])

    def epoch_seconds(self) -> Spread:
        """Returns the duration of the timed epochs, in seconds."""
        return Spread.of([epoch.seconds for epoch in self.timed])

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON values. NaN and infinities become null, because JSON has neither."""
        plain = dataclasses.asdict(self)
        if self.timed:
            plain["training"] = {
                "events_per_second": dataclasses.asdict(self.training()),
                "epoch_seconds": dataclasses.asdict(self.epoch_seconds()),
            }
        cleaned: dict[str, Any] = _finite(plain)
        return cleaned

    @classmethod
    def without_figures(
        cls, config: Mapping[str, Any], world_size: int, status: str, reason: str
    ) -> RunResult:
        """Returns the record of a run that ended before there was anything to measure."""
        return cls(
            workload=config["workload"],
            kind=config["kind"],
            status=status,
            reason=reason,
            config=dict(config),
            seed=config["seed"],
            world_size=world_size,
        )

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> RunResult:
        """Rebuilds the record from ``to_dict``.

        Raises:
            ValueError: Another schema version, or a key is missing.
        """
        version = plain.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"expected result schema version {SCHEMA_VERSION}, got {version!r}")
        names = {item.name for item in dataclasses.fields(cls)}
        values = {key: value for key, value in plain.items() if key in names}
        try:
            values["scores"] = {
                name: Score(Spread(**score["spread"]), score["unit"])
                for name, score in plain.get("scores", {}).items()
            }
            values["epochs"] = tuple(
                EpochRecord(**{**epoch, "loss": _number(epoch["loss"])}) for epoch in plain["epochs"]
            )
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a run result: {error}") from None


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def read_result(path: Path) -> RunResult:
    """Reads a ``result.json``.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no result of a schema version that this version knows.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    if not isinstance(plain, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(plain).__name__}")
    try:
        return RunResult.from_dict(plain)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
