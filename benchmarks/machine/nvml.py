"""NVIDIA's management library: the GPUs of this node, without a CUDA context."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any


@functools.cache
def unavailable() -> str:
    """Starts the library, once; why there are no GPUs to ask, or an empty text when there may be."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return str(error)
    return ""


def handles() -> dict[int, Any]:
    """The GPUs of this node by NVML index; empty without a driver."""
    import pynvml

    if unavailable():
        return {}
    return {index: pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())}


def read(function: str, *arguments: Any) -> Any | None:
    """Calls one NVML function; None where this GPU, driver or user cannot have the answer."""
    import pynvml

    try:
        return getattr(pynvml, function)(*arguments)
    except pynvml.NVMLError:
        return None


def selected(gpus: Mapping[int, Any], visible: str | None) -> dict[int, Any]:
    """The GPUs that a ``CUDA_VISIBLE_DEVICES`` of ``visible`` leaves; all of them for None.

    CUDA numbers the GPUs of a mixed node fastest first unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID``; NVML
    always goes by bus, so on such a node an index may mean another GPU. An identifier never does. A MIG
    slice is no GPU here: NVML has neither power nor utilisation for it.
    """
    if visible is None:
        return dict(gpus)
    chosen = {}
    for entry in (part.strip() for part in visible.split(",")):
        matching = [
            index
            for index, gpu in gpus.items()
            if entry == str(index) or (entry and str(read("nvmlDeviceGetUUID", gpu)).startswith(entry))
        ]
        if not matching:
            break  # CUDA, too, ignores everything after the first entry that names no GPU.
        chosen.update({index: gpus[index] for index in matching[:1]})
    return chosen


def visible_handles() -> dict[int, Any]:
    """The GPUs that this process's CUDA may use, by NVML index."""
    return selected(handles(), os.environ.get("CUDA_VISIBLE_DEVICES"))
