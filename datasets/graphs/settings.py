"""What a graph data set is made with."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from datasets.errors import DataError
from datasets.store import FORMAT_VERSION
from datasets.trackml.layers import DETECTORS

GRAPH_VERSION = 1
"""Goes up when equal settings begin to give other graphs."""


@dataclass(frozen=True)
class GraphSettings:
    """How hits become graphs; equal settings give equal graphs.

    Args:
        detector: "barrel", its ten layers, or "full".
        pt_min: particles from this pt on are of interest, GeV.
        idealised: leave out noise and the hits of particles below pt_min, keep one hit per particle
            and layer.
        phi_slope_max: upper limit of |dphi / dr| of a doublet, 1/mm.
        z0_max: upper limit of |z0| of a doublet, mm.
        phi_sectors: sectors in phi that an event is cut into.
        eta_sectors: sectors in eta.
        sector_overlap: how far a sector reaches into each of its neighbours, in its own widths.
    """

    detector: str = "barrel"
    pt_min: float = 1.0
    idealised: bool = True
    phi_slope_max: float = 0.0006
    z0_max: float = 150.0
    phi_sectors: int = 1
    eta_sectors: int = 1
    sector_overlap: float = 0.0

    def __post_init__(self) -> None:
        if self.detector not in DETECTORS:
            raise DataError(f"detector must be one of {', '.join(DETECTORS)}, got {self.detector!r}")
        if not 0.0 <= self.pt_min < math.inf:
            raise DataError(f"pt_min must not be negative, got {self.pt_min}")
        for name in ("phi_slope_max", "z0_max"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise DataError(f"{name} must be above 0, got {getattr(self, name)}")
        if min(self.phi_sectors, self.eta_sectors) < 1:
            raise DataError("phi_sectors and eta_sectors must be at least 1")
        if not 0.0 <= self.sector_overlap <= 1.0:
            raise DataError(f"sector_overlap must lie between 0 and 1, got {self.sector_overlap}")
        for name in ("pt_min", "phi_slope_max", "z0_max", "sector_overlap"):
            object.__setattr__(self, name, float(getattr(self, name)))  # 1 and 1.0 are one key

    def key(self) -> str:
        """Return 12 hexadecimal digits that name these settings, for cache folders."""
        versions = {"format_version": FORMAT_VERSION, "graph_version": GRAPH_VERSION}
        text = json.dumps({**asdict(self), **versions}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
