"""The ceilings of a device in a framework: the rates of a large matrix product and of a large copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from benchmarks.backends import Backend
from benchmarks.timing import EpochTimer
from benchmarks.workload import Tensor

CALLS = 4  # of which the results are in memory at once
REPETITIONS = 10


class _Function:
    """A function without weights, in the form in which a backend compiles a model.

    Args:
        function: Of tensors to a tensor.
    """

    trainable_variables: tuple[Any, ...] = ()
    non_trainable_variables: tuple[Any, ...] = ()

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function

    def __call__(self, inputs: Tensor, training: bool) -> Tensor:  # noqa: ARG002 (a model's signature)
        """Computes the function, as TensorFlow and PyTorch call a model."""
        return self._function(*inputs)

    def stateless_call(
        self,
        weights: Any,  # noqa: ARG002 (a model's signature)
        constants: Any,  # noqa: ARG002
        inputs: Tensor,
        training: bool,  # noqa: ARG002
    ) -> tuple[Tensor, None]:
        """Computes the function, as JAX calls a model."""
        return self._function(*inputs), None


def product_rate(backend: Backend, xla: bool, dtype: str, size: int) -> float:
    """Returns the floating-point operations per second of products of square matrices.

    Args:
        backend: The framework's runtime, configured.
        xla: Compile with XLA.
        dtype: Number format of the matrices.
        size: Their rows and columns.
    """
    rng = np.random.default_rng(1)
    matrices = tuple(
        ops.cast(backend.put(rng.standard_normal((size, size), np.float32)), dtype) for _ in range(2)
    )
    return 2.0 * size**3 / _seconds(backend, xla, ops.matmul, matrices)


def copy_rate(backend: Backend, xla: bool, size: int) -> float:
    """Returns the bytes per second that are read and written when a large array is copied.

    Args:
        backend: The framework's runtime, configured.
        xla: Compile with XLA.
        size: Size of the array, in bytes. Each is read once and written once.
    """
    array = backend.put(np.zeros(size // 4, np.float32))
    # A sum, because a compiler may leave out a copy that changes nothing.
    return 2.0 * size / _seconds(backend, xla, lambda values: values + 1.0, (array,))


def _seconds(
    backend: Backend, xla: bool, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]
) -> float:
    """Returns the shortest time of a call, in seconds, because a ceiling is what a device can reach."""
    call = backend.predict_step(_Function(function), xla)
    times = []
    for _ in range(REPETITIONS + 1):
        with EpochTimer(backend.drain) as timer:
            for _ in range(CALLS):
                call(inputs)
        times.append(timer.seconds / CALLS)
    return min(times[1:])  # the first ones compile
