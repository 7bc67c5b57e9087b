"""Operations of models that frameworks carry out in ways which Keras does not make equal.

Workloads call them as they call ``keras.ops``. The backend of the run carries them out, and says so with
``install`` when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Function = Callable[..., Any]


class Operations(Protocol):
    """The operations as a backend has them, with the arguments of the functions of this module."""

    def custom_gradient(self, function: Function) -> Function:
        """See ``benchmarks.operations.custom_gradient``."""

    def remat(self, function: Function) -> Function:
        """See ``benchmarks.operations.remat``."""

    def sine_and_cosine(self, tensor: Any) -> tuple[Any, Any]:
        """See ``benchmarks.operations.sine_and_cosine``."""

    def reduce_segments(self, values: Any, ids: Any, count: int, how: str, fixed: bool) -> Any:
        """See ``benchmarks.operations.reduce_segments``."""


_backends: list[Operations] = []


def install(backend: Any) -> None:
    """Lets a backend carry out the operations from now on."""
    _backends[:] = [backend]


def custom_gradient(function: Function) -> Function:
    """Returns a function that computes its gradient itself.

    Args:
        function: Computes from tensors a tensor, or a tuple of tensors, and with them a second function. That
            one takes the gradient of each of the tensors, one argument for each, and returns a tuple with
            the gradient of each of the first function's arguments, or one gradient if there is one argument.
            None is the gradient of integers.

    Returns:
        The function without its gradient, for tensors as positional arguments.
    """
    return lambda *tensors: _backends[0].custom_gradient(function)(*tensors)


def remat(function: Function) -> Function:
    """Returns a function whose intermediate results are not kept, but computed again in the backward pass.

    Args:
        function: Computes tensors from tensors, and may read others that are trained.
    """
    return lambda *tensors: _backends[0].remat(function)(*tensors)


def sine_and_cosine(tensor: Any) -> tuple[Any, Any]:
    """Returns sine and cosine in the precision of the tensor.

    Those of ``keras.ops`` turn float64 into float32 on JAX.
    """
    result: tuple[Any, Any] = _backends[0].sine_and_cosine(tensor)
    return result


def reduce_segments(values: Any, ids: Any, count: int, how: str, fixed: bool) -> Any:
    """Returns the sum or the largest of the rows of each segment, which has no gradient.

    Args:
        values: (rows, F).
        ids: (rows,) int32, the segment of each row. They do not decrease, and the last one is ``count - 1``.
        count: Number of segments.
        how: ``sum`` or ``max``.
        fixed: The compiler needs the number of segments, and cannot read it from ``ids``.

    Returns:
        (count, F). What a segment without rows has as its largest is not defined.
    """
    return _backends[0].reduce_segments(values, ids, count, how, fixed)
