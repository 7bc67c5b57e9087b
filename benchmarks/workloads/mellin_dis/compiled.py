"""The operations of ``cross_section``, compiled for the CPU by Numba, event by event and node by node.

Real and imaginary parts are apart, and the exponential, the sine and the cosine are polynomials without a
branch, so that the compiler can work on several nodes at once. It finds no such form of the functions of a C
library.
"""

from __future__ import annotations

import math

import numba
import numpy as np

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

# Adding this number to one below 2^51 rounds it to a whole number, which then stands in the lowest bits.
_ROUNDER = 1.5 * 2.0**52
_LOG2_E = 1 / math.log(2)
# Upper digits and remainders: products of the upper ones with a small whole number are exact.
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42fefap-1"), float.fromhex("0x1.cf79abc9e3b3ap-40")
_HALF_PI_HIGH = float.fromhex("0x1.921fb544p+0")
_HALF_PI_LOW = float.fromhex("0x1.0b4611a626331p-34")
_LOWEST = -700.0  # of an exponent: the result is 0 for every purpose

_EXP = tuple(1 / math.factorial(order) for order in range(14))
_SIN = tuple((-1) ** order / math.factorial(2 * order + 1) for order in range(9))
_COS = tuple((-1) ** order / math.factorial(2 * order) for order in range(9))


@numba.njit(fastmath={"contract"})
def _exp(x: float) -> float:
    """Returns e^x: a power of two times a polynomial in what is left, which is at most ln(2) / 2."""
    x = max(x, _LOWEST)
    shifted = x * _LOG2_E + _ROUNDER
    whole = shifted - _ROUNDER
    remainder = (x - whole * _LN2_HIGH) - whole * _LN2_LOW
    fraction = _EXP[13]
    for index in range(12, -1, -1):
        fraction = fraction * remainder + _EXP[index]
    bits = np.float64(fraction).view(np.int64) + (np.float64(shifted).view(np.int64) << 52)
    return np.int64(bits).view(np.float64)


@numba.njit(fastmath={"contract"})
def _sin_cos(x: float) -> tuple[float, float]:
    """Returns sine and cosine: polynomials in what is left of x in its quarter of a turn."""
    shifted = x * (2 / math.pi) + _ROUNDER
    quarters = shifted - _ROUNDER
    remainder = (x - quarters * _HALF_PI_HIGH) - quarters * _HALF_PI_LOW
    square = remainder * remainder
    sine, cosine = _SIN[8], _COS[8]
    for index in range(7, -1, -1):
        sine = sine * square + _SIN[index]
        cosine = cosine * square + _COS[index]
    sine *= remainder

    # An odd quarter interchanges the two. The second and third ones turn the sign of the sine, and so on.
    quarter = np.float64(shifted).view(np.int64)
    odd = (quarter & 1) != 0
    first, second = (cosine, sine) if odd else (sine, cosine)
    sine_sign = 1.0 - (quarter & 2)
    cosine_sign = 1.0 - ((quarter + 1) & 2)
    return sine_sign * first, cosine_sign * second


@numba.njit(fastmath={"contract", "reassoc", "nsz"})
def _sums(
    log_x: np.ndarray, coupling: np.ndarray, nodes: np.ndarray, modes: np.ndarray, sums: np.ndarray
) -> None:
    """Calculates F2 / x and FL / x of proton and neutron.

    Args:
        log_x: (events,) float64.
        coupling: (events,) float64, alpha_s / 4 pi.
        nodes: (9, 2, nodes) float64, real and imaginary parts of what depends on the nodes only.
        modes: (7, 2, nodes) float64, likewise of ``Theory.modes``.
        sums: (4, events) float64, the result: F2 of proton and neutron, FL of proton and neutron.
    """
    for event in range(len(log_x)):
        a, minus_log_x = coupling[event], -log_x[event]
        ratio = -math.log(a / START_COUPLING)
        f2_proton = f2_neutron = fl_proton = fl_neutron = 0.0
        for k in range(nodes.shape[2]):
            # The three factors of evolution, and the weight of the node.
            size, (sine, cosine) = _exp(ratio * nodes[0, 0, k]), _sin_cos(ratio * nodes[0, 1, k])
            plus_re, plus_im = size * cosine, size * sine
            size, (sine, cosine) = _exp(ratio * nodes[1, 0, k]), _sin_cos(ratio * nodes[1, 1, k])
            minus_re, minus_im = size * cosine, size * sine
            size, (sine, cosine) = _exp(ratio * nodes[2, 0, k]), _sin_cos(ratio * nodes[2, 1, k])
            ns_re, ns_im = size * cosine, size * sine
            size = _exp(minus_log_x * nodes[3, 0, k])
            sine, cosine = _sin_cos(minus_log_x * nodes[3, 1, k])
            power_re, power_im = size * cosine, size * sine
            weight_re = nodes[4, 0, k] * power_re - nodes[4, 1, k] * power_im
            weight_im = nodes[4, 0, k] * power_im + nodes[4, 1, k] * power_re

            # Singlet, gluon, T3, T8 and T15 at the scale of the event.
            singlet_re = plus_re * modes[0, 0, k] - plus_im * modes[0, 1, k]
            singlet_re += minus_re * modes[1, 0, k] - minus_im * modes[1, 1, k]
            singlet_im = plus_re * modes[0, 1, k] + plus_im * modes[0, 0, k]
            singlet_im += minus_re * modes[1, 1, k] + minus_im * modes[1, 0, k]
            gluon_re = plus_re * modes[2, 0, k] - plus_im * modes[2, 1, k]
            gluon_re += minus_re * modes[3, 0, k] - minus_im * modes[3, 1, k]
            gluon_im = plus_re * modes[2, 1, k] + plus_im * modes[2, 0, k]
            gluon_im += minus_re * modes[3, 1, k] + minus_im * modes[3, 0, k]
            t3_re = T3_CHARGE * (ns_re * modes[4, 0, k] - ns_im * modes[4, 1, k])
            t3_im = T3_CHARGE * (ns_re * modes[4, 1, k] + ns_im * modes[4, 0, k])
            t8_re = T8_CHARGE * (ns_re * modes[5, 0, k] - ns_im * modes[5, 1, k])
            t8_im = T8_CHARGE * (ns_re * modes[5, 1, k] + ns_im * modes[5, 0, k])
            t15_re = T15_CHARGE * (ns_re * modes[6, 0, k] - ns_im * modes[6, 1, k])
            t15_im = T15_CHARGE * (ns_re * modes[6, 1, k] + ns_im * modes[6, 0, k])
            shared_re = SINGLET_CHARGE * singlet_re + t8_re + t15_re
            shared_im = SINGLET_CHARGE * singlet_im + t8_im + t15_im
            gluon_re *= 2 * SUM_OF_CHARGES * a
            gluon_im *= 2 * SUM_OF_CHARGES * a

            # Coefficients of F2 and FL for quarks, and what the gluon adds.
            f2_re, f2_im = 1 + a * nodes[5, 0, k], a * nodes[5, 1, k]
            f2_gluon_re = gluon_re * nodes[6, 0, k] - gluon_im * nodes[6, 1, k]
            f2_gluon_im = gluon_re * nodes[6, 1, k] + gluon_im * nodes[6, 0, k]
            fl_re, fl_im = a * nodes[7, 0, k], a * nodes[7, 1, k]
            fl_gluon_re = gluon_re * nodes[8, 0, k] - gluon_im * nodes[8, 1, k]
            fl_gluon_im = gluon_re * nodes[8, 1, k] + gluon_im * nodes[8, 0, k]

            # Imaginary parts of the weight times the moments, summed over the nodes.
            quark_re, quark_im = shared_re + t3_re, shared_im + t3_im
            f2_proton += weight_re * (quark_re * f2_im + quark_im * f2_re + f2_gluon_im)
            f2_proton += weight_im * (quark_re * f2_re - quark_im * f2_im + f2_gluon_re)
            fl_proton += weight_re * (quark_re * fl_im + quark_im * fl_re + fl_gluon_im)
            fl_proton += weight_im * (quark_re * fl_re - quark_im * fl_im + fl_gluon_re)
            quark_re, quark_im = shared_re - t3_re, shared_im - t3_im
            f2_neutron += weight_re * (quark_re * f2_im + quark_im * f2_re + f2_gluon_im)
            f2_neutron += weight_im * (quark_re * f2_re - quark_im * f2_im + f2_gluon_re)
            fl_neutron += weight_re * (quark_re * fl_im + quark_im * fl_re + fl_gluon_im)
            fl_neutron += weight_im * (quark_re * fl_re - quark_im * fl_im + fl_gluon_re)
        sums[0, event], sums[1, event] = f2_proton, f2_neutron
        sums[2, event], sums[3, event] = fl_proton, fl_neutron


class CompiledCrossSections:
    """Cross sections of fixed events for any input.

    Args:
        theory: The theory.
        x: (events,) float64.
        q2: (events,) float64, in GeV^2.
    """

    def __init__(self, theory: Theory, x: np.ndarray, q2: np.ndarray) -> None:
        of_nodes = theory.coefficients
        self._nodes = _parts(
            np.stack(
                [
                    of_nodes.plus,
                    of_nodes.minus,
                    of_nodes.non_singlet,
                    theory.contour.nodes,
                    theory.contour.weights,
                    of_nodes.f2_quark,
                    of_nodes.f2_gluon,
                    of_nodes.fl_quark,
                    of_nodes.fl_gluon,
                ]
            )
        )
        self._log_x, self._coupling = np.log(x), coupling(q2)
        self._f2_factor, self._fl_factor = (x * factor for factor in kinematic_factors(x, q2))
        self._sums = np.empty((4, len(x)))

    def __call__(self, modes: np.ndarray) -> np.ndarray:
        """Returns the cross sections (2, events) float64 for ``Theory.modes``."""
        _sums(self._log_x, self._coupling, self._nodes, _parts(modes), self._sums)
        return np.asarray(self._f2_factor * self._sums[:2] + self._fl_factor * self._sums[2:])


def _parts(values: np.ndarray) -> np.ndarray:
    """Returns real and imaginary parts: (rows, nodes) complex128 becomes (rows, 2, nodes) float64."""
    return np.ascontiguousarray(np.stack([values.real, values.imag], axis=1))
