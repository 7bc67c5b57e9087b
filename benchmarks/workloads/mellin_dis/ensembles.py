"""What one ensemble of a fit is: parameters of a bootstrap, moments, cross sections, and a loss.

The loss is the mean over events and targets of the squared difference between the logarithms of the cross
section and of pseudo-data, weighted by how often the bootstrap has drawn the event. Pseudo-data are the cross
sections of the published input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.errors import RunFailedError
from benchmarks.workloads.mellin_dis.cross_section import TARGETS, Theory
from benchmarks.workloads.mellin_dis.partons import (
    Partons,
    bootstrap_partons,
    input_moments,
    published_partons,
)

CHUNK = 128  # events whose arrays together stay in the cache of a core


@dataclass(frozen=True)
class Ensembles:
    """The bootstraps of one sample of events.

    Attributes:
        theory: The theory.
        x: (events,) float64.
        q2: (events,) float64, in GeV^2.
        log_data: (2, events) float64, logarithms of the pseudo-data of proton and neutron.
        seed: Of the bootstraps.
        spread: Standard deviation of the relative shifts of the parameters.
    """

    theory: Theory
    x: np.ndarray
    q2: np.ndarray
    log_data: np.ndarray
    seed: int
    spread: float

    def moments(self, replica: int) -> np.ndarray:
        """Returns the moments of the input of a bootstrap, (5, nodes) complex128."""
        return input_moments(self.partons(replica), self.theory.contour.nodes)

    def partons(self, replica: int) -> Partons:
        """Returns the input of a bootstrap."""
        return bootstrap_partons(self.seed, replica, self.spread)

    def weights(self, replica: int) -> np.ndarray:
        """Returns how often a bootstrap has drawn each event, (events,) int64."""
        events = len(self.x)
        rng = np.random.default_rng([self.seed, replica, 1])
        return np.bincount(rng.integers(0, events, events), minlength=events)

    def loss(self, cross_sections: np.ndarray, weights: np.ndarray) -> float:
        """Returns the loss of a bootstrap.

        Args:
            cross_sections: (2, events) float64, of proton and neutron.
            weights: (events,) of ``weights``.

        Raises:
            RunFailedError: A cross section is not finite and positive.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            differences = np.log(cross_sections) - self.log_data
        loss = float((differences**2 @ weights).sum() / (2 * len(self.x)))
        if not np.isfinite(loss):
            raise RunFailedError(self._bad_cross_section(cross_sections))
        return loss

    def _bad_cross_section(self, cross_sections: np.ndarray) -> str:
        """Names the first cross section that has no logarithm."""
        bad = ~((cross_sections > 0) & np.isfinite(cross_sections))
        target, event = (int(index) for index in np.argwhere(bad)[0])
        return (
            f"cross section of the {TARGETS[target]} in event {event}: expected a finite number above 0, got "
            f"{cross_sections[target, event]:.6g} at x {self.x[event]:.6g} and Q2 {self.q2[event]:.6g} GeV^2"
        )


def make_ensembles(theory: Theory, x: np.ndarray, q2: np.ndarray, seed: int, spread: float) -> Ensembles:
    """Returns the bootstraps of a sample of events, with its pseudo-data."""
    modes = theory.modes(input_moments(published_partons(), theory.contour.nodes))
    log_data = np.log(in_chunks(theory, x, q2, modes))
    return Ensembles(theory, x, q2, log_data, seed, spread)


def in_chunks(theory: Theory, x: np.ndarray, q2: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Returns the cross sections (2, events), calculated for ``CHUNK`` events at a time."""
    values = np.empty((len(TARGETS), len(x)))
    for start in range(0, len(x), CHUNK):
        chunk = slice(start, start + CHUNK)
        values[:, chunk] = theory.cross_sections(x[chunk], q2[chunk], modes)
    return values
