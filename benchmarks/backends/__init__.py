"""What a framework's runtime does differently; one module a framework, chosen by ``KERAS_BACKEND``.

Models are written once, in ``keras.ops``. A backend module has the functions of ``Backend``.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from benchmarks.config import RunConfig
from benchmarks.errors import UsageError
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.workload import Tensor, Training

SUPPORTED = ("tensorflow",)


class Backend(Protocol):
    """The functions of a backend module."""

    OUT_OF_MEMORY: tuple[type[BaseException], ...]

    def configure(self, config: RunConfig, place: Place = ALONE) -> None:
        """Threads, determinism, precision, seeds and this rank's GPU; before anything touches the device."""

    def device(self) -> str:
        """``gpu`` or ``cpu``, where the model runs."""

    def versions(self) -> Mapping[str, str]:
        """Framework and the libraries that it was built for."""

    def put(self, arrays: Any) -> Tensor:
        """A numpy array, or a tuple or dictionary of such, to the device."""

    def schedule(self, training: Training, factor: float, warmup_steps: int) -> None:
        """Multiplies the learning rate, and lets it rise over the first steps; before ``train_step``."""

    def train_step(
        self, training: Training, xla: bool, world: World = LONE_WORLD, compression: str = "none"
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """A compiled (inputs, targets) -> loss that updates the weights.

        In a world of several ranks, targets are pairs (targets, shares), see
        ``benchmarks.training.sharding``, and the loss is that of all ranks together.
        """

    def exchange(self, world: World, compression: str) -> Callable[[Tensor], Tensor]:
        """A compiled list of arrays -> their sums over the ranks, as a step does it with its gradients."""

    def predict_step(self, model: Any, xla: bool) -> Callable[[Tensor], Tensor]:
        """A compiled inputs -> predictions."""

    def drain(self) -> None:
        """Returns when everything that was handed to the device is done."""

    def device_memory_peak_bytes(self) -> int | None:
        """Peak memory of the device since the start; None where it is the host's."""

    def device_memory_total_bytes(self) -> int | None:
        """Memory of the device; None where it is the host's, or the driver does not say."""


def load() -> Backend:
    """The backend that ``KERAS_BACKEND`` names; TensorFlow where it names none.

    Raises:
        UsageError: No such backend, or its framework is not installed.
    """
    name = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if name not in SUPPORTED:
        raise UsageError(f"KERAS_BACKEND: expected one of {', '.join(SUPPORTED)}, got {name!r}")
    try:
        return cast(Backend, importlib.import_module(f"benchmarks.backends.{name}"))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} cannot be imported ({error}); install it with pip install '.[cpu]' or '.[gpu]'"
        ) from None
