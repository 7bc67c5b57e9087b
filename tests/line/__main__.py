"""The ``hepbench`` command with the line among its workloads: python -m tests.line run line ..."""

import os
import sys

import pytest

from benchmarks.cli import main
from tests.line import register

RANK = os.environ.get("HOROVOD_RANK", os.environ.get("SLURM_PROCID"))
if "LINE_FAILS" in os.environ and os.environ["LINE_FAILS"] == RANK:
    sys.exit("no such device")  # a rank that does not even start
register(pytest.MonkeyPatch())
main()
