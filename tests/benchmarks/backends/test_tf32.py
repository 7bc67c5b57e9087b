"""The key ``tf32`` reaches every framework, which otherwise has a default of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.command import ROOT

# What each framework says of itself.
QUESTIONS = {
    "tensorflow": (
        "from tensorflow import config;print(config.experimental.tensor_float_32_execution_enabled())"
    ),
    "jax": "import jax; print(jax.config.jax_default_matmul_precision)",
    "torch": "import torch; print(torch.backends.cuda.matmul.fp32_precision)",
}
ANSWERS = {
    "tensorflow": ["False", "True"],
    "jax": ["highest", "tensorfloat32"],
    "torch": ["ieee", "tf32"],
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", QUESTIONS)
def test_every_framework_rounds_only_if_told_to(backend: str) -> None:
    for value, answer in zip(("off", "on"), ANSWERS[backend], strict=True):
        code = (
            "import dataclasses; from benchmarks import backends;"
            "from benchmarks.workloads.mlpf.config import PRESETS;"
            f"config = dataclasses.replace(PRESETS['smoke'], threads=1, tf32={value!r});"
            f"backends.load({backend!r}).configure(config.with_auto_resolved('cpu', None));"
            f"{QUESTIONS[backend]}"
        )
        call = [sys.executable, "-c", code]
        run = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, check=False)
        if "cannot be imported" in run.stderr:
            pytest.skip(f"no {backend}: it is not installed")
        assert (run.returncode, run.stdout.split()) == (0, [answer]), run.stderr
