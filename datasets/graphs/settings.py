"""Settings of a graph data set."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass

from datasets.errors import DataError
from datasets.store import FORMAT_VERSION
from datasets.trackml.layers import DETECTORS

GRAPH_VERSION = 2
"""Version of the construction, raised when equal settings begin to give different graphs or manifests."""


@dataclass(frozen=True)
class GraphSettings:
    """Settings of the way from hits to graphs. Equal settings give equal graphs.

    Args:
        detector: Part of the detector: "barrel" for its ten layers, or "full".
        pt_min: Smallest pt of particles of interest, GeV.
        idealised: Whether noise and the hits of particles below ``pt_min`` are left out, and one hit per
            particle and layer is used.
        phi_slope_max: Upper limit of |dphi / dr| of a doublet, 1/mm.
        z0_max: Upper limit of |z0| of a doublet, mm.
        phi_sectors: Number of sectors in phi that an event is cut into.
        eta_sectors: Number of sectors in eta.
        sector_overlap: Reach of a sector into each of its neighbours, in widths of a sector.
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
        """Returns 12 hexadecimal digits that name these settings, for cache folders."""
        versions = {"format_version": FORMAT_VERSION, "graph_version": GRAPH_VERSION}
        text = json.dumps({**asdict(self), **versions}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
