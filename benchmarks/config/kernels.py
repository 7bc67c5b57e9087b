"""The keys that every numerical kernel has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from benchmarks.config.run import RunConfig, option


@dataclass(frozen=True)
class KernelConfig(RunConfig):
    """What every numerical kernel has."""

    kind: ClassVar[str] = "numerical kernel"
    how_to_shrink: ClassVar[str] = "lower --set events"

    precision: str = option(
        "float64", "number format of parameters and loss; rows name their own", choices=("float64",)
    )
    events: int = option(1, "events of one ensemble", low=1, high=100_000_000)
    repetitions: int = option(5, "timed repetitions of each implementation", low=1, high=100_000)
    repetition_seconds: float = option(
        1.0,
        "seconds that a repetition takes, at least; it calls the implementation until then",
        low=0.0,
        high=3600.0,
    )
    series_events: int = option(
        1, "largest number of events in the measurement against events", low=1, high=100_000_000
    )
    bootstraps: int = option(1, "ensembles of the whole job", low=1, high=10_000_000)
    implementation: str = option("auto", "the implementation that is scored")
    measure_job: bool = option(False, "measure the time to the whole job; otherwise it is scaled")

    def size_summary(self) -> str:
        """Describes in words what decides how much memory a kernel takes."""
        return f"{max(self.events, self.series_events)} events"
