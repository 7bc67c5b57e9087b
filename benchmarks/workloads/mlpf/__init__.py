"""MLPF particle-flow reconstruction on Delphes-like events, as the HEPscore GPU benchmark trains it."""

from benchmarks.workloads.mlpf.config import PRESETS

__all__ = ["PRESETS"]
