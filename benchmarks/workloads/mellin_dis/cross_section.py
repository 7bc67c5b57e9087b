"""Structure functions and cross sections of deep-inelastic scattering, out of moments on the contour.

Every function takes events of any shape, one or many, and works on (events..., nodes). The forms of the
calculation that are compared call the same functions with different numbers of events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.workloads.mellin_dis.coefficients import (
    START_COUPLING,
    Coefficients,
    coupling,
    make_coefficients,
)
from benchmarks.workloads.mellin_dis.contour import Contour, make_contour

FINE_STRUCTURE = 1 / 137.036
NUCLEON_MASS = 0.93891897  # GeV
ENERGY = 140.0  # GeV, of electron and nucleon together
S = ENERGY**2 - NUCLEON_MASS**2
TARGETS = ("proton", "neutron")

# Squares of the charges times u+, d+, s+ and c+, written in the singlet, T3, T8 and T15. The neutron has u
# and d interchanged, which turns the sign of T3.
SINGLET_CHARGE, T3_CHARGE, T8_CHARGE, T15_CHARGE = 5 / 18, 1 / 6, 1 / 18, -1 / 18
SUM_OF_CHARGES = 10 / 9


@dataclass(frozen=True)
class Theory:
    """All that does not depend on events or parameters.

    Attributes:
        contour: Nodes and weights of the inversion.
        coefficients: At those nodes.
    """

    contour: Contour
    coefficients: Coefficients

    def modes(self, moments: np.ndarray) -> np.ndarray:
        """Returns the moments of the input, separated by how they evolve.

        Args:
            moments: (5, nodes) of ``partons.input_moments``.

        Returns:
            (7, nodes) complex128: singlet with the larger exponent, singlet with the smaller one, gluon with
            the larger one, gluon with the smaller one, T3, T8, T15.
        """
        projector = self.coefficients.projector
        singlet, gluon = moments[:2]
        singlet_plus = projector[0, 0] * singlet + projector[0, 1] * gluon
        gluon_plus = projector[1, 0] * singlet + projector[1, 1] * gluon
        return np.stack([singlet_plus, singlet - singlet_plus, gluon_plus, gluon - gluon_plus, *moments[2:]])

    def evolved(self, a: np.ndarray, modes: np.ndarray) -> list[np.ndarray]:
        """Returns singlet, gluon, T3, T8 and T15 at another scale, each (events..., nodes).

        Args:
            a: (events..., 1) alpha_s / 4 pi at the scale of each event.
            modes: (7, nodes) of ``modes``.
        """
        log_ratio = np.log(a / START_COUPLING)
        plus = np.exp(-log_ratio * self.coefficients.plus)
        minus = np.exp(-log_ratio * self.coefficients.minus)
        non_singlet = np.exp(-log_ratio * self.coefficients.non_singlet)
        return [
            plus * modes[0] + minus * modes[1],
            plus * modes[2] + minus * modes[3],
            *(non_singlet * mode for mode in modes[4:]),
        ]

    def inversion(self, x: np.ndarray) -> np.ndarray:
        """Returns the weights of the nodes, (events..., nodes), for ``x`` of (events..., 1)."""
        return np.asarray(self.contour.weights * np.exp(-np.log(x) * self.contour.nodes))

    def scaled_moments(
        self, a: np.ndarray, modes: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Returns the moments of F2 / x and of FL / x, each of proton and neutron, (events..., nodes).

        Args:
            a: (events..., 1) alpha_s / 4 pi at the scale of each event.
            modes: (7, nodes) of ``modes``.
        """
        # NumPy multiplies complex arrays by complex ones faster than by real ones, which it converts in
        # pieces.
        a = a.astype(modes.dtype)
        singlet, gluon, t3, t8, t15 = self.evolved(a, modes)
        shared = SINGLET_CHARGE * singlet + T8_CHARGE * t8 + T15_CHARGE * t15
        t3 *= T3_CHARGE
        proton, neutron = shared + t3, shared - t3
        gluon *= 2 * SUM_OF_CHARGES * a

        quark_factor, gluon_part = 1 + a * self.coefficients.f2_quark, gluon * self.coefficients.f2_gluon
        f2 = proton * quark_factor + gluon_part, neutron * quark_factor + gluon_part
        quark_factor, gluon_part = a * self.coefficients.fl_quark, gluon * self.coefficients.fl_gluon
        fl = proton * quark_factor + gluon_part, neutron * quark_factor + gluon_part
        return f2, fl

    def structure_functions(self, x: np.ndarray, q2: np.ndarray, modes: np.ndarray) -> np.ndarray:
        """Returns F2 and FL of proton and neutron.

        Args:
            x: (events...) Bjorken's x.
            q2: (events...) momentum transfer, in GeV^2.
            modes: (7, nodes) of ``modes``.

        Returns:
            (2, 2, events...) float64: F2 and FL, each of proton and neutron.
        """
        x = np.asarray(x)
        moments = self.scaled_moments(coupling(q2)[..., None], modes)
        weights = self.inversion(x[..., None])
        sums = [[_inverted(weights, target) for target in targets] for targets in moments]
        return np.asarray(x * np.array(sums))

    def cross_sections(self, x: np.ndarray, q2: np.ndarray, modes: np.ndarray) -> np.ndarray:
        """Returns the cross sections of proton and neutron in x and Q2, (2, events...) in GeV^-4."""
        f2_factor, fl_factor = kinematic_factors(np.asarray(x), np.asarray(q2))
        f2, fl = self.structure_functions(x, q2, modes)
        return np.asarray(f2_factor * f2 + fl_factor * fl)


def _inverted(weights: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Returns the sums over the nodes, (events...) float64."""
    return np.asarray(np.matmul(weights[..., None, :], moments[..., :, None])[..., 0, 0].imag)


def kinematic_factors(x: np.ndarray, q2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the factors of F2 and FL in the cross section, each of the shape of ``x``, in GeV^-4."""
    y = q2 / (S * x)
    common = 2 * np.pi * FINE_STRUCTURE**2 / (x * q2**2)
    return common * (1 + (1 - y) ** 2 + 2 * (x * y * NUCLEON_MASS) ** 2 / q2), -common * y**2


def make_theory(contour: Contour | None = None) -> Theory:
    """Returns the theory on a contour; None for the one of 136 nodes."""
    contour = contour or make_contour()
    return Theory(contour, make_coefficients(contour.nodes))
