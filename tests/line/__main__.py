"""The ``hepbench`` command with the line among its workloads: python -m tests.line run line ..."""

import pytest

from benchmarks.cli import main
from tests.line import register

register(pytest.MonkeyPatch())
main()
