"""The implementations that are compared: functions from moments to cross sections of fixed events.

All but the kernel matrix do the same operations in the same order. They differ in how many events an
operation works on, and in what carries it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, cast

import numpy as np

from benchmarks.workload import Implementation
from benchmarks.workloads.mellin_dis.cross_section import TARGETS, Theory
from benchmarks.workloads.mellin_dis.ensembles import CHUNK, in_chunks
from benchmarks.workloads.mellin_dis.kernel_matrix import MOMENTS, make_matrix, multiply

# From the moments of several inputs, (inputs, 5, nodes), to cross sections, (inputs, 2, events).
Calculation = Callable[[np.ndarray], np.ndarray]
# Of theory, x, Q2 and the framework's runtime, which is None for all that needs none.
Factory = Callable[[Theory, np.ndarray, np.ndarray, Any], Calculation]

GRADIENT = "gradient"
NODES = 136
ARRAYS = 15  # complex arrays of (events, nodes) that exist at the same time, at most
PASSES = 130  # such arrays that the operations on an event read or write
# Of an event at one node: four complex exponentials of 76 operations each, and 153 multiplications and
# additions.
OPERATIONS = 4 * 76 + 153
MATRIX_INPUTS = 64  # that the kernel matrix is multiplied by at once
_EVENT_BYTES = 200  # numbers of an event that are not at nodes: kinematics, pseudo-data, loss


def _loop(theory: Theory, x: np.ndarray, q2: np.ndarray, _backend: Any) -> Calculation:
    def calculate(moments: np.ndarray) -> np.ndarray:
        values = np.empty((len(moments), len(TARGETS), len(x)))
        for index, modes in enumerate(map(theory.modes, moments)):
            for event in range(len(x)):
                values[index, :, event] = theory.cross_sections(x[event], q2[event], modes)
        return values

    return calculate


def _vectorised(theory: Theory, x: np.ndarray, q2: np.ndarray, _backend: Any) -> Calculation:
    return lambda moments: np.stack([theory.cross_sections(x, q2, theory.modes(item)) for item in moments])


def _chunked(theory: Theory, x: np.ndarray, q2: np.ndarray, _backend: Any) -> Calculation:
    return lambda moments: np.stack([in_chunks(theory, x, q2, theory.modes(item)) for item in moments])


def _compiled(theory: Theory, x: np.ndarray, q2: np.ndarray, _backend: Any) -> Calculation:
    from benchmarks.workloads.mellin_dis.compiled import CompiledCrossSections

    cross_sections = CompiledCrossSections(theory, x, q2)
    return lambda moments: np.stack([cross_sections(theory.modes(item)) for item in moments])


def _kernel_matrix(theory: Theory, x: np.ndarray, q2: np.ndarray, _backend: Any) -> Calculation:
    matrix = make_matrix(theory, x, q2)
    return lambda moments: multiply(matrix, moments)


def _by_backend(dtype: str, compiler: str = "", in_pairs: bool = False) -> Factory:
    def make(theory: Theory, x: np.ndarray, q2: np.ndarray, backend: Any) -> Calculation:
        from benchmarks.workloads.mellin_dis.tensors import make_calculation

        return cast(Calculation, make_calculation(theory, x, q2, backend, dtype, compiler, in_pairs))

    return make


FACTORIES: Mapping[str, Factory] = {
    "loop": _loop,
    "vectorised": _vectorised,
    "chunked": _chunked,
    "compiled": _compiled,
    "eager": _by_backend("complex128"),
    "eager_complex64": _by_backend("complex64"),
    "graph": _by_backend("complex128", "graph"),
    "graph_complex64": _by_backend("complex64", "graph"),
    "xla": _by_backend("complex128", "xla"),
    "xla_complex64": _by_backend("complex64", "xla"),
    # By XLA, or by the framework's own compiler where there is no XLA.
    "pairs": _by_backend("complex128", "xla", in_pairs=True),
    "pairs_complex64": _by_backend("complex64", "xla", in_pairs=True),
    GRADIENT: _by_backend("complex128"),  # its cross sections; see the workload
    "kernel_matrix": _kernel_matrix,
}

_ARRAY_BYTES = 16 * NODES  # of one event in a complex array
_MATRIX_BYTES = len(TARGETS) * 2 * MOMENTS * NODES * 8  # of one event in the kernel matrix
_SAME = "the same operations"
_COMPILED = {
    "eager": "one operation after the other",
    "graph": "compiled by the framework",
    "xla": "compiled by XLA",
    "pairs": "as pairs of real numbers, compiled by XLA, or by the framework where it has no XLA",
}


def _of_framework(name: str, dtype: str) -> Implementation:
    """Returns a form in ``keras.ops``, by its name in ``_COMPILED`` and the numbers that it works on."""
    parts = 2 if dtype == "complex64" else 1
    is_fused = name in ("xla", "pairs")
    arrays = ARRAYS if is_fused else 2 * ARRAYS
    return Implementation(
        description=f"keras.ops in {dtype}, {_COMPILED[name]}",
        algorithm=_SAME,
        expected_bytes=lambda events: (arrays * _ARRAY_BYTES // parts + _EVENT_BYTES) * events,
        operations_per_event=float(OPERATIONS * NODES),
        number="float32" if dtype == "complex64" else "float64",
        bytes_per_event=0.0 if is_fused else PASSES * _ARRAY_BYTES / parts,
        tolerance=1e-4 if dtype == "complex64" else 5e-9,
        needs_backend=True,
        compiler=name if name in ("graph", "xla") else "",
    )


def implementations() -> Mapping[str, Implementation]:
    """Returns what there is to compare, by name, with what each is expected to take."""
    operations = float(OPERATIONS * NODES)
    return {
        "loop": Implementation(
            description="NumPy, one event at a time",
            algorithm=_SAME,
            expected_bytes=lambda events: ARRAYS * _ARRAY_BYTES + _EVENT_BYTES * events,
            operations_per_event=operations,
        ),
        "vectorised": Implementation(
            description="NumPy, all events at once",
            algorithm=_SAME,
            expected_bytes=lambda events: (ARRAYS * _ARRAY_BYTES + _EVENT_BYTES) * events,
            operations_per_event=operations,
            bytes_per_event=float(PASSES * _ARRAY_BYTES),
        ),
        "chunked": Implementation(
            description=f"NumPy, {CHUNK} events at a time, whose arrays stay in the cache",
            algorithm=_SAME,
            expected_bytes=lambda events: ARRAYS * _ARRAY_BYTES * min(CHUNK, events) + _EVENT_BYTES * events,
            operations_per_event=operations,
        ),
        "compiled": Implementation(
            description="Numba, node by node in vector registers",
            algorithm=_SAME,
            expected_bytes=lambda events: 2 * _EVENT_BYTES * events,
            operations_per_event=operations,
            missing="" if find_spec("numba") else "Numba is not installed; pip install '.[kernels]'",
        ),
        **{
            f"{name}{suffix}": _of_framework(name, dtype)
            for name in ("eager", "graph", "xla", "pairs")
            for suffix, dtype in (("", "complex128"), ("_complex64", "complex64"))
        },
        GRADIENT: Implementation(
            description="keras.ops in complex128, value and gradient of the loss, by XLA where there is XLA",
            algorithm="the same operations and their derivatives",
            expected_bytes=lambda events: (2 * ARRAYS * _ARRAY_BYTES + _EVENT_BYTES) * events,
            operations_per_event=3 * operations,
            needs_backend=True,
        ),
        "kernel_matrix": Implementation(
            description=f"NumPy, a matrix made once for the events, times {MATRIX_INPUTS} ensembles at once",
            algorithm="a different algorithm: one product of matrices",
            ensembles_per_call=MATRIX_INPUTS,
            expected_bytes=lambda events: (
                _MATRIX_BYTES * events
                + 2 * ARRAYS * _ARRAY_BYTES * min(CHUNK, events)
                + (MATRIX_INPUTS * len(TARGETS) * 8 + _EVENT_BYTES) * events
            ),
            operations_per_event=2.0 * len(TARGETS) * 2 * MOMENTS * NODES,
            bytes_per_event=_MATRIX_BYTES / MATRIX_INPUTS,
        ),
    }
