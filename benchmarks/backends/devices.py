"""What the driver says of the device, where the framework does not."""

from __future__ import annotations

from benchmarks.machine import nvml


def gpu_memory_bytes() -> int | None:
    """Returns the memory of the first visible GPU, in bytes. None if the driver does not say."""
    for handle in nvml.visible_handles().values():
        memory = nvml.read("nvmlDeviceGetMemoryInfo", handle)
        if memory is not None:
            return int(memory.total)
    return None
