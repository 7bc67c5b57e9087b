"""What backends need and cannot do, without their frameworks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from benchmarks import backends
from benchmarks.config import BACKENDS
from benchmarks.errors import UsageError
from benchmarks.workloads.mellin_dis.config import PRESETS as KERNELS
from benchmarks.workloads.mlpf.config import PRESETS
from tests.command import ROOT, environment

KERNEL = KERNELS["smoke"]


def config(**changes: str) -> object:
    return dataclasses.replace(PRESETS["smoke"], **changes)


def test_the_configuration_takes_every_backend() -> None:
    assert tuple(backends.REGISTRY) == BACKENDS


def test_each_says_which_version_and_how_to_install_it() -> None:
    assert [requirement.describe() for requirement in backends.REGISTRY.values()] == [
        "TensorFlow 2.16 or newer: pip install '.[cpu]' or '.[gpu]'",
        "JAX 0.10 or newer: pip install '.[jax]' or '.[jax-gpu]'",
        "PyTorch 2.11 or newer: pip install '.[torch]'",
    ]


@pytest.mark.parametrize(("backend", "xla"), [("tensorflow", "auto"), ("jax", "on"), ("torch", "off")])
def test_a_key_with_one_value_has_it(backend: str, xla: str) -> None:
    assert backends.restrict(config(backend=backend), 1) == config(backend=backend, xla=xla)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"backend": "jax", "xla": "off"},
            "xla: expected on with backend jax, which cannot have another, got off",
        ),
        (
            {"backend": "torch", "precision": "float64"},
            "precision: expected float32 or mixed_bfloat16 or mixed_float16 with backend torch, "
            "which cannot have another, got float64",
        ),
    ],
)
def test_what_a_backend_cannot_have_is_refused_by_name(changes: dict[str, str], line: str) -> None:
    with pytest.raises(UsageError) as refusal:
        backends.restrict(config(**changes), 1)
    assert str(refusal.value) == line


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kernel_computes_in_float64_on_every_backend(backend: str) -> None:
    config = backends.restrict(dataclasses.replace(KERNEL, backend=backend), 1)
    assert config.precision == "float64"


@pytest.mark.parametrize(
    ("backend", "compiler", "reason"),
    [
        ("tensorflow", "graph", ""),
        ("tensorflow", "xla", ""),
        ("jax", "xla", ""),
        ("jax", "graph", "JAX has no compiler but XLA"),
        ("torch", "", ""),
        ("torch", "xla", "PyTorch itself has no XLA"),
    ],
)
def test_a_backend_says_why_it_lacks_a_compiler(backend: str, compiler: str, reason: str) -> None:
    assert backends.missing_compiler(backend, compiler) == reason


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_several_ranks_are_refused(backend: str) -> None:
    with pytest.raises(UsageError) as refusal:
        backends.restrict(config(backend=backend), 2)
    assert str(refusal.value) == (
        f"2 ranks: expected one with backend {backend}, which cannot train in several processes yet; "
        "take --backend tensorflow"
    )
    assert backends.restrict(config(), 2) == config()


# The sum of w x^2 at x = (1, 2, 3) with w = (1, 10, 100) is 941, and its gradient 2 w x.
GRADIENT = """
import sys

import numpy as np

from benchmarks import backends

backend = backends.load(sys.argv[1])
from keras import ops  # which reads the backend's name when it is loaded

function = backend.value_and_gradient(lambda x, w: ops.sum(w * x * x), xla=sys.argv[1] == "jax")
arrays = np.array([[1, 2, 3], [1, 10, 100]], np.float32)
value, gradient = function(backend.put(arrays[0]), backend.put(arrays[1]))
backend.drain()
print(float(backend.fetch(value)), backend.fetch(gradient).tolist())
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", backends.REGISTRY)
def test_a_value_comes_with_its_gradient_by_the_first_argument(backend: str) -> None:
    requirement = backends.REGISTRY[backend]
    pytest.importorskip(backend, reason=f"no {requirement.title}: {requirement.install}")
    answer = subprocess.run(
        [sys.executable, "-c", GRADIENT, backend],
        env=environment({}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "941.0 [2.0, 40.0, 600.0]\n", answer.stderr
