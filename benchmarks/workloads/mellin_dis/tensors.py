"""The operations of ``cross_section`` in ``keras.ops``, for whichever framework runs.

They are written once, for tensors of complex numbers and for ``Pair``, because some frameworks compile real
numbers only. Only what keeps complex128 in ``keras.ops`` is used: exponential, sum, imaginary part and
arithmetic. Its logarithm and its matrix product turn complex128 into complex64 on TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from benchmarks import operations
from benchmarks.workload import Tensor
from benchmarks.workloads.mellin_dis.coefficients import START_COUPLING, coupling
from benchmarks.workloads.mellin_dis.cross_section import (
    SINGLET_CHARGE,
    SUM_OF_CHARGES,
    T3_CHARGE,
    T8_CHARGE,
    T15_CHARGE,
    Theory,
    kinematic_factors,
)

_REAL = {"complex128": "float64", "complex64": "float32"}


@dataclass(frozen=True)
class Pair:
    """Complex numbers as two tensors of real ones.

    Attributes:
        real: Real parts.
        imag: Imaginary parts, of the same shape.
    """

    real: Tensor
    imag: Tensor

    def __add__(self, other: Pair | float) -> Pair:
        """Returns the sum with complex numbers or with a real one."""
        if isinstance(other, Pair):
            return Pair(self.real + other.real, self.imag + other.imag)
        return Pair(self.real + other, self.imag)

    def __sub__(self, other: Pair) -> Pair:
        """Returns the difference."""
        return Pair(self.real - other.real, self.imag - other.imag)

    def __mul__(self, other: Pair | float) -> Pair:
        """Returns the product with complex numbers or with a real one."""
        if isinstance(other, Pair):
            return Pair(
                self.real * other.real - self.imag * other.imag,
                self.real * other.imag + self.imag * other.real,
            )
        return Pair(self.real * other, self.imag * other)


def make_constants(
    theory: Theory, x: np.ndarray, q2: np.ndarray, dtype: str, in_pairs: bool = False
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns what the operations need beside the input, by name.

    Args:
        theory: The theory.
        x: (events,) float64.
        q2: (events,) float64, in GeV^2.
        dtype: ``complex128`` or ``complex64``.
        in_pairs: Whether complex numbers are pairs of real ones.

    Returns:
        Numbers of the events, (events, 1), and numbers of the nodes, (nodes,), all of ``dtype``. In pairs,
        those of the events are real, and those of the nodes (2, nodes) with the real parts first.
    """
    a, at_nodes = coupling(q2)[:, None], theory.coefficients
    of_events = {"log_x": -np.log(x)[:, None], "coupling": a, "log_ratio": -np.log(a / START_COUPLING)}
    names = ("plus", "minus", "non_singlet", "f2_quark", "f2_gluon", "fl_quark", "fl_gluon")
    of_nodes = {"nodes": theory.contour.nodes, "weights": theory.contour.weights}
    of_nodes |= {name: getattr(at_nodes, name) for name in names}
    if in_pairs:
        of_nodes = {name: np.stack([values.real, values.imag]) for name, values in of_nodes.items()}
    number = _REAL[dtype] if in_pairs else dtype
    return (
        {name: values.astype(number) for name, values in of_events.items()},
        {name: values.astype(number) for name, values in of_nodes.items()},
    )


def structure_functions(
    modes: Tensor, of_events: Mapping[str, Tensor], of_nodes: Mapping[str, Tensor]
) -> Tensor:
    """Returns F2 / x and FL / x, (2, 2, events), in complex numbers.

    Args:
        modes: (7, nodes) of ``Theory.modes``.
        of_events: Of ``make_constants``.
        of_nodes: Likewise.
    """
    return _inverted([modes[index] for index in range(7)], of_events, of_nodes)


def structure_functions_of_pairs(
    modes: Tensor, of_events: Mapping[str, Tensor], of_nodes: Mapping[str, Tensor]
) -> Tensor:
    """Returns F2 / x and FL / x, (2, 2, events), in pairs of real numbers.

    Args:
        modes: (2, 7, nodes), the real parts of ``Theory.modes`` and then the imaginary ones.
        of_events: Of ``make_constants``, in pairs.
        of_nodes: Likewise.
    """
    pairs = [Pair(modes[0, index], modes[1, index]) for index in range(7)]
    at_nodes = {name: Pair(parts[0], parts[1]) for name, parts in of_nodes.items()}
    return _inverted(pairs, of_events, at_nodes)


def _inverted(modes: Sequence[Any], of_events: Mapping[str, Tensor], of_nodes: Mapping[str, Any]) -> Tensor:
    """Does the operations, on complex numbers of either form."""
    a, log_ratio = of_events["coupling"], of_events["log_ratio"]
    plus, minus, non_singlet = (
        _exponential(_scaled(of_nodes[name], log_ratio)) for name in ("plus", "minus", "non_singlet")
    )
    singlet = plus * modes[0] + minus * modes[1]
    gluon = _scaled(plus * modes[2] + minus * modes[3], a * (2 * SUM_OF_CHARGES))
    t3, t8, t15 = (non_singlet * mode for mode in modes[4:])
    shared = singlet * SINGLET_CHARGE + t8 * T8_CHARGE + t15 * T15_CHARGE
    t3 = t3 * T3_CHARGE
    quarks = (shared + t3, shared - t3)

    weights = _exponential(_scaled(of_nodes["nodes"], of_events["log_x"])) * of_nodes["weights"]
    f2_quark, fl_quark = _scaled(of_nodes["f2_quark"], a) + 1.0, _scaled(of_nodes["fl_quark"], a)
    f2_gluon, fl_gluon = gluon * of_nodes["f2_gluon"], gluon * of_nodes["fl_gluon"]
    moments = [quark * f2_quark + f2_gluon for quark in quarks]
    moments += [quark * fl_quark + fl_gluon for quark in quarks]
    sums = [_sum_of_imaginary_parts(weights * target) for target in moments]
    return ops.reshape(ops.stack(sums), (2, 2, -1))


def _scaled(numbers: Any, by: Tensor) -> Any:
    """Returns the product with numbers of the events, which are real where the others are pairs."""
    # An operator of ``Pair`` would do, but PyTorch's compiler does not find it behind that of its tensors.
    return Pair(numbers.real * by, numbers.imag * by) if isinstance(numbers, Pair) else numbers * by


def _exponential(numbers: Any) -> Any:
    if not isinstance(numbers, Pair):
        return ops.exp(numbers)
    size = ops.exp(numbers.real)
    sine, cosine = operations.sine_and_cosine(numbers.imag)
    return Pair(size * cosine, size * sine)


def _sum_of_imaginary_parts(numbers: Any) -> Tensor:
    if isinstance(numbers, Pair):
        return ops.sum(numbers.imag, axis=-1)
    return ops.imag(ops.sum(numbers, axis=-1))


def event_factors(x: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """Returns what F2 / x and FL / x are multiplied by in a cross section, (2, 1, events) float64."""
    return np.stack([x * factor for factor in kinematic_factors(x, q2)])[:, None]


def make_calculation(
    theory: Theory,
    x: np.ndarray,
    q2: np.ndarray,
    backend: Any,
    dtype: str,
    compiler: str = "",
    in_pairs: bool = False,
) -> Any:
    """Returns a function from the moments of several inputs to cross sections, (inputs, 2, events) float64.

    Args:
        theory: The theory.
        x: (events,) float64.
        q2: (events,) float64, in GeV^2.
        backend: The framework's runtime.
        dtype: ``complex128`` or ``complex64``.
        compiler: ``xla``, ``graph`` for the framework's own, or empty for one operation after the other.
        in_pairs: Whether complex numbers are pairs of real ones.
    """
    calculate = structure_functions_of_pairs if in_pairs else structure_functions
    if compiler:
        calculate = backend.compile_function(calculate, compiler == "xla")
    constants = backend.put(make_constants(theory, x, q2, dtype, in_pairs))
    # The factors are too small for float32, and so they are multiplied on the host.
    factors = event_factors(x, q2)

    def cross_sections(moments: np.ndarray) -> np.ndarray:
        values = []
        for modes in map(theory.modes, moments):
            numbers = np.stack([modes.real, modes.imag]) if in_pairs else modes
            tensor = backend.put(numbers.astype(_REAL[dtype] if in_pairs else dtype))
            values.append((factors * backend.fetch(calculate(tensor, *constants)).astype(float)).sum(axis=0))
        return np.stack(values)

    return cross_sections
