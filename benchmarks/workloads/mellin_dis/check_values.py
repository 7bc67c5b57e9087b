"""Values that every implementation is compared with.

They come from calculations that share nothing with this one: 25 digits, another contour and a matrix
exponential for the first three, a much finer contour for the others.
"""

from __future__ import annotations

import numpy as np

# x, Q2 in GeV^2, and the cross sections of proton and neutron of the published input in GeV^-4.
_ROWS = np.array(
    [
        (0.01, 10.0, 3.292210625878e-4, 3.158714782449e-4),
        (0.1, 100.0, 2.719755339995e-7, 2.185325976718e-7),
        (0.5, 1000.0, 1.032209427107e-10, 5.205683394e-11),
        (0.001, 5.0, 1.2684915367e-2, 1.2595266679e-2),
        (0.1, 10.0, 2.7533603938e-5, 2.2224769010e-5),
        (0.3, 100.0, 5.6069437305e-8, 3.5485869694e-8),
        (0.7, 5000.0, 3.7168084017e-13, 1.4786333223e-13),
    ]
)
X, Q2 = _ROWS[:, 0], _ROWS[:, 1]
CROSS_SECTIONS = _ROWS[:, 2:].T  # (2, values), proton and neutron


def largest_deviation(cross_sections: np.ndarray) -> float:
    """Returns the largest relative deviation of cross sections, (2, values), from the check values."""
    return float(np.max(np.abs(cross_sections / CROSS_SECTIONS - 1)))
