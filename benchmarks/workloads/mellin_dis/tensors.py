"""The operations of ``cross_section`` in ``keras.ops``, for whichever framework runs.

Only what keeps complex128 in ``keras.ops`` is used: exponential, sum, real and imaginary parts and
arithmetic. Its logarithm and its matrix product turn complex128 into complex64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

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


class TensorCrossSections:
    """Cross sections of fixed events, called like a model.

    Args:
        theory: The theory.
        x: (events,) float64.
        q2: (events,) float64, in GeV^2.
        dtype: ``complex128`` or ``complex64``.
    """

    def __init__(self, theory: Theory, x: np.ndarray, q2: np.ndarray, dtype: str) -> None:
        self.dtype = dtype
        a = coupling(q2)[:, None]
        f2_factor, fl_factor = kinematic_factors(x, q2)
        of_nodes = theory.coefficients
        self._log_x = self._constant(-np.log(x)[:, None])
        self._coupling = self._constant(a)
        self._log_ratio = self._constant(-np.log(a / START_COUPLING))
        self._exponents = [
            self._constant(values) for values in (of_nodes.plus, of_nodes.minus, of_nodes.non_singlet)
        ]
        self._nodes, self._weights = (
            self._constant(values) for values in (theory.contour.nodes, theory.contour.weights)
        )
        self._coefficients = [
            self._constant(values)
            for values in (of_nodes.f2_quark, of_nodes.f2_gluon, of_nodes.fl_quark, of_nodes.fl_gluon)
        ]
        # The factors are too small for float32, and so they are multiplied on the host.
        self.factors = np.stack([x * f2_factor, x * fl_factor])[:, None]

    def _constant(self, values: np.ndarray) -> Tensor:
        return ops.convert_to_tensor(values.astype(self.dtype))

    def __call__(self, modes: Tensor, training: bool = False) -> Tensor:  # noqa: ARG002 (a model's signature)
        """Returns F2 / x and FL / x, (2, 2, events), for ``Theory.modes``, (7, nodes) of ``dtype``."""
        a = self._coupling
        plus, minus, non_singlet = (ops.exp(self._log_ratio * values) for values in self._exponents)
        singlet = plus * modes[0] + minus * modes[1]
        gluon = (plus * modes[2] + minus * modes[3]) * (2 * SUM_OF_CHARGES * a)
        t3, t8, t15 = (non_singlet * modes[index] for index in (4, 5, 6))
        shared = SINGLET_CHARGE * singlet + T8_CHARGE * t8 + T15_CHARGE * t15
        quarks = (shared + T3_CHARGE * t3, shared - T3_CHARGE * t3)

        weights = self._weights * ops.exp(self._log_x * self._nodes)
        f2_quark, f2_gluon, fl_quark, fl_gluon = self._coefficients
        moments = [quark * (1 + a * f2_quark) + gluon * f2_gluon for quark in quarks]
        moments += [quark * (a * fl_quark) + gluon * fl_gluon for quark in quarks]
        sums = [ops.imag(ops.sum(weights * target, axis=-1)) for target in moments]
        return ops.reshape(ops.stack(sums), (2, 2, -1))


def make_calculation(
    theory: Theory, x: np.ndarray, q2: np.ndarray, backend: Any, dtype: str, compiled: bool, xla: bool
) -> Any:
    """Returns a function from the moments of several inputs to cross sections, (inputs, 2, events) float64.

    Args:
        theory: The theory.
        x: (events,) float64.
        q2: (events,) float64, in GeV^2.
        backend: The framework's runtime.
        dtype: ``complex128`` or ``complex64``.
        compiled: Whether the framework compiles it; otherwise it carries out one operation after the other.
        xla: Whether XLA compiles it.
    """
    structure_functions = TensorCrossSections(theory, x, q2, dtype)
    calculate = backend.predict_step(structure_functions, xla) if compiled else structure_functions

    def cross_sections(moments: np.ndarray) -> np.ndarray:
        values = []
        for modes in map(theory.modes, moments):
            sums = backend.fetch(calculate(backend.put(modes.astype(dtype)))).astype(float)
            values.append((structure_functions.factors * sums).sum(axis=0))
        return np.stack(values)

    return cross_sections
