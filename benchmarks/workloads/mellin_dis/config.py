"""Configuration and presets of the cross sections, which can be read without a framework."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from benchmarks.config import KernelConfig, option
from benchmarks.errors import UsageError

IMPLEMENTATIONS = (
    "loop",
    "vectorised",
    "chunked",
    "compiled",
    "eager",
    "eager_complex64",
    "graph",
    "graph_complex64",
    "xla",
    "xla_complex64",
    "pairs",
    "pairs_complex64",
    "gradient",
    "kernel_matrix",
)
MAX_DEVIATION = 5e-9  # of the check values, which have x up to 0.7


@dataclass(frozen=True)
class MellinConfig(KernelConfig):
    """Bootstraps of a fit, with the sizes of the published study as defaults."""

    workload: ClassVar[str] = "mellin_dis"

    events: int = option(5_000, "events of one ensemble, on proton and neutron", low=1, high=10_000_000)
    series_events: int = option(
        250_000, "largest number of events in the measurement against events", low=1, high=10_000_000
    )
    bootstraps: int = option(2_560, "ensembles of the whole job", low=1, high=10_000_000)
    data_seed: int = option(1, "seed of generated events", low=0, high=2**31 - 1)
    parameter_spread: float = option(
        0.02, "standard deviation of the relative shifts of parameters in a bootstrap", low=0.0, high=1.0
    )
    implementation: str = option(
        "auto",
        "the implementation that is scored; auto: compiled on a CPU, pairs on a GPU",
        choices=("auto", *IMPLEMENTATIONS),
    )
    max_deviation: float = option(
        MAX_DEVIATION,
        "relative deviation from the check values above which a run has no score",
        low=0.0,
        high=1.0,
    )

    def check(self) -> None:
        """Checks the keys that depend on each other.

        Raises:
            UsageError: There are more events in an ensemble than in the series.
        """
        if self.series_events < self.events:
            raise UsageError(
                f"series_events: expected at least the {self.events} events of an ensemble, "
                f"got {self.series_events}; lower --set events or raise --set series_events"
            )

    def with_auto_resolved(self, device: str, room: int | None) -> Self:
        """Returns the configuration with a value for every key that is ``auto``."""
        config = super().with_auto_resolved(device, room)
        if config.implementation != "auto":
            return config
        return dataclasses.replace(config, implementation="pairs" if device == "gpu" else "compiled")

    def expected_memory_bytes(self) -> int:
        """Returns the peak memory that a run is expected to take, in bytes.

        The framework and Python take the constant part, and the data set the rest. What an implementation
        takes is predicted one by one before it is measured, because it is left out where it does not fit.
        """
        return 700_000_000 + 64 * self.series_events

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        """Returns a line that says how far the deviation is above ``max_deviation``, or an empty string."""
        deviation = quality["deviation"]
        if deviation <= self.max_deviation:
            return ""
        return f"deviation: expected at most {self.max_deviation:g}, got {deviation:.3g}"


PRESETS: dict[str, MellinConfig] = {
    # Less than a minute on two cores.
    "smoke": MellinConfig(repetitions=3, repetition_seconds=0.1, series_events=5_000),
    # Long enough for stable clocks.
    "hepscore": MellinConfig(repetitions=5, repetition_seconds=2.0, series_events=25_000),
    # The same in less time, for reference runs.
    "hepscore-small": MellinConfig(repetitions=5, repetition_seconds=0.2, series_events=5_000),
    # The size of the published study.
    "full": MellinConfig(repetitions=5, repetition_seconds=5.0, measure_job=True),
}
