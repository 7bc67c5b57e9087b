"""What a workload is to the runner, and the registry of those there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from benchmarks.config import RunConfig
from benchmarks.resolution import choose

if TYPE_CHECKING:
    import numpy as np

# name: the package that holds it. Adding a workload adds its folder and one line here.
REGISTRY = {
    "mlpf": "benchmarks.workloads.mlpf",
    "gnn_tracking": "benchmarks.workloads.gnn_tracking",
    "mellin_dis": "benchmarks.workloads.mellin_dis",
    "emtrkmichelid": "benchmarks.workloads.emtrkmichelid",
}

Tensor = Any  # a tensor of whichever framework runs
Purpose = Literal["training", "validation", "inference"]  # what batches are for


@dataclass(frozen=True)
class Batch:
    """What one step works on.

    Attributes:
        inputs: Model inputs as the workload lays them out: an array, or a tuple or dictionary of such.
        targets: What the loss compares with, likewise. None for inference.
        events: Real events in it.
        elements: Real (unpadded) elements in it.
        padded_elements: Elements in the arrays, padding included.
        truth: What only the metrics look at, as the workload likes it. It never goes to the device, and is
            None for training and inference.
        denominators: What each term of the loss was divided by, so that ranks can be averaged as one
            batch would be; empty for a loss of one term that is a mean over the events.
    """

    inputs: Any
    targets: Any
    events: int
    elements: int
    padded_elements: int
    truth: Any = None
    denominators: tuple[float, ...] = ()


class Events(Protocol):
    """The events of a run, verified and ready to be read."""

    @property
    def sha256(self) -> str:
        """Hash of the data set's manifest."""

    def description(self) -> Mapping[str, Any]:
        """Describes where the events come from, as JSON values."""

    def batches(
        self,
        split: str,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        *,
        purpose: Purpose = "validation",
    ) -> Iterator[Batch]:
        """Yields the batches of a split in stored order. The last one may be smaller.

        Args:
            split: ``train`` or ``validation``.
            batch_size: Events of a batch.
            rank: The rank, which takes the batches at ``rank``, ``rank + ranks``, ...
            ranks: The number of ranks. Together they take the batches that one rank would take.
            purpose: What the batches are for. Inference needs no targets, and only validation needs the
                truth: what is not needed is not built.
        """


class Metrics(Protocol):
    """Figures of merit, collected batch by batch, on the host."""

    def update(self, predictions: Any, batch: Batch) -> None:
        """Takes in the predictions for one batch: an array, or of a service a list of the outputs."""

    def merge(self, other: Any) -> None:
        """Takes in what another of its kind has collected."""

    def result(self) -> dict[str, float]:
        """Returns the figures over all batches so far."""

    def breakdown(self) -> Mapping[str, Any]:
        """Returns the same in bins of what they depend on, as JSON values; empty where there is none.

        Its key ``plots`` is a list of what a report draws, see ``benchmarks.plots``.
        """


@dataclass(frozen=True)
class Training:
    """A model ready to be trained.

    Attributes:
        model: keras.Model, initial weights drawn from the run's generator.
        loss: (predictions, targets, inputs) to a scalar, or to a vector of terms to be added, in
            ``keras.ops``; each term is a mean, see ``Batch.denominators``.
        optimizer: keras.optimizers.Optimizer.
    """

    model: Any
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    optimizer: Any


class Workload(Protocol):
    """One benchmark. It never reads a clock, never writes a result, never imports a framework."""

    def prepare(self, config: Any, note: Callable[[str], None]) -> Events:
        """Opens the data set of a configuration; makes it first where it is missing.

        Raises:
            DataError: It is damaged, does not hold what the configuration needs, or cannot be made.
        """

    def build(self, config: Any, rng: np.random.Generator) -> Training:
        """Builds the model, with initial weights drawn from ``rng``, its loss and its optimiser."""

    def metrics(self) -> Metrics:
        """Returns an empty collection of the workload's figures of merit."""


@dataclass(frozen=True)
class Implementation:
    """One way to calculate what a numerical kernel calculates.

    Attributes:
        description: What carries it out, in a few words.
        algorithm: Whether it does the same operations as others, or something else.
        expected_bytes: From the number of events to the memory that it is expected to take, in bytes.
        operations_per_event: Floating-point operations of one event in one ensemble.
        number: Format of the real numbers that they are made with, ``float64`` or ``float32``.
        bytes_per_event: What they read from and write to main memory, in bytes; 0 for what stays in a cache.
        ensembles_per_call: Ensembles that it works on together.
        tolerance: Deviation from the check values up to which it counts as the same calculation.
        needs_backend: Whether a framework carries it out.
        compiler: What compiles it, of those that some frameworks lack: ``graph``, which is the framework's
            own one, or ``xla``. Empty for an implementation that every framework can carry out.
        missing: Why it cannot run here; empty if it can.
    """

    description: str
    algorithm: str
    expected_bytes: Callable[[int], int]
    operations_per_event: float
    number: str = "float64"
    bytes_per_event: float = 0.0
    ensembles_per_call: int = 1
    tolerance: float = 5e-9
    needs_backend: bool = False
    compiler: str = ""
    missing: str = ""


class KernelEvents(Protocol):
    """What a numerical kernel works on, verified."""

    @property
    def sha256(self) -> str:
        """Hash of the data set's manifest."""

    def description(self) -> Mapping[str, Any]:
        """Describes where the events come from, as JSON values."""


class Kernel(Protocol):
    """A numerical kernel in several implementations. The rules for a ``Workload`` hold for it, too."""

    def prepare(self, config: Any, note: Callable[[str], None]) -> KernelEvents:
        """Opens the data set of a configuration; makes it first where it is missing.

        Raises:
            DataError: It is damaged, does not hold what the configuration needs, or cannot be made.
        """

    def implementations(self) -> Mapping[str, Implementation]:
        """Returns the implementations by name, in the order of a table; ratios refer to the first."""

    def build(
        self, config: Any, events: Any, name: str, count: int, backend: Any
    ) -> Callable[[Sequence[int]], list[float]]:
        """Prepares an implementation.

        Args:
            config: Of the run.
            events: The data set.
            name: Of the implementation.
            count: How many of the events an ensemble has.
            backend: The framework's runtime; None for an implementation that needs none.

        Returns:
            A function that calculates ensembles, given their numbers, and returns one figure for each.
        """

    def quality(self, config: Any, name: str, backend: Any) -> dict[str, float]:
        """Returns how well an implementation calculates; ``deviation`` is that from the check values."""

    def published_rows(self, speed_ups: Mapping[str, float], device: str) -> list[list[str]]:
        """Returns a table of published figures beside those of a run; empty where there are none.

        Args:
            speed_ups: Of the implementations that ran, by name, against the first of them.
            device: Where a framework computed, ``cpu`` or ``gpu``.

        Returns:
            Rows of equally many cells, a header first.
        """


class ServiceEvents(Events, Protocol):
    """The patches of an inference service: those to train on, and one event as ``validation``."""

    def raw(self) -> np.ndarray:
        """Returns the patches of the event as they are stored, (patches, ...)."""


class Service(Protocol):
    """A model that answers requests. The rules for a ``Workload`` hold for it, too.

    A patch is what the model takes one of: an event is many of them.
    """

    def prepare(self, config: Any, note: Callable[[str], None]) -> ServiceEvents:
        """Opens the data set of a configuration; makes it first where it is missing.

        Raises:
            DataError: It is damaged, does not hold what the configuration needs, or cannot be made.
        """

    def build(self, config: Any, rng: np.random.Generator) -> Training:
        """Builds the model in the configuration's number format, its loss and its optimiser.

        The model consists of layers that Keras has, and has one input. Its outputs are those of ``outputs``.
        """

    def outputs(self) -> Mapping[str, int]:
        """Returns how many numbers each output of the model has for a patch, in the model's order."""

    @staticmethod
    def preprocess(raw: np.ndarray) -> np.ndarray:
        """Returns what the model reads of stored patches. A function of a module that needs no framework."""

    def metrics(self) -> Metrics:
        """Returns an empty collection of figures of merit, which takes a list of the outputs."""


def presets(name: str) -> Mapping[str, RunConfig]:
    """Returns the presets of a workload, without importing its framework.

    Raises:
        UsageError: There is no such workload.
    """
    package = importlib.import_module(choose("workload", name, REGISTRY))
    all_presets: Mapping[str, RunConfig] = package.PRESETS
    return all_presets


def describe(name: str) -> str:
    """Returns the first line of a workload's documentation."""
    text = importlib.import_module(REGISTRY[name]).__doc__ or ""
    return text.splitlines()[0]


def image_name(name: str) -> str:
    """Returns the name of a workload's container image, which hep-score calls a benchmark."""
    return f"{name.replace('_', '-')}-bmk"


def make_events(
    name: str,
    config: RunConfig,
    folder: Path | None,
    note: Callable[[str], None],
    intermediate: Path | None = None,
) -> Path:
    """Makes what a training of a configuration reads, without importing its framework.

    Args:
        name: The workload.
        config: Its configuration.
        folder: Where they go; None for their place in the cache.
        note: Takes a line of text now and then.
        intermediate: Folder that has or keeps what they are made of, such as the hits of a detector.

    Raises:
        UsageError: The workload has no intermediate data.
        DataError: They cannot be made or written.
    """
    path: Path = importlib.import_module(f"{REGISTRY[name]}.events").make(config, folder, note, intermediate)
    return path


def load(name: str) -> Any:
    """Imports the workload itself, a ``Workload``, ``Kernel`` or ``Service``, and Keras if it has a model."""
    workload: Workload | Kernel | Service = importlib.import_module(f"{REGISTRY[name]}.workload").WORKLOAD
    return workload
