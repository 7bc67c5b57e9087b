"""A different algorithm for the same cross sections: a matrix that is made once for fixed events.

The cross sections are linear in the moments of the input, so that each further input costs one product of a
matrix and a vector, and several inputs cost one product of matrices.
"""

from __future__ import annotations

import numpy as np

from benchmarks.workloads.mellin_dis.coefficients import coupling
from benchmarks.workloads.mellin_dis.cross_section import TARGETS, Theory, kinematic_factors
from benchmarks.workloads.mellin_dis.ensembles import CHUNK

MOMENTS = 5  # of the input at each node


def make_matrix(theory: Theory, x: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """Returns the matrix (2 * events, 10 * nodes) float64, with the events of the proton first.

    Its columns belong to the real parts of ``input_moments``, moment by moment, and then to the imaginary
    parts.
    """
    events, nodes = len(x), len(theory.contour.nodes)
    matrix = np.empty((len(TARGETS), events, 2, MOMENTS, nodes))
    for start in range(0, events, CHUNK):
        chunk = slice(start, start + CHUNK)
        f2_factor, fl_factor = kinematic_factors(x[chunk], q2[chunk])
        a = coupling(q2[chunk])[:, None]
        weights = theory.inversion(x[chunk, None]) * x[chunk, None]

        # No node mixes with another: an input of 1 at all nodes shows what each node contributes.
        for index, unit in enumerate(np.eye(MOMENTS, dtype=complex)):
            modes = theory.modes(np.repeat(unit[:, None], nodes, axis=1))
            f2, fl = theory.scaled_moments(a, modes)
            for target in range(len(TARGETS)):
                response = weights * (f2_factor[:, None] * f2[target] + fl_factor[:, None] * fl[target])
                matrix[target, chunk, 0, index] = response.imag
                matrix[target, chunk, 1, index] = response.real
    return matrix.reshape(len(TARGETS) * events, 2 * MOMENTS * nodes)


def multiply(matrix: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Returns the cross sections of several inputs.

    Args:
        matrix: Of ``make_matrix``.
        moments: (inputs, 5, nodes) complex128 of ``input_moments``.

    Returns:
        (inputs, 2, events) float64.
    """
    vectors = np.stack([moments.real, moments.imag], axis=1).reshape(len(moments), -1)
    return np.asarray((vectors @ matrix.T).reshape(len(moments), len(TARGETS), -1))
