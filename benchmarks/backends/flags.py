"""Flags of a framework in a variable of the environment, which abort the process if one is unknown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from benchmarks.errors import UsageError


def try_flags(variable: str, framework: str, program: str) -> None:
    """Lets another process try the flags of a variable, because unknown ones abort whoever reads them.

    Args:
        variable: Name of the variable. Nothing is tried where it is not set.
        framework: Who reads the flags.
        program: Python code that makes the framework read them.

    Raises:
        UsageError: The process aborted.
    """
    if not os.environ.get(variable):
        return
    # The flags are the same without a GPU, whose memory this process would take.
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        check=False,
    )
    if answer.returncode == -signal.SIGABRT:
        lines = answer.stderr.decode(errors="replace").strip().splitlines() or ["it aborts"]
        raise UsageError(f"{variable}: {framework} refuses it: {lines[-1].rpartition('] ')[2]}")
