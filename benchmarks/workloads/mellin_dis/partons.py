"""Parton distributions at the starting scale: parameters, their ranges, sum rules and moments.

A distribution is x f(x) = n x^a (1 - x)^b. The sea has dbar, ubar = (1 - x) dbar, and s = sbar, which is a
fifth of ubar + dbar. There is no charm at the starting scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import beta, gammaln, loggamma

from benchmarks.errors import RunFailedError

STRANGE_SHARE = 0.2  # of ubar + dbar, for s and sbar each
SUM_RULE_TOLERANCE = 1e-5  # the published values have five to six digits

# The published toy input of Les Houches. Their order is that of a vector of parameters.
NAMES = ("uv_a", "uv_b", "dv_a", "dv_b", "gluon_a", "gluon_b", "sea_n", "sea_a", "sea_b")
CENTRAL = (0.8, 3.0, 0.8, 4.0, -0.1, 5.0, 0.1939875, -0.1, 6.0)
RANGES = (
    (0.3, 1.5),
    (1.0, 10.0),
    (0.3, 1.5),
    (1.0, 10.0),
    (-0.5, 0.5),
    (1.0, 12.0),
    (0.05, 0.5),
    (-0.5, 0.5),
    (2.0, 14.0),
)


@dataclass(frozen=True)
class Partons:
    """The input of one ensemble.

    Attributes:
        parameters: (9,) float64 in the order of ``NAMES``.
        uv_n: Normalisation of the valence u quarks.
        dv_n: Normalisation of the valence d quarks.
        gluon_n: Normalisation of the gluon.
    """

    parameters: np.ndarray
    uv_n: float
    dv_n: float
    gluon_n: float


def published_partons() -> Partons:
    """Returns the toy input with its published normalisations."""
    return Partons(np.array(CENTRAL), uv_n=5.1072, dv_n=3.06432, gluon_n=1.7)


def normalised_partons(parameters: np.ndarray) -> Partons:
    """Returns an input whose normalisations follow from the sum rules.

    Args:
        parameters: (9,) float64 in the order of ``NAMES``.

    Raises:
        RunFailedError: A parameter is outside its range, or the quarks leave no momentum for the gluon.
    """
    check_ranges(parameters)
    uv_a, uv_b, dv_a, dv_b, gluon_a, gluon_b = parameters[:6]
    uv_n, dv_n = 2 / beta(uv_a, uv_b + 1), 1 / beta(dv_a, dv_b + 1)
    without_gluon = Partons(parameters, uv_n, dv_n, 0.0)
    remainder = 1 - _momentum(without_gluon)
    if not remainder > 0:
        raise RunFailedError(
            f"sum rule violated: expected quarks with a momentum below 1, got {1 - remainder:.6g}"
        )
    return Partons(parameters, uv_n, dv_n, remainder / beta(gluon_a + 1, gluon_b + 1))


def check_ranges(parameters: np.ndarray) -> None:
    """Checks that every parameter is inside its range.

    Raises:
        RunFailedError: One is outside, or no number.
    """
    for name, value, (low, high) in zip(NAMES, parameters, RANGES, strict=True):
        if not low <= value <= high:
            raise RunFailedError(
                f"parameter {name}: expected {low} to {high}, got {value:.6g}; lower --set parameter_spread"
            )


def check_sum_rules(partons: Partons) -> None:
    """Checks the numbers of valence quarks and the momentum.

    Raises:
        RunFailedError: One of the sum rules is violated.
    """
    uv_a, uv_b, dv_a, dv_b = partons.parameters[:4]
    sums = {
        "valence u quarks": (partons.uv_n * beta(uv_a, uv_b + 1), 2.0),
        "valence d quarks": (partons.dv_n * beta(dv_a, dv_b + 1), 1.0),
        "momentum": (_momentum(partons), 1.0),
    }
    for name, (value, expected) in sums.items():
        if not abs(value - expected) <= SUM_RULE_TOLERANCE:
            raise RunFailedError(f"sum rule violated: expected {expected:g} for {name}, got {value:.8g}")


def bootstrap_partons(seed: int, replica: int, spread: float) -> Partons:
    """Returns the input of one bootstrap: the central parameters, each with a random relative shift.

    Args:
        seed: Of the run.
        replica: Number of the bootstrap.
        spread: Standard deviation of the shifts.

    Raises:
        RunFailedError: A parameter is outside its range.
    """
    rng = np.random.default_rng([seed, replica])
    partons = normalised_partons(np.array(CENTRAL) * (1 + spread * rng.standard_normal(len(CENTRAL))))
    check_sum_rules(partons)
    return partons


def input_moments(partons: Partons, n: np.ndarray) -> np.ndarray:
    """Returns the moments of the input.

    Args:
        partons: The input.
        n: (nodes,) complex128, the moments N.

    Returns:
        (5, nodes) complex128: singlet, gluon, T3 = u+ - d+, T8 = u+ + d+ - 2 s+ and
        T15 = u+ + d+ + s+ - 3 c+, where u+ is u + ubar and so on.
    """
    uv_a, uv_b, dv_a, dv_b, gluon_a, gluon_b, sea_n, sea_a, sea_b = partons.parameters
    u_valence = partons.uv_n * beta_moments(n, uv_a, uv_b)
    d_valence = partons.dv_n * beta_moments(n, dv_a, dv_b)
    gluon = partons.gluon_n * beta_moments(n, gluon_a, gluon_b)
    d_bar = sea_n * beta_moments(n, sea_a, sea_b)
    u_bar = sea_n * beta_moments(n, sea_a, sea_b + 1)

    u_plus, d_plus = u_valence + 2 * u_bar, d_valence + 2 * d_bar
    s_plus = 2 * STRANGE_SHARE * (u_bar + d_bar)
    singlet = u_plus + d_plus + s_plus
    return np.stack([singlet, gluon, u_plus - d_plus, u_plus + d_plus - 2 * s_plus, singlet])


def beta_moments(n: np.ndarray, a: float, b: float) -> np.ndarray:
    """Returns the moments of x^(a - 1) (1 - x)^b."""
    return np.asarray(np.exp(loggamma(n + a - 1) + gammaln(b + 1) - loggamma(n + a + b)))


def _momentum(partons: Partons) -> float:
    """Returns the momentum of all partons together, which is the second moment of singlet and gluon."""
    singlet, gluon, *_ = input_moments(partons, np.array([2.0 + 0j]))[:, 0].real
    return float(singlet + gluon)
