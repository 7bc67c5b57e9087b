"""Sums and maxima of sorted segments on every backend, by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.backends import REGISTRY
from tests.command import ROOT, environment

# Rows 1, 2 | none | 4 | 8, 16 of two columns, of which the second is the first, negative.
PROGRAM = """
import sys

import numpy as np

from benchmarks import backends, operations

backend = backends.load(sys.argv[1])
values = np.array([1, 2, 4, 8, 16], np.float32)
values = backend.put(np.stack([values, -values], axis=1))
ids = backend.put(np.array([0, 0, 2, 3, 3], np.int32))
for fixed in (False, True):
    sums, largest = (operations.reduce_segments(values, ids, 4, how, fixed) for how in ("sum", "max"))
    print(backend.fetch(sums).tolist(), backend.fetch(largest)[[0, 2, 3]].tolist())
"""
LINE = "[[3.0, -3.0], [0.0, 0.0], [4.0, -4.0], [24.0, -24.0]] [[2.0, -1.0], [4.0, -4.0], [16.0, -8.0]]\n"


@pytest.mark.slow
@pytest.mark.parametrize("backend", REGISTRY)
def test_segments_are_summed_and_searched_for_the_largest(backend: str) -> None:
    requirement = REGISTRY[backend]
    pytest.importorskip(backend, reason=f"no {requirement.title}: {requirement.install}")
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend],
        env=environment({}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == 2 * LINE, answer.stderr
