"""Runs the program of an image whose workload is the line: ``python -m tests.line.entrypoint -W ...``."""

import os
import sys

import pytest

from hepscore_adapter.image import copies
from hepscore_adapter.image.entrypoint import main
from tests.line import register

with pytest.MonkeyPatch.context() as patch:
    register(patch)
    stand_in = os.environ.get("STAND_IN")  # a program to run in place of `hepbench run`
    patch.setattr(copies, "HEPBENCH", (sys.executable, *([stand_in] if stand_in else ["-m", "tests.line"])))
    main()
