"""The keys that every kind of workload has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

BACKENDS = ("tensorflow", "jax", "torch")  # as Keras calls them; ``benchmarks.backends`` says more of each
PRECISIONS = ("float32", "float64", "mixed_bfloat16", "mixed_float16")

# A preset NAME-small takes the very same step as the preset NAME, on fewer events and in fewer epochs. So it
# measures the throughput of NAME on a machine that is too slow for all of NAME.
SMALL = "-small"
_COUNTS = (
    "epochs",
    "train_events",
    "validation_events",
    "pool_events",
    "repetition_seconds",
    "series_events",
    "event_patches",
    "window_seconds",
)
_LIMITS = ("min_", "max_loss")  # keys that begin so: fewer steps are enough, and they train to less


def option(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Describes a configuration key: its default, what it means and which values it takes."""
    allowed = {"text": text, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=allowed)


@dataclass(frozen=True)
class RunConfig:
    """What every kind of workload has. A workload's own keys are in a subclass in its folder."""

    workload: ClassVar[str]
    kind: ClassVar[str]
    how_to_shrink: ClassVar[str] = "lower --batch-size"  # what to do where a run does not fit

    backend: str = option(
        "tensorflow", "framework that computes; KERAS_BACKEND sets it, too", choices=BACKENDS
    )
    seed: int = option(1, "seed of the initial weights and of everything drawn later", low=0, high=2**31 - 1)
    precision: str = option("float32", "number format of the model", choices=PRECISIONS)
    tf32: str = option(
        "off", "round the inputs of float32 products to 10 bits, on GPUs that can", choices=("on", "off")
    )
    xla: str = option("auto", "compile with XLA; auto: on a GPU only", choices=("auto", "on", "off"))
    deterministic: str = option(
        "auto", "same seed, same bits; auto: on a CPU only", choices=("auto", "on", "off")
    )
    threads: int = option(0, "CPU threads; 0: all that this process may use", low=0, high=4096)
    data: str = option("", "folder of the data set; empty: the cache, made there if it is missing")
    check_memory: bool = option(True, "a run that is not expected to fit into memory does not begin")
    require_quiet: bool = option(False, "a run on a machine that is not quiet fails")
    max_foreign_cores: float = option(
        0.1, "cores that others may keep busy in a quiet run, of those of the run", low=0.0, high=4096.0
    )
    max_stolen_fraction: float = option(
        0.01, "share of CPU time that a hypervisor may take from a quiet run", low=0.0, high=1.0
    )
    max_spread: float = option(
        0.05, "spread of the repetitions, (max - min) / median, of a quiet run", low=0.0, high=1000.0
    )

    def check(self) -> None:
        """Checks keys that depend on each other.

        Raises:
            UsageError: They do not fit together.
        """

    def for_ranks(self, ranks: int) -> Self:  # noqa: ARG002 (for subclasses)
        """Returns the configuration of each of ``ranks`` ranks.

        Raises:
            UsageError: The work does not divide among the ranks.
        """
        return self

    def with_auto_resolved(self, device: str, room: int | None) -> Self:  # noqa: ARG002 (for subclasses)
        """Returns the configuration with a value for every key that is ``auto``.

        Args:
            device: ``cpu`` or ``gpu``.
            room: Memory for the model, in bytes; None where it is not known.
        """
        xla, deterministic = ("on", "off") if device == "gpu" else ("off", "on")
        return dataclasses.replace(
            self,
            xla=xla if self.xla == "auto" else self.xla,
            deterministic=deterministic if self.deterministic == "auto" else self.deterministic,
        )

    def size_summary(self) -> str:
        """Describes in words what decides how much memory a run takes."""
        raise NotImplementedError

    def memory_summary(self) -> str:
        """Describes the expected peak memory, as ``show`` prints it."""
        return f"expected peak memory: {self.expected_memory_bytes() / 1e9:.1f} GB"

    def expected_memory_bytes(self) -> int:
        """Returns the peak memory that a run with this configuration is expected to take, in bytes."""
        raise NotImplementedError

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        """Says in one line what of the quality is worse than the preset allows; empty if nothing is."""
        raise NotImplementedError


def step_differences(config: RunConfig, other: RunConfig) -> list[str]:
    """Returns the keys in which two configurations differ, but for those that a NAME-small may change."""
    return [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in _COUNTS
        and not field.name.startswith(_LIMITS)
        and getattr(config, field.name) != getattr(other, field.name)
    ]
