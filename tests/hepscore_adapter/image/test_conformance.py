"""Runs the cases of ``conformance`` with the entry point as a process on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hepscore_adapter.image.conformance import CASES, Case
from tests.hepscore_adapter.image.process import LineImage


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_entry_point_conforms(case: Case, tmp_path: Path) -> None:
    image, results = LineImage(tmp_path / "image"), tmp_path / "results"
    results.mkdir()
    case(image, results)
    assert list(image.temporary.iterdir()) == []  # C16
