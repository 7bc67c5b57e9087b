"""Measures the ceilings of the device in one framework, in a process of its own.

    python -m benchmarks.gpu_check.ceilings BACKEND WORKLOAD

Prints JSON: ``device``, ``versions``, ``product`` (operations per second by precision) and ``copy`` (bytes
per second).
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from benchmarks import backends, workload
from benchmarks.gpu_check.check import PRECISIONS, PRESETS
from benchmarks.machine.cgroup import usable_cores

# Rows of the matrices and bytes of the array: large for a GPU, and a moment's work for a CPU.
SIZES = {"gpu": (8192, 1 << 30), "cpu": (1024, 1 << 26)}


def main(name: str, workload_name: str) -> None:
    """Prints the ceilings.

    Args:
        name: The backend.
        workload_name: A workload, whose preset has the settings of the framework.
    """
    backend = backends.load(name)
    device = backend.device()
    from benchmarks.backends.ceilings import copy_rate, product_rate  # Keras needs to know its backend

    config = dataclasses.replace(
        workload.presets(workload_name)[PRESETS[device]], backend=name, threads=usable_cores()
    )
    config = backends.restrict(config, 1).with_auto_resolved(device, None)
    xla, (size, array_bytes) = config.xla == "on", SIZES[device]

    # The setting of TF32 decides about float32 products, and so each precision has its own configuration.
    products = {}
    for precision, settings in PRECISIONS.items():
        change: dict[str, Any] = dict(settings)
        backend.configure(dataclasses.replace(config, **change))
        dtype = "bfloat16" if precision == "bfloat16" else "float32"
        products[precision] = product_rate(backend, xla, dtype, size)
    result = {
        "device": device,
        "versions": dict(backend.versions()),
        "matrix_size": size,
        "copied_bytes": array_bytes,
        "product": products,
        "copy": copy_rate(backend, xla, array_bytes),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
