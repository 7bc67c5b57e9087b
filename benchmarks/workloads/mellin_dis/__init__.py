"""Cross sections of deep-inelastic scattering in Mellin space, as fits of partons evaluate them."""

from benchmarks.workloads.mellin_dis.config import PRESETS

__all__ = ["PRESETS"]
