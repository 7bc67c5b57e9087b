"""The folder of a run and its exit codes: what everything that starts runs has to know."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from benchmarks.config import Resolved
from benchmarks.errors import UsageError

FREE_BYTES = 4 << 20  # room that the files of a run need, with some to spare
EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 130, 143


def this_program() -> list[str]:
    """The interpreter with its options and the program, as this process was started, without arguments."""
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]]


def default_folder(resolved: Resolved) -> Path:
    """Where a run goes that nobody gave a folder for."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return Path("results") / f"{resolved.config.workload}-{resolved.preset}-{stamp}"


def check_folder(folder: Path, force: bool) -> bool:
    """Makes the folder; finds out now, not after an hour, whether the result can be written.

    Returns:
        Whether the folder is new.

    Raises:
        UsageError: It cannot be used, or holds a result and ``force`` is not given.
    """
    try:
        made = not folder.exists()
        summaries = sorted(folder.glob("*_summary.json"))
        existing = [path for path in (folder / "result.json", *summaries) if path.exists()]
        if existing and not force:
            raise UsageError(f"{existing[0]} exists; choose another --output or give --force to replace it")
        free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
        if free < FREE_BYTES:
            room = f"{FREE_BYTES >> 20} MiB of free disk, got {free >> 10} KiB"
            raise UsageError(f"--output {folder}: expected {room}")
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--output {folder}: expected a folder to write to, got: {error.strerror}") from None
    return made


def remove_summaries(folder: Path) -> None:
    """From here on, whatever happens to the run, hep-score finds no score that is not its own."""
    for old in folder.glob("*_summary.json"):
        old.unlink()
