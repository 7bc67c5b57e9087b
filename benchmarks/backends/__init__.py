"""What a framework's runtime does differently, with one module for each framework.

Models are written once, in ``keras.ops``. A backend module has the functions of ``Backend``, and the variable
``KERAS_BACKEND`` of the environment chooses it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

from benchmarks.config import RunConfig
from benchmarks.errors import UsageError
from benchmarks.machine.limits import address_space_remark
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.workload import Tensor, Training

SUPPORTED = ("tensorflow",)


class Backend(Protocol):
    """The functions of a backend module.

    Attributes:
        OUT_OF_MEMORY: Errors that the framework raises if it cannot get memory.
    """

    OUT_OF_MEMORY: tuple[type[BaseException], ...]

    def configure(self, config: RunConfig, place: Place = ALONE) -> None:
        """Sets threads, determinism, precision, seeds and GPU, before anything touches the device."""

    def device(self) -> str:
        """Returns where the model runs, ``gpu`` or ``cpu``."""

    def versions(self) -> Mapping[str, str]:
        """Returns the versions of the framework and of the libraries that it was built for."""

    def put(self, arrays: Any) -> Tensor:
        """Copies a numpy array, or a tuple or dictionary of such, to the device."""

    def schedule(self, training: Training, factor: float, warmup_steps: int) -> None:
        """Scales the learning rate, and lets it rise in the first steps. Comes before ``train_step``."""

    def train_step(
        self, training: Training, xla: bool, world: World = LONE_WORLD, compression: str = "none"
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """Returns a compiled function that updates the weights and returns the loss.

        Args:
            training: Model, loss and optimiser.
            xla: Compile with XLA.
            world: The ranks. If there are several, the function's targets are pairs (targets, shares), see
                ``benchmarks.training.sharding``, and its loss is that of all ranks together.
            compression: Number format of the gradients between the ranks, ``none`` or ``fp16``.

        Returns:
            A function of inputs and targets on the device.
        """

    def exchange(self, world: World, compression: str) -> Callable[[Tensor], Tensor]:
        """Returns a compiled function that sums arrays over the ranks as a step does its gradients."""

    def predict_step(self, model: Any, xla: bool) -> Callable[[Tensor], Tensor]:
        """Returns a compiled function from inputs to predictions."""

    def drain(self) -> None:
        """Returns when everything that was handed to the device is done."""

    def device_memory_peak_bytes(self) -> int | None:
        """Returns the peak memory of the device since the start, in bytes. None if it is the host's."""

    def device_memory_total_bytes(self) -> int | None:
        """Returns the memory of the device, in bytes. None if it is the host's or the driver does not say."""


def load() -> Backend:
    """Loads the backend that ``KERAS_BACKEND`` names, or TensorFlow if it names none.

    Raises:
        UsageError: There is no such backend, or its framework is not installed or cannot be loaded.
    """
    # Keras takes an empty variable for one that is not set, too.
    name = os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in SUPPORTED:
        raise UsageError(f"KERAS_BACKEND: expected one of {', '.join(SUPPORTED)}, got {name!r}")
    try:
        return cast(Backend, importlib.import_module(f"benchmarks.backends.{name}"))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} cannot be imported ({error}); install it with pip install '.[cpu]' or '.[gpu]'"
        ) from None
    except UsageError:
        raise
    except Exception as error:  # a library of the system that is too old, or one built for another numpy
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        remark = address_space_remark()
        raise UsageError(f"{name} is installed but cannot be loaded: {reason}{remark}") from None
