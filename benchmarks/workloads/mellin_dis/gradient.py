"""Value and gradient of the loss, which is what a fit needs.

The framework differentiates the loss of all events by the moments of the input. How the moments depend on the
nine parameters is known in closed form, and takes nothing beside the events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from scipy.special import beta, digamma

from benchmarks.workload import Tensor
from benchmarks.workloads.mellin_dis.cross_section import Theory
from benchmarks.workloads.mellin_dis.ensembles import Ensembles
from benchmarks.workloads.mellin_dis.partons import (
    NAMES,
    STRANGE_SHARE,
    Partons,
    beta_moments,
    input_moments,
)
from benchmarks.workloads.mellin_dis.tensors import (
    event_factors,
    make_constants,
    structure_functions,
)


def moment_derivatives(partons: Partons, n: np.ndarray) -> np.ndarray:
    """Returns the derivatives of ``input_moments`` by the parameters, with the normalisations that follow.

    Args:
        partons: An input whose normalisations follow from the sum rules.
        n: (nodes,) complex128, the moments N.

    Returns:
        (9, 5, nodes) complex128.
    """
    # The gluon takes what momentum the quarks leave, so that theirs is needed at N = 2, too.
    quarks = _quark_derivatives(partons, n)
    momentum = _quark_derivatives(partons, np.array([2.0 + 0j]))[:, 0, 0].real
    gluon_a, gluon_b = partons.parameters[NAMES.index("gluon_a")], partons.parameters[NAMES.index("gluon_b")]
    shape = beta_moments(n, gluon_a, gluon_b)
    of_gluon = -momentum[:, None] / beta(gluon_a + 1, gluon_b + 1) * shape
    by_a, by_b = _log_derivatives(n, gluon_a, gluon_b)
    norm_by_a, norm_by_b = _log_derivatives(2.0, gluon_a, gluon_b)
    of_gluon[NAMES.index("gluon_a")] += partons.gluon_n * shape * (by_a - norm_by_a)
    of_gluon[NAMES.index("gluon_b")] += partons.gluon_n * shape * (by_b - norm_by_b)
    quarks[:, 1] = of_gluon
    return quarks


def _quark_derivatives(partons: Partons, n: np.ndarray) -> np.ndarray:
    """Returns the same without the gluon, whose row is 0."""
    uv_a, uv_b, dv_a, dv_b, _, _, sea_n, sea_a, sea_b = partons.parameters
    derivatives = np.zeros((len(NAMES), 5, len(n)), complex)

    # A valence distribution keeps its first moment.
    for first, a, b, normalisation, sign in (
        (0, uv_a, uv_b, partons.uv_n, 1),
        (2, dv_a, dv_b, partons.dv_n, -1),
    ):
        shape = normalisation * beta_moments(n, a, b)
        pairs = zip(_log_derivatives(n, a, b), _log_derivatives(1.0, a, b), strict=True)
        for index, (of_moment, of_number) in enumerate(pairs):
            change = shape * (of_moment - of_number)
            derivatives[first + index] = _combined(change, sign)

    # The sea has dbar and, with one more power of 1 - x, ubar.
    d_bar, u_bar = sea_n * beta_moments(n, sea_a, sea_b), sea_n * beta_moments(n, sea_a, sea_b + 1)
    by_d, by_u = _log_derivatives(n, sea_a, sea_b), _log_derivatives(n, sea_a, sea_b + 1)
    factors = ((1 / sea_n, 1 / sea_n), (by_d[0], by_u[0]), (by_d[1], by_u[1]))
    for index, (of_d, of_u) in enumerate(factors, start=NAMES.index("sea_n")):
        d_plus, u_plus = 2 * d_bar * of_d, 2 * u_bar * of_u
        s_plus = STRANGE_SHARE * (d_plus + u_plus)
        singlet = u_plus + d_plus + s_plus
        t8 = u_plus + d_plus - 2 * s_plus
        derivatives[index] = np.stack([singlet, np.zeros_like(n), u_plus - d_plus, t8, singlet])
    return derivatives


def _combined(change: np.ndarray, sign: int) -> np.ndarray:
    """Returns what a change of u (sign 1) or d (sign -1) quarks does to singlet, gluon, T3, T8 and T15."""
    return np.stack([change, np.zeros_like(change), sign * change, change, change])


def _log_derivatives(n: Any, a: float, b: float) -> tuple[Any, Any]:
    """Returns the derivatives of the logarithm of ``beta_moments`` by a and by b."""
    together = digamma(n + a + b)
    return digamma(n + a - 1) - together, digamma(b + 1) - together


class LossGradient:
    """Value and gradient of the loss of an ensemble.

    Args:
        ensembles: The bootstraps of a sample of events.
        backend: The framework's runtime.
        xla: Whether XLA compiles it.
    """

    def __init__(self, ensembles: Ensembles, backend: Any, xla: bool) -> None:
        self._ensembles, self._backend = ensembles, backend
        x, q2 = ensembles.x, ensembles.q2
        f2_factor, fl_factor = event_factors(x, q2)
        self._constants = backend.put(
            (
                make_constants(ensembles.theory, x, q2, "complex128"),
                (f2_factor[0], fl_factor[0], ensembles.log_data),
            )
        )

        def loss(parts: Tensor, weights: Tensor, constants: Any) -> Tensor:
            numbers, (of_f2, of_fl, log_data) = constants
            modes = ops.cast(parts[0], "complex128") + 1j * ops.cast(parts[1], "complex128")
            f2, fl = ops.unstack(structure_functions(modes, *numbers), 2)
            differences = ops.log(of_f2 * f2 + of_fl * fl) - log_data
            return ops.sum(differences * differences * weights) / (2 * len(x))

        self._value_and_gradient: Callable[..., Any] = backend.value_and_gradient(loss, xla)

    def __call__(self, partons: Partons, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the loss, and its derivatives by the nine parameters, (9,) float64.

        Args:
            partons: An input whose normalisations follow from the sum rules.
            weights: (events,) how often the bootstrap has drawn each event.
        """
        theory: Theory = self._ensembles.theory
        modes = theory.modes(input_moments(partons, theory.contour.nodes))
        parts = np.stack([modes.real, modes.imag])
        value, gradient = self._value_and_gradient(
            self._backend.put(parts), self._backend.put(weights.astype(float)), self._constants
        )

        # The modes are linear in the moments, and so in their derivatives.
        changes = [theory.modes(change) for change in moment_derivatives(partons, theory.contour.nodes)]
        by_real, by_imaginary = self._backend.fetch(gradient)
        slopes = [float((by_real * change.real + by_imaginary * change.imag).sum()) for change in changes]
        return float(self._backend.fetch(value)), np.array(slopes)
