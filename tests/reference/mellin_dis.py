"""Published and independent values of evolution, coefficients and cross sections, to compare with."""

from __future__ import annotations

import numpy as np

# Les Houches, arXiv:hep-ph/0204316, table 2, leading order, four flavours, Q2 = 1e4 GeV^2, to five digits.
TABLE_X = np.array([1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 0.5, 0.7, 0.9])
TABLE = {
    "uv": "5.7722e-5 3.3373e-4 1.8724e-3 1.0057e-2 5.0392e-2 2.1955e-1 5.7267e-1 3.7925e-1 1.3476e-1 "
    "2.3123e-2 4.3443e-4",
    "dv": "3.4343e-5 1.9800e-4 1.1065e-3 5.9076e-3 2.9296e-2 1.2433e-1 2.8413e-1 1.4186e-1 3.5364e-2 "
    "3.5943e-3 2.2287e-5",
    "s+": "4.8642e1 2.4263e1 1.1501e1 5.1164 2.0918 7.2814e-1 1.1698e-1 1.0516e-2 "
    "7.3138e-4 1.7725e-5 1.0192e-8",
    "c+": "4.7914e1 2.3685e1 1.1042e1 4.7530 1.8089 5.3247e-1 5.8864e-2 4.1379e-3 "
    "2.6481e-4 6.5549e-6 4.8893e-9",
    "g": "1.3162e3 6.0008e2 2.5419e2 9.7371e1 3.2078e1 8.0546 8.8766e-1 8.2676e-2 "
    "7.9240e-3 3.7311e-4 1.0918e-6",
}

# Coefficients of F2 at N = 2, 3.5 and 6, from integrals over x.
COEFFICIENT_N = np.array([2, 3.5, 6])
F2_QUARK = np.array([0.444444, 4.661960, 11.176720])
F2_GLUON = np.array([-0.25, -0.364521, -0.352579])

# x, Q2, F2 and FL of the proton, cross sections of proton and neutron in GeV^-4. They were calculated with 25
# digits, another contour and a matrix exponential in place of projectors.
STRUCTURE_FUNCTIONS = np.array(
    [
        [0.01, 10, 0.5178952522669, 0.1270465281972, 3.292210625878e-4, 3.158714782449e-4],
        [0.1, 100, 0.4277308843739, 0.02337102049568, 2.719755339995e-7, 2.185325976718e-7],
        [0.5, 1000, 0.08539890695051, 7.296586e-4, 1.032209427107e-10, 5.205683394e-11],
    ]
)
