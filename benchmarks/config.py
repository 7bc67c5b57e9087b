"""Configurations: the keys that every kind of workload has, and those that every training has."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from benchmarks.errors import UsageError

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
MAX_REQUEST_BYTES = 32_000_000  # of a client under way, half of the shared memory that a container has
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


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """What every training has."""

    kind: ClassVar[str] = "training"

    epochs: int = option(5, "passes over the training events, warm-up included", low=2, high=100_000)
    warmup_epochs: int = option(1, "first epochs, which compile and are never scored", low=1, high=1000)
    batch_size: int = option(1, "events per step of each rank", low=1, high=65_536)
    global_batch_size: int = option(
        0, "events per step of all ranks together; 0: batch_size of each", low=0, high=2**31 - 1
    )
    train_events: int = option(1, "training events", low=1, high=100_000_000)
    validation_events: int = option(1, "validation events", low=1, high=100_000_000)
    lr_scaling: str = option(
        "none",
        "learning rate times the ratio of all ranks' batch to batch_size (linear), or its root (sqrt)",
        choices=("none", "linear", "sqrt"),
    )
    lr_warmup_steps: int = option(
        0, "first steps, in which the learning rate rises from nearly 0", low=0, high=2**31 - 1
    )
    compression: str = option("none", "number format of gradients between ranks", choices=("none", "fp16"))
    inference_seconds: float = option(
        10.0, "seconds for which inference is repeated, at least", low=0.0, high=86_400.0
    )
    min_steps: int = option(20, "steps of an epoch, at least", low=1, high=100_000_000)
    max_loss: float = option(
        0.0, "validation loss above which a run has no score; 0: any", low=0.0, high=1e12
    )
    quiet_epoch_seconds: float = option(
        10.0, "seconds that a timed epoch of a quiet run takes, at least", low=0.0, high=86_400.0
    )
    max_input_wait: float = option(
        0.1, "share of an epoch, or of inference, that a quiet run waits for input", low=0.0, high=1.0
    )

    def check(self) -> None:
        """Checks keys that depend on each other.

        Raises:
            UsageError: They do not fit together.
        """
        if self.epochs <= self.warmup_epochs:
            raise UsageError(
                f"epochs: expected more than the {self.warmup_epochs} warm-up epoch(s), got {self.epochs}; "
                f"warm-up is never scored, so ask for at least {self.warmup_epochs + 1}"
            )
        if self.batch_size > self.train_events:
            raise UsageError(
                f"batch_size: expected at most the {self.train_events} training events, "
                f"got {self.batch_size}; lower --batch-size or raise --set train_events"
            )

    def for_ranks(self, ranks: int) -> Self:
        """Returns the configuration of each rank, with the batch sizes that the ranks come to.

        Raises:
            UsageError: The events of a step do not divide among the ranks, are more than there are, or leave
                too few steps to an epoch.
        """
        total = self.events_per_step(ranks)
        if total % ranks:
            raise UsageError(f"global_batch_size: expected a multiple of the {ranks} ranks, got {total}")
        if total > self.train_events:
            raise UsageError(
                f"global_batch_size: expected at most the {self.train_events} training events, got {total} "
                f"on {ranks} rank(s); lower --batch-size or --global-batch-size, or raise --set train_events"
            )
        config = dataclasses.replace(self, batch_size=total // ranks, global_batch_size=total)
        config.check()

        # An epoch of a few steps measures how it begins and ends, more than it measures steps.
        steps = -(-self.train_events // total)
        if steps < self.min_steps:
            raise UsageError(
                f"train_events: expected at least {self.min_steps} steps in an epoch (min_steps), "
                f"got {steps} of {total} events on {ranks} rank(s); "
                f"--set train_events={self.min_steps * total}"
            )
        return config

    def events_per_step(self, ranks: int) -> int:
        """Returns the number of events in a step of ``ranks`` ranks together."""
        return self.global_batch_size or self.batch_size * ranks

    def learning_rate_factor(self, ranks: int) -> float:
        """Returns what ``lr_scaling`` multiplies the learning rate by, which is meant for ``batch_size``."""
        ratio = self.events_per_step(ranks) / self.batch_size
        return {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.lr_scaling]

    def operations_per_event(self) -> float:
        """Returns the floating-point operations of the products of one training event, padding included.

        They are those of the model as published, forward once and backward twice. What a step leaves out or
        computes again does not count, so that a share of a machine's rate compares implementations.
        """
        raise NotImplementedError

    def size_summary(self) -> str:
        """Describes in words what decides how much memory a training takes."""
        return f"batch_size {self.batch_size} in {self.precision}"

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        """Returns a line that says whether the loss is above ``max_loss``, or an empty string."""
        if not self.max_loss or quality["loss"] <= self.max_loss:
            return ""
        return f"loss: expected at most {self.max_loss:g}, got {quality['loss']:.6g}"


def step_differences(config: RunConfig, other: RunConfig) -> list[str]:
    """Returns the keys in which two configurations differ, but for those that a NAME-small may change."""
    return [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in _COUNTS
        and not field.name.startswith(_LIMITS)
        and getattr(config, field.name) != getattr(other, field.name)
    ]


def as_training(config: RunConfig, what: str) -> TrainingConfig:
    """Returns the configuration itself, which has to be that of a training.

    Args:
        config: Of a run.
        what: What asks for a training, such as ``scale``.

    Raises:
        UsageError: It is of another kind.
    """
    if not isinstance(config, TrainingConfig):
        raise UsageError(f"{what}: expected a training, got {config.workload}, whose kind is {config.kind}")
    return config


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


def as_service(config: RunConfig, what: str) -> ServingConfig:
    """Returns the configuration itself, which has to be that of an inference service.

    Args:
        config: Of a run.
        what: What asks for a service, such as ``serve export``.

    Raises:
        UsageError: It is of another kind.
    """
    if not isinstance(config, ServingConfig):
        raise UsageError(
            f"{what}: expected an inference service, got {config.workload}, which is {config.kind}"
        )
    return config


@dataclass(frozen=True)
class ServingConfig(RunConfig):
    """What every inference service has."""

    kind: ClassVar[str] = "inference service"
    how_to_shrink: ClassVar[str] = "lower --batch-size, or --set event_patches"
    patch_bytes: ClassVar[int]
    """Size of a patch in a request, in bytes."""

    precision: str = option(
        "float32",
        "number format of the model that is scored and served",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    event_patches: int = option(1, "patches of an event", low=1, high=10_000_000)
    train_patches: int = option(1, "patches that the model is trained on", low=1, high=10_000_000)
    train_epochs: int = option(1, "passes of the training, which is not scored", low=1, high=1000)
    train_batch: int = option(64, "patches of a training step", low=1, high=65_536)
    batch_size: int = option(1, "patches of a call of local inference that is scored", low=1, high=65_536)
    other_batches: str = option("", "more batch sizes of local inference, with commas between them")
    repetitions: int = option(5, "timed repetitions of each measurement", low=1, high=100_000)
    repetition_seconds: float = option(
        1.0, "seconds that a repetition of local inference takes, at least", low=0.0, high=3600.0
    )
    server: str = option("", "HOST:PORT of a server that is there already; empty: the run starts its own")
    clients: str = option("1,2", "numbers of client processes that are loads, ascending")
    request_batches: str = option("235", "patches of a request; the first size is scored")
    in_flight: int = option(1, "requests of a client under way", low=1, high=1000)
    rate: float = option(
        0.0,
        "events/s that arrive at random at all clients; 0: each begins the next event after the last",
        low=0.0,
        high=1e6,
    )
    work_seconds: float = option(
        0.0, "seconds that a client computes for an event besides inference", low=0.0, high=3600.0
    )
    window_seconds: float = option(
        5.0, "seconds of a repetition of a load on the server", low=0.01, high=3600.0
    )
    max_p99: float = option(
        1.0, "seconds, above which the p99 of requests keeps a load from being scored", low=0.0, high=3600.0
    )
    max_batch: int = option(2048, "patches that the server takes at once", low=1, high=65_536)
    queue_delays: str = option(
        "0", "microseconds that a request may wait for others to be joined; the first is scored"
    )
    preferred_batches: str = option("", "patches that the server tries to join where requests may wait")

    def check(self) -> None:
        """Checks keys that depend on each other.

        Raises:
            UsageError: A list is malformed, or an event has fewer patches than a batch.
        """
        largest = max(self.batch_sizes())
        for key in ("clients", "request_batches", "preferred_batches"):
            self.numbers(key)
        self.numbers("queue_delays", low=0)
        if min(len(self.numbers(key)) for key in ("clients", "request_batches")) == 0:
            raise UsageError("clients and request_batches: expected at least one number each, got none")
        if largest > self.event_patches:
            raise UsageError(
                f"event_patches: expected at least the {largest} patches of a batch, "
                f"got {self.event_patches}; raise --set event_patches, or lower --batch-size "
                "and --set other_batches"
            )
        for key in ("request_batches", "preferred_batches"):
            if (size := max(self.numbers(key), default=0)) > self.max_batch:
                raise UsageError(
                    f"{key}: expected at most the {self.max_batch} patches of max_batch, got {size}"
                )
        request = max(self.numbers("request_batches"))
        under_way = self.in_flight * request * self.patch_bytes
        if under_way > MAX_REQUEST_BYTES:
            raise UsageError(
                f"request_batches: expected at most {MAX_REQUEST_BYTES / 1e6:g} MB of a client under way, "
                f"got {under_way / 1e6:.1f} MB in {self.in_flight} of {request} patches; "
                "lower --set in_flight"
            )
        if self.train_batch > self.train_patches:
            raise UsageError(
                f"train_batch: expected at most the {self.train_patches} patches to train on, "
                f"got {self.train_batch}"
            )

    def numbers(self, key: str, low: int = 1) -> tuple[int, ...]:
        """Returns the whole numbers of a key that is a list such as ``1,2,4``; an empty one has none.

        Args:
            key: Of the configuration.
            low: Least number that is allowed.

        Raises:
            UsageError: Something in the list is no such number.
        """
        text: str = getattr(self, key)
        words = [word.strip() for word in text.split(",")] if text.strip() else []
        if not all(word.isdecimal() and int(word) >= low for word in words):
            raise UsageError(
                f"{key}: expected whole numbers from {low} with commas between them, got {text!r}"
            )
        return tuple(int(word) for word in words)

    def batch_sizes(self) -> tuple[int, ...]:
        """Returns the batch sizes of local inference, the scored one first.

        Raises:
            UsageError: ``other_batches`` is no list of whole numbers from 1.
        """
        return tuple(dict.fromkeys((self.batch_size, *self.numbers("other_batches"))))

    def for_ranks(self, ranks: int) -> Self:
        """Returns the configuration itself, for a process alone.

        Raises:
            UsageError: There are several ranks.
        """
        if ranks > 1:
            raise UsageError(
                f"{self.workload}: expected one rank, got {ranks}; a service has one model on one device"
            )
        return self

    def size_summary(self) -> str:
        """Describes in words what decides how much memory a service takes."""
        return f"{self.event_patches} patches in batches of up to {max(self.batch_sizes())}"
