"""The forms on the other frameworks, each in a process of its own, and whole runs with them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.backends import REGISTRY
from tests.command import ROOT, environment

FORMS = ("eager", "graph", "xla", "pairs")
MISSING = {
    "jax": {"graph": "JAX has no compiler but XLA"},
    "torch": {
        "graph": "PyTorch's compiler makes no code for complex numbers, and leaves them to eager kernels",
        "xla": "PyTorch itself has no XLA",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", MISSING)
def test_each_form_gives_the_cross_sections_of_a_loop_and_the_gradient_is_right(backend: str) -> None:
    requirement = REGISTRY[backend]
    pytest.importorskip(backend, reason=f"no {requirement.title}: {requirement.install}")
    answer = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.workloads.mellin_dis.frameworks", backend],
        env=environment({}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    assert found["gradient"] < 1e-5
    assert found["forms"].keys() == {*FORMS, *(f"{form}_complex64" for form in FORMS), "gradient"}
    for name, deviation in found["forms"].items():
        reason = MISSING[backend].get(name.removesuffix("_complex64"))
        if reason is not None:
            assert deviation == reason
        else:
            assert deviation < (1e-4 if name.endswith("complex64") else 1e-10), name
