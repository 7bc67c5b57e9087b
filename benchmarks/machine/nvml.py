"""NVIDIA's management library: the GPUs of this node, without a CUDA context."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import Any

# What an entry of ``CUDA_VISIBLE_DEVICES`` may begin with: a number, or the identifier of a GPU or MIG slice.
_ENTRY = re.compile(r"(?P<number>\+?\d+)|(?P<prefix>GPU-|MIG-).*")


@functools.cache
def unavailable() -> str:
    """Starts the library, once; returns why there are no GPUs to ask, or an empty text if there may be."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return str(error)
    return ""


def handles() -> dict[int, Any]:
    """Returns the GPUs of this node that answer, by NVML index; none without a driver."""
    return _examine()[0]


def faults() -> list[str]:
    """Returns a line such as ``GPU 1: GPU is lost`` for each GPU of this node that does not answer."""
    return _examine()[1]


def _examine() -> tuple[dict[int, Any], list[str]]:
    """Returns the GPUs that answer, and a line for each one that does not."""
    import pynvml

    if unavailable():
        return {}, []
    try:
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        return {}, [f"number of GPUs: {error}"]
    gpus, lines = {}, []
    for index in range(count):
        try:
            gpus[index] = pynvml.nvmlDeviceGetHandleByIndex(index)
        except pynvml.NVMLError as error:  # fallen off the bus, not permitted, or broken otherwise
            lines.append(f"GPU {index}: {error}")
    return gpus, lines


def read(function: str, *arguments: Any) -> Any | None:
    """Calls one NVML function; returns None where this GPU, driver or user cannot have the answer."""
    answer, _ = ask(function, *arguments)
    return answer


def ask(function: str, *arguments: Any) -> tuple[Any | None, str]:
    """Calls one NVML function; returns its answer, or None and why this GPU, driver or user has none."""
    import pynvml

    if not hasattr(pynvml, function):
        return None, f"{function}: not in this version of nvidia-ml-py"
    try:
        return getattr(pynvml, function)(*arguments), ""
    except pynvml.NVMLError as error:
        return None, str(error)


def is_partitioned(gpu: Any) -> bool:
    """Returns whether a handle is a MIG slice or a GPU in MIG mode.

    The driver's power, energy and utilisation are then those of the whole GPU, on which others may compute.
    """
    mode = read("nvmlDeviceGetMigMode", gpu)
    return bool(mode and mode[0]) or bool(read("nvmlDeviceIsMigDeviceHandle", gpu))


def listed_devices(visible: str) -> list[str]:
    """Reads the text of ``CUDA_VISIBLE_DEVICES`` as CUDA does, without asking which devices exist.

    CUDA stops at the first entry that is no device (blank, negative, a word) or of another kind than the
    first one. It reads a number as far as the digits go, and takes a device that stands there twice as an
    error that leaves none.

    Returns:
        Numbers, or identifiers of GPUs, or identifiers of MIG slices; never a mixture.
    """
    devices: list[str] = []
    kinds: set[str | None] = set()
    for match in (_ENTRY.match(entry.strip()) for entry in visible.split(",")):
        if match is None or len(kinds | {match["prefix"]}) > 1:
            break
        kinds.add(match["prefix"])
        devices.append(str(int(match["number"])) if match["number"] else match[0])
    return devices if len(set(devices)) == len(devices) else []


def selected(gpus: Mapping[int, Any], visible: str | None) -> dict[int, Any]:
    """Returns the devices that a ``CUDA_VISIBLE_DEVICES`` of ``visible`` leaves, in CUDA's order.

    An index means the same GPU here and in CUDA, because the backends set ``CUDA_DEVICE_ORDER=PCI_BUS_ID``
    unless the environment has another value: NVML counts by bus, too.

    A process can use one MIG slice, whose handle then stands under the index of its GPU. A GPU in MIG mode
    that is selected as a whole counts as its first slice. Where the driver does not list the slices, the
    handle is that of the first GPU in MIG mode.

    Args:
        gpus: NVML handles by index.
        visible: The variable's text; None where it is not set, which leaves all GPUs.

    Returns:
        Handles of GPUs or of one MIG slice, by the GPU's NVML index.
    """
    if visible is None:
        return {index: next(iter(_slices(gpu)), gpu) for index, gpu in gpus.items()}
    devices = listed_devices(visible)
    if devices and devices[0].startswith("MIG-"):
        slices = [(index, part) for index, gpu in gpus.items() for part in _slices(gpu)]
        if not slices:
            return dict([(index, gpu) for index, gpu in gpus.items() if is_partitioned(gpu)][:1])
        return dict(_identified(slices, devices[0]))
    chosen: dict[int, Any] = {}
    for device in devices:
        matching = (
            _identified(list(gpus.items()), device)
            if device.startswith("GPU-")
            else [(index, gpu) for index, gpu in gpus.items() if device == str(index)]
        )
        if not matching:
            break  # CUDA, too, ignores everything after the first entry that names no GPU.
        index, gpu = matching[0]
        if index in chosen:
            return {}
        chosen[index] = next(iter(_slices(gpu)), gpu)
    return chosen


def assignable_devices() -> list[str]:
    """Returns the devices that may be given to processes, one or more to each, as CUDA names them.

    Unlike ``visible_handles``, which has what one process can use, this has each slice of a GPU in MIG mode.
    """
    gpus, visible = handles(), os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = None if visible is None else listed_devices(visible)
    if devices and devices[0].startswith("MIG-"):
        return [device for device in devices if selected(gpus, device)]
    if devices is None:
        parts = [(index, part) for index, gpu in gpus.items() for part in _slices(gpu) or [gpu]]
    else:
        parts = list(selected(gpus, visible).items())
    return [str(read("nvmlDeviceGetUUID", part) or index) for index, part in parts]


def _identified(devices: list[tuple[int, Any]], prefix: str) -> list[tuple[int, Any]]:
    """Returns the one device whose identifier begins with a text; none where several do, as in CUDA."""
    matching = [
        (index, device)
        for index, device in devices
        if str(read("nvmlDeviceGetUUID", device)).startswith(prefix)
    ]
    return matching if len(matching) == 1 else []


def _slices(gpu: Any) -> list[Any]:
    """Returns the handles of the MIG slices into which a GPU is divided."""
    most = read("nvmlDeviceGetMaxMigDeviceCount", gpu) or 0
    slices = (read("nvmlDeviceGetMigDeviceHandleByIndex", gpu, index) for index in range(most))
    return [handle for handle in slices if handle is not None]


def visible_handles() -> dict[int, Any]:
    """Returns the devices that this process's CUDA may use, by the NVML index of their GPU."""
    return selected(handles(), os.environ.get("CUDA_VISIBLE_DEVICES"))
