"""Inference as a service with ProtoDUNE's network for patches of liquid-argon images."""

from benchmarks.workloads.emtrkmichelid.config import PRESETS

__all__ = ["PRESETS"]
