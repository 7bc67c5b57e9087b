"""The ``hepbench`` command with the squares among its workloads: python -m tests.squares run squares ..."""

import pytest

from benchmarks.cli import main
from tests.squares import register

# The processes of a kernel import this module, too, and are not to run the command once more.
if __name__ == "__main__":
    register(pytest.MonkeyPatch())
    main()
