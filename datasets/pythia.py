"""Proton-proton collisions at 14 TeV from Pythia 8, as numpy arrays of stable particles."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError, explain_import_error

PARTICLE = np.dtype(
    [
        ("pdg", np.int32),  # PDG Monte Carlo number
        ("charge", np.int32),  # in units of the positron's
        ("pt", np.float32),  # GeV
        ("eta", np.float32),  # of the momentum
        ("phi", np.float32),  # of the momentum, rad in [-pi, pi]
        ("energy", np.float32),  # GeV
        ("x", np.float32),  # production vertex, mm
        ("y", np.float32),
        ("z", np.float32),
    ]
)
"""One stable particle. An event is a one-dimensional array of these, in Pythia's order."""

ETA_MAX = 6.0
"""Largest |eta|: particles beyond reach no tower (|eta| < 5) from any vertex within 0.25 m of the centre."""

PT_MIN = 3.2e-5
"""Smallest pt, GeV: Delphes' ParticlePropagator drops what goes down the beam pipe (pt^2 < 1e-9)."""

_NEUTRINOS = (12, 14, 16)

_COMMON = (
    "Print:quiet = on",
    "Beams:idA = 2212",
    "Beams:idB = 2212",
    "Beams:eCM = 14000.",
    # Monash with the parameters of generatePileUpCMS.cmnd, the card of the public data set.
    "Tune:ee = 7",
    "Tune:pp = 14",
    "PDF:pSet = 13",  # NNPDF2.3 LO, alpha_s = 0.130, with QED: Pythia's own copy of the card's set
    "PDF:extrapolate = on",
    "SpaceShower:rapidityOrder = on",
    "SigmaProcess:alphaSvalue = 0.140",
    "SpaceShower:pT0Ref = 1.56",
    "SpaceShower:pTmaxFudge = 0.91",
    "SpaceShower:pTdampFudge = 1.05",
    "SpaceShower:alphaSvalue = 0.127",
    "TimeShower:alphaSvalue = 0.127",
    "BeamRemnants:primordialKThard = 1.88",
    "MultipartonInteractions:pT0Ref = 2.09",
    "MultipartonInteractions:alphaSvalue = 0.126",
    "ColourReconnection:reconnect = on",
    "ColourReconnection:range = 1.71",
    # Long-lived particles (c tau > 10 mm: K0S, Lambda, ...) reach the detector undecayed.
    "ParticleDecays:limitTau0 = on",
    "ParticleDecays:tau0Max = 10",
)

# The cards of top pairs and of jets set CMS' mass of the top quark, GeV. Pythia's own is 173.
_TOP_MASS = "6:m0 = 172.5"

PROCESSES: dict[str, tuple[str, ...]] = {
    "ttbar": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", _TOP_MASS),
    "qcd": ("HardQCD:all = on", "PhaseSpace:pTHatMin = 20.", _TOP_MASS),
    "minimum_bias": (
        "SoftQCD:nonDiffractive = on",
        "SoftQCD:singleDiffractive = on",
        "SoftQCD:doubleDiffractive = on",
    ),
}
"""Pythia settings that select a process."""

SEED_MAX = 900_000_000
"""The largest value of Pythia's Random:seed."""


def process_settings(process: str) -> tuple[str, ...]:
    """Returns every Pythia setting of a process except the seed."""
    return _COMMON + PROCESSES[process]


def version() -> str:
    """Returns the version of the installed Pythia package.

    Raises:
        DataError: Pythia is not installed or cannot be loaded.
    """
    _pythia8mc()
    return importlib.metadata.version("pythia8mc")


def events(process: str, seed: int, count: int) -> Iterator[NDArray[np.void]]:
    """Generates events of one process.

    Args:
        process: A key of ``PROCESSES``.
        seed: Whole number from 1 to ``SEED_MAX``. The same seed gives the same events.
        count: Number of events.

    Yields:
        One ``PARTICLE`` array per event: final-state particles without neutrinos, |eta| < ``ETA_MAX``.

    Raises:
        DataError: Pythia is not installed, cannot be loaded, refuses a setting, or fails ten times in a row.
    """
    pythia = _start_pythia(process, seed)
    charges: dict[int, int] = {}
    for _ in range(count):
        # A rare event fails Pythia's own consistency checks, and the next one replaces it.
        if not any(pythia.next() for _ in range(10)):
            raise DataError(f"Pythia failed ten {process} events in a row with seed {seed}")
        yield _stable_particles(pythia, charges)


def _pythia8mc() -> Any:
    """Imports and returns Pythia's package, which reads its own settings and no other version's."""
    # Software stacks point this variable at the settings of their own Pythia, which the package would obey.
    os.environ.pop("PYTHIA8DATA", None)
    try:
        import pythia8mc
    except ImportError as error:
        reason = explain_import_error(error, "data")
        raise DataError(
            f"making events needs Pythia 8 (pythia8mc), which is {reason}; "
            "or bring events from another machine: docs/data.md, 'Other machines'"
        ) from error
    return pythia8mc


def _start_pythia(process: str, seed: int) -> Any:
    """Returns a Pythia object that is ready to make events of a process."""
    pythia = _pythia8mc().Pythia("", False)
    for line in (*process_settings(process), "Random:setSeed = on", f"Random:seed = {seed}"):
        if not pythia.readString(line):
            raise DataError(f"Pythia {version()} refuses the setting {line!r}")
    if not pythia.init():
        raise DataError(f"Pythia {version()} could not be initialised for {process}")
    return pythia


def _stable_particles(pythia: Any, charges: dict[int, int]) -> NDArray[np.void]:
    """Returns the current event as a PARTICLE array.

    Args:
        pythia: Object that has just made an event.
        charges: Charge of each PDG number that has been looked up, to which new ones are added.
    """
    # One pass over the C++ objects, because each access costs more than the arithmetic on it.
    rows = [
        (p.id(), p.px(), p.py(), p.pz(), p.e(), p.xProd(), p.yProd(), p.zProd())
        for p in pythia.event
        if p.isFinal()
    ]
    pdg, px, py, pz, energy, x, y, z = np.array(rows, dtype=np.float64).T

    # Particles that no detector can see are dropped here, which keeps the pool of pile-up small.
    pt = np.hypot(px, py)
    eta = np.arcsinh(pz / np.maximum(pt, PT_MIN))
    keep = (pt > PT_MIN) & (np.abs(eta) < ETA_MAX) & ~np.isin(np.abs(pdg), _NEUTRINOS)

    particles = np.empty(int(keep.sum()), dtype=PARTICLE)
    columns = {"pdg": pdg, "pt": pt, "eta": eta, "phi": np.arctan2(py, px), "energy": energy}
    for name, values in {**columns, "x": x, "y": y, "z": z}.items():
        particles[name] = values[keep]

    # Pythia is asked for the charge of each kind of particle once.
    codes, inverse = np.unique(particles["pdg"], return_inverse=True)
    for code in codes.tolist():
        if code not in charges:
            charges[code] = round(pythia.particleData.charge(code))
    particles["charge"] = np.array([charges[code] for code in codes.tolist()], dtype=np.int32)[inverse]
    return particles
