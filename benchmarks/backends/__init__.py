"""What a framework's runtime does differently, with one module for each framework.

Models are written once, in ``keras.ops``. A backend is a module with the functions of ``Backend`` and an
entry of ``REGISTRY``, and the key ``backend`` of the configuration chooses it.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from benchmarks.config import PRECISIONS, RunConfig, TrainingConfig
from benchmarks.errors import UsageError
from benchmarks.machine.limits import address_space_remark
from benchmarks.ranks.place import ALONE, Place
from benchmarks.ranks.world import LONE_WORLD, World
from benchmarks.workload import Tensor, Training

C = TypeVar("C", bound=RunConfig)


@dataclass(frozen=True)
class Requirement:
    """What a backend needs and what it cannot do, which can be read without its framework.

    Attributes:
        title: The framework's own name.
        distributions: The packages that have it, of which one is enough.
        oldest: The oldest version that serves, as major and minor number.
        install: How to install it.
        choices: The values that a key of the configuration can have on it, for keys that cannot have all.
        training_choices: The same for trainings alone, which use more of Keras than kernels do.
        no_compiler: Why it cannot compile complex numbers, by the name of a compiler that it lacks:
            ``graph``, which is the framework's own one, or ``xla``.
        several_ranks: Whether several processes can train together.
    """

    title: str
    distributions: tuple[str, ...]
    oldest: tuple[int, int]
    install: str
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    training_choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    no_compiler: Mapping[str, str] = field(default_factory=dict)
    several_ranks: bool = False

    def describe(self) -> str:
        """Returns the oldest version and how to install it, in one line."""
        return f"{self.title} {'.'.join(map(str, self.oldest))} or newer: {self.install}"


# Keras computes means of float64 numbers in float32, except on TensorFlow.
KERAS_PRECISIONS = tuple(name for name in PRECISIONS if name != "float64")

# name: what its module needs. Adding a backend adds its module, an entry here, and its name to ``BACKENDS``.
REGISTRY = {
    "tensorflow": Requirement(
        title="TensorFlow",
        distributions=("tensorflow", "tensorflow-cpu"),
        oldest=(2, 16),  # the first whose Keras is Keras 3
        install="pip install '.[cpu]' or '.[gpu]'",
        several_ranks=True,
    ),
    "jax": Requirement(
        title="JAX",
        distributions=("jax",),
        oldest=(0, 10),
        install="pip install '.[jax]' or '.[jax-gpu]'",
        choices={"xla": ("on",)},
        training_choices={"precision": KERAS_PRECISIONS},
        no_compiler={"graph": "JAX has no compiler but XLA"},
    ),
    "torch": Requirement(
        title="PyTorch",
        distributions=("torch",),
        oldest=(2, 11),
        install="pip install '.[torch]'",  # one package, for CPUs and GPUs
        choices={"xla": ("off",)},
        training_choices={"precision": KERAS_PRECISIONS},
        no_compiler={
            "graph": "PyTorch's compiler makes no code for complex numbers, and leaves them to eager kernels",
            "xla": "PyTorch itself has no XLA",
        },
    ),
}


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
        """Copies a numpy array, or a list, tuple or dictionary of such, to the device."""

    def fetch(self, tensor: Tensor) -> np.ndarray:
        """Returns a tensor, or a variable of Keras, as a numpy array, once it is computed."""

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

    def compile_function(self, function: Callable[..., Tensor], xla: bool) -> Callable[..., Tensor]:
        """Returns a function of tensors, compiled.

        Args:
            function: Of tensors, or of structures of such, in ``keras.ops``.
            xla: Compile with XLA, where the framework has a choice.
        """

    def value_and_gradient(
        self, function: Callable[..., Tensor], xla: bool
    ) -> Callable[..., tuple[Tensor, Tensor]]:
        """Returns a compiled function that gives a scalar and its gradient by the first argument.

        Args:
            function: Of tensors to a scalar, in ``keras.ops``.
            xla: Compile with XLA.
        """

    def drain(self) -> None:
        """Returns when everything that was handed to the device is done."""

    def device_memory_peak_bytes(self) -> int | None:
        """Returns the peak memory of the device since the start, in bytes. None if it is the host's."""

    def device_memory_total_bytes(self) -> int | None:
        """Returns the memory of the device, in bytes. None if it is the host's or the driver does not say."""


def restrict(config: C, ranks: int) -> C:
    """Returns the configuration with the one value of each ``auto`` key for which its backend has no other.

    Args:
        config: Of the run.
        ranks: How many processes train together.

    Raises:
        UsageError: The backend cannot have a value of the configuration, or several ranks.
    """
    requirement = _requirement(config.backend)
    if ranks > 1 and not requirement.several_ranks:
        able = ", ".join(name for name, other in REGISTRY.items() if other.several_ranks)
        raise UsageError(
            f"{ranks} ranks: expected one with backend {config.backend}, which cannot train in several "
            f"processes yet; take --backend {able}"
        )
    for key, choices in limited_choices(config).items():
        value = getattr(config, key)
        if value == "auto" and len(choices) == 1:
            change: dict[str, Any] = {key: choices[0]}
            config = dataclasses.replace(config, **change)
        elif value not in choices:
            raise UsageError(
                f"{key}: expected {' or '.join(choices)} with backend {config.backend}, "
                f"which cannot have another, got {value}"
            )
    return config


def limited_choices(config: RunConfig) -> dict[str, tuple[str, ...]]:
    """Returns the values of keys that cannot have all of theirs on a configuration's backend, by key."""
    requirement = _requirement(config.backend)
    of_trainings = requirement.training_choices if isinstance(config, TrainingConfig) else {}
    return {**requirement.choices, **of_trainings}


def missing_compiler(name: str, compiler: str) -> str:
    """Says why a backend cannot compile complex numbers in a way; empty if it can.

    Args:
        name: Of the backend.
        compiler: ``graph`` or ``xla``, or empty for none.
    """
    return _requirement(name).no_compiler.get(compiler, "")


def load(name: str = "tensorflow") -> Backend:
    """Loads a backend and its framework.

    Raises:
        UsageError: There is no such backend, or its framework is not installed or cannot be loaded.
    """
    requirement = _requirement(name)
    _isolate_keras(name)
    try:
        return cast(Backend, importlib.import_module(f"benchmarks.backends.{name}"))
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} cannot be imported ({error}); install it with {requirement.install}"
        ) from None
    except UsageError:
        raise
    except Exception as error:  # a library of the system that is too old, or one built for another numpy
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        remark = address_space_remark()
        raise UsageError(f"{name} is installed but cannot be loaded: {reason}{remark}") from None


def _requirement(name: str) -> Requirement:
    if name not in REGISTRY:
        raise UsageError(f"backend: expected one of {', '.join(REGISTRY)}, got {name!r}")
    return REGISTRY[name]


def _isolate_keras(name: str) -> None:
    """Sets the variables that Keras and CUDA read when they are loaded.

    Keras reads the settings of a person's other work in ``keras.json``, which must not change a run or end
    it. Below a file there is no folder, and so Keras neither finds such a file there nor makes one.
    """
    os.environ["KERAS_BACKEND"] = name
    os.environ["KERAS_HOME"] = os.devnull
    # This one is for JAX, and keeps the variables of a model in another way.
    os.environ.pop("KERAS_NNX_ENABLED", None)
    # CUDA otherwise counts the fastest GPU first, and NVML, which reads energy and memory, counts by bus.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
