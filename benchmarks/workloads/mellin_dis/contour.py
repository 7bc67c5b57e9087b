"""The contour in the complex plane of Mellin moments on which parton distributions are inverted.

A function f(x) with moments F(N), the integral of x^(N - 1) f(x) over x from 0 to 1, is the sum over the
nodes of the imaginary part of ``weight * x**-N * F(N)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ORIGIN = 1.9  # where the contour crosses the real axis, to the right of every pole
ANGLE = 0.75 * np.pi  # direction of the contour
PANELS = (0, 0.1, 0.3, 0.6, 1, 1.6, 2.4, 3.5, 5, 7, 10, 14, 19, 25, 32, 40, 50, 63)
POINTS = 8  # Gauss-Legendre points in each panel


@dataclass(frozen=True)
class Contour:
    """The nodes of an inversion.

    Attributes:
        nodes: (nodes,) complex128, the moments N.
        weights: (nodes,) complex128, the quadrature weights, with the direction and 1/pi in them.
    """

    nodes: np.ndarray
    weights: np.ndarray


def make_contour(
    origin: float = ORIGIN,
    angle: float = ANGLE,
    panels: Sequence[float] = PANELS,
    points: int = POINTS,
) -> Contour:
    """Returns a straight contour with Gauss-Legendre points in each panel.

    Args:
        origin: Where it crosses the real axis.
        angle: Its direction, in radians.
        panels: Edges of the panels, as distances from the origin.
        points: Points of each panel.
    """
    abscissas, weights = np.polynomial.legendre.leggauss(points)
    edges = np.asarray(panels, float)
    halves = 0.5 * np.diff(edges)[:, None]
    distances = (0.5 * (edges[1:] + edges[:-1])[:, None] + halves * abscissas).ravel()
    direction = np.exp(1j * angle)
    return Contour(origin + distances * direction, (halves * weights).ravel() * direction / np.pi)
