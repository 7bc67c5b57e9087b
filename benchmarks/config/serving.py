"""The keys that every inference service has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from benchmarks.config.run import RunConfig, option
from benchmarks.errors import UsageError

MAX_REQUEST_BYTES = 32_000_000  # of a client under way, half of the shared memory that a container has


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
            f"{what}: expected an inference service, got {config.workload}, whose kind is {config.kind}"
        )
    return config
