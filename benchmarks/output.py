"""The folder of a run, the options that go with it, and exit codes, for every program that starts runs."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UsageError
from benchmarks.resolution import Resolved

FREE_BYTES = 4 << 20  # room that the files of a run need, with some to spare
EXIT_FAILED = 1


@dataclass(frozen=True)
class RunOptions:
    """Options of a call that say where its results go and what it prints, and nothing about what it measures.

    Attributes:
        output: Folder of the results, or None for a folder with the time in its name.
        force: Replace results that exist.
        quiet: Print nothing but one line for each run that did not end well.
        debug: Print tracebacks and the framework's own messages, too.
    """

    output: Path | None = None
    force: bool = False
    quiet: bool = False
    debug: bool = False

    def folder(self, resolved: Resolved) -> Path:
        """Returns ``output``, or the default folder for a configuration, whose name has the time in it."""
        if self.output is not None:
            return self.output
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return Path("results") / f"{resolved.config.workload}-{resolved.preset}-{stamp}"

    def switches(self) -> list[str]:
        """Returns the options but ``--output`` as arguments of ``hepbench run``."""
        values = {"--force": self.force, "--quiet": self.quiet, "--debug": self.debug}
        return [switch for switch, is_on in values.items() if is_on]


def this_program() -> list[str]:
    """Returns the interpreter, its options and the program of this process, without its arguments."""
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]]


@contextmanager
def output_folder(options: RunOptions, resolved: Resolved) -> Iterator[Path]:
    """Gives the folder of a run or of several, after the checks of ``check_folder``.

    Without ``--output``, the folder is a new one also if another run starts in the same second.

    Args:
        options: Options of the call.
        resolved: What is run.

    Yields:
        The folder. If it is new and still empty on leaving the context, it is removed.

    Raises:
        UsageError: As from ``check_folder``.
    """
    folder, is_new = options.folder(resolved), False
    if options.output is None:
        folder = _new_folder(folder)
        is_new = folder.exists()
    is_new = check_folder(folder, options.force) or is_new
    try:
        yield folder
    finally:
        if is_new:
            with suppress(OSError):  # it holds results, or another process is quicker
                folder.resolve().rmdir()


def _new_folder(folder: Path) -> Path:
    """Makes a folder that nobody else has made, with a number behind its name if need be.

    Returns:
        The folder. It is not there if it cannot be made, and ``check_folder`` says why.
    """
    with suppress(OSError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
            with suppress(FileExistsError):
                candidate.mkdir()
                return candidate
    return folder


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Keeps other runs out of a folder in the ``with`` block.

    The lock ends with the process in every case. A file system without such locks keeps nobody out.

    Raises:
        UsageError: Another run is writing to the folder.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(f"--output {folder}: another run is writing to it; choose another folder") from None
    except OSError:  # no locks, or none of folders as on NFS
        pass
    try:
        yield
    finally:
        os.close(descriptor)


def check_folder(folder: Path, force: bool) -> bool:
    """Makes the folder of a run and checks, before the run and not after it, that results can go there.

    Args:
        folder: Folder of the results.
        force: Whether results that exist may be replaced.

    Returns:
        Whether the folder is new.

    Raises:
        UsageError: The folder cannot be used, is in use, or holds a result and ``force`` is not given.
    """
    try:
        # A link may lead to a folder that is not there yet.
        folder = folder.resolve() if folder.is_symlink() else folder
        is_new = not folder.exists()

        # A summary without a result counts, too, because hep-score would read it.
        summaries = sorted(folder.glob("*_summary.json"))
        existing = [path for path in (folder / "result.json", *summaries) if path.exists()]
        if existing and not force:
            raise UsageError(f"{existing[0]} exists; choose another --output or give --force to replace it")

        # The disk is that of the nearest folder that exists.
        free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
        if free < FREE_BYTES:
            room = f"{FREE_BYTES >> 20} MiB of free disk, got {free >> 10} KiB"
            raise UsageError(f"--output {folder}: expected {room}")

        # Only a file that is written shows whether the folder takes one.
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink(missing_ok=True)  # another run may be at the same place
        with locked_folder(folder):
            pass
    except OSError as error:
        raise UsageError(f"--output {folder}: expected a folder to write to, got: {error.strerror}") from None
    except RuntimeError as error:  # a link that leads to itself
        raise UsageError(f"--output {folder}: expected a folder to write to, got: {error}") from None
    return is_new


def remove_summaries(folder: Path) -> None:
    """Removes the summaries of earlier runs, so that hep-score takes none of them for that of this run."""
    for path in folder.glob("*_summary.json"):
        path.unlink()
