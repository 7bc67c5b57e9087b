"""Draining and threads of JAX, in a process of its own, because Keras has one backend in a process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.backends import REGISTRY
from tests.command import ROOT, environment

pytest.importorskip("jax", reason=f"no JAX: {REGISTRY['jax'].install}")

# A prediction of a second or so, of which JAX returns at once, before it is computed.
PROGRAM = """
import dataclasses
import os
from types import SimpleNamespace

import jax
import numpy as np

from benchmarks import backends
from benchmarks.timing import EpochTimer
from benchmarks.workloads.mlpf.config import PRESETS

backend = backends.load("jax")
backend.configure(dataclasses.replace(PRESETS["smoke"], backend="jax", threads=1))

def call(weights, constants, inputs, training):
    return jax.lax.fori_loop(0, 200, lambda _, x: x @ inputs / 1000.0, inputs), None

model = SimpleNamespace(trainable_variables=[], non_trainable_variables=[], stateless_call=call)
predict = backend.predict_step(model, xla=True)
inputs = backend.put(np.ones((1000, 1000), np.float32))
predict(inputs)
backend.drain()

result = predict(inputs)
before = result.is_ready()
backend.drain()
print(before, result.is_ready())
del result

predict(inputs)  # as in a pass over events, which keeps no prediction
kept = backend._under_way[0]
backend.drain()
print(kept.is_ready(), backend._under_way)
"""


@pytest.mark.slow
def test_draining_waits_for_a_step_that_runs_on_its_own() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment({}),
        timeout=300,
    )
    assert answer.stdout.splitlines() == ["False True", "True []"], answer.stderr
