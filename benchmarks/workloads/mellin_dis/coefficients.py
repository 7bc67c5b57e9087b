"""Splitting functions at leading order and coefficient functions at next-to-leading order, as moments.

The strong coupling is a = alpha_s / 4 pi with four flavours throughout. Evolution at leading order with
coefficients at next-to-leading order mixes two orders, which suits a benchmark and no fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma

FLAVOURS = 4
CF, CA, TR = 4 / 3, 3.0, 0.5
BETA0 = 11 - 2 * FLAVOURS / 3
START_Q2 = 2.0  # GeV^2, where the input is given
START_COUPLING = 0.35 / (4 * np.pi)  # alpha_s / 4 pi there

_ZETA2 = np.pi**2 / 6
_SHIFT = 30  # steps of the recurrence, after which the asymptotic series of the trigamma function is exact
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6)


@dataclass(frozen=True)
class Coefficients:
    """What the theory has at each node of a contour, all (nodes,) complex128 unless stated otherwise.

    Attributes:
        non_singlet: Exponent r of (a / a0)^-r for the non-singlet distributions.
        plus: The larger exponent of the singlet and the gluon.
        minus: The smaller one.
        projector: (2, 2, nodes) the part of (singlet, gluon) that evolves with ``plus``.
        f2_quark: Coefficient of a in F2, for quarks.
        f2_gluon: The same for the gluon.
        fl_quark: Coefficient of a in FL, for quarks.
        fl_gluon: The same for the gluon.
    """

    non_singlet: np.ndarray
    plus: np.ndarray
    minus: np.ndarray
    projector: np.ndarray
    f2_quark: np.ndarray
    f2_gluon: np.ndarray
    fl_quark: np.ndarray
    fl_gluon: np.ndarray


def coupling(q2: np.ndarray | float) -> np.ndarray:
    """Returns alpha_s / 4 pi at leading order, of the shape of ``q2`` in GeV^2."""
    return START_COUPLING / (1 + START_COUPLING * BETA0 * np.log(np.asarray(q2) / START_Q2))


def trigamma(z: np.ndarray) -> np.ndarray:
    """Returns the derivative of the digamma function for complex arguments."""
    z = np.asarray(z, complex)
    steps = np.sum([1 / (z + step) ** 2 for step in range(_SHIFT)], axis=0)
    z = z + _SHIFT
    series = sum(number / z ** (2 * order + 3) for order, number in enumerate(_BERNOULLI))
    return np.asarray(steps + 1 / z + 1 / (2 * z**2) + series)


def splitting_functions(n: np.ndarray) -> np.ndarray:
    """Returns the matrix (2, 2, nodes) of quark and gluon at leading order at the moments ``n``."""
    s1 = np.euler_gamma + digamma(n + 1)
    p = n**2 + n + 2
    quark_quark = CF * (3 + 2 / (n * (n + 1)) - 4 * s1)
    quark_gluon = 4 * TR * FLAVOURS * p / (n * (n + 1) * (n + 2))
    gluon_quark = 2 * CF * p / ((n - 1) * n * (n + 1))
    gluon_gluon = 4 * CA * (1 / (n * (n - 1)) + 1 / ((n + 1) * (n + 2)) - s1) + BETA0
    return np.array([[quark_quark, quark_gluon], [gluon_quark, gluon_gluon]])


def make_coefficients(n: np.ndarray) -> Coefficients:
    """Returns exponents, projector and coefficient functions at the moments ``n``, (nodes,) complex128."""
    n = np.asarray(n, complex)
    s1 = np.euler_gamma + digamma(n + 1)
    s2 = _ZETA2 - trigamma(n + 1)
    p = n**2 + n + 2

    # The 2 x 2 matrix has two eigenvalues, and one projector says what belongs to the first.
    matrix = splitting_functions(n) / BETA0
    mean = (matrix[0, 0] + matrix[1, 1]) / 2
    root = np.sqrt(((matrix[0, 0] - matrix[1, 1]) / 2) ** 2 + matrix[0, 1] * matrix[1, 0])
    plus, minus = mean + root, mean - root
    projector = (matrix - minus * np.eye(2)[:, :, None]) / (plus - minus)

    return Coefficients(
        non_singlet=matrix[0, 0],
        plus=plus,
        minus=minus,
        projector=projector,
        f2_quark=CF
        * (2 * s1**2 - 2 * s2 + 3 * s1 - 2 * s1 / (n * (n + 1)) + 3 / n + 4 / (n + 1) + 2 / n**2 - 9),
        f2_gluon=-2 * TR * (s1 * p / (n * (n + 1) * (n + 2)) + 1 / n - 1 / n**2 - 6 / (n + 1) + 6 / (n + 2)),
        fl_quark=4 * CF / (n + 1),
        fl_gluon=8 * TR / ((n + 1) * (n + 2)),
    )
