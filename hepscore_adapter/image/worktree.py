"""Writes the results folder of an image as hep-workloads do. ``entrypoint`` lists its files."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.errors import RunFailedError
from benchmarks.files import temporary_path, write_json
from benchmarks.result import RunResult, read_result
from hepscore_adapter.image.plan import Plan
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import summary_path, write_summary

ARCHIVE = "archive_processes_logs.tgz"
REPORTS = ("result.json", "version.json", "parser_output.json", "inputs.log", ARCHIVE)


class Worktree:
    """The folder of one run.

    Attributes:
        folder: Path of the folder.
        summary: Path of the summary, which is written last.
        processes: Folders of the copies.
    """

    def __init__(self, folder: Path, workload: str, copies: int) -> None:
        self.folder = folder
        self.summary = summary_path(workload, folder)
        self.processes = [folder / f"proc_{number}" for number in range(1, copies + 1)]
        self._workload = workload
        self._results: list[RunResult] = []

    @classmethod
    def begin(cls, resultsdir: Path, workload: str, plan: Plan, *, straight: bool) -> Worktree:
        """Makes the folders, removes the reports of an earlier run, and writes ``inputs.log``.

        Args:
            resultsdir: Folder of the results, which is made if it is missing.
            workload: Name of the workload.
            plan: What is going to run.
            straight: True for ``resultsdir`` itself, False for a new folder below it.

        Raises:
            RunFailedError: The folder cannot be written.
        """
        with _explain_write_errors(resultsdir):
            resultsdir.mkdir(parents=True, exist_ok=True)
            folder = resultsdir if straight else _new_folder(resultsdir, workload, plan)
            tree = cls(folder, workload, plan.copies)

            # An older report beside a failed run would look like its own.
            for name in REPORTS:
                (folder / name).unlink(missing_ok=True)
            for process in tree.processes:
                process.mkdir(exist_ok=True)

            # The names are those of hep-workloads.
            inputs = {
                "NCOPIES": plan.copies,
                "NTHREADS": plan.threads,
                "NEVENTS_THREAD": "" if plan.events is None else plan.events,
                "EXTRA_ARGS": plan.extra_arguments,
            }
            lines = "".join(f"{key}={value}\n" for key, value in inputs.items())
            (folder / "inputs.log").write_text(lines, encoding="utf-8")
        return tree

    def read_results(self) -> None:
        """Reads what the copies measured.

        Raises:
            OSError, ValueError: A result is missing or cannot be read.
        """
        self._results = [read_result(process / "result.json") for process in self.processes]

    def write_reports(self, plan: Plan, clean: bool) -> None:
        """Writes everything but the summary.

        Args:
            plan: What ran.
            clean: True to remove the folders of the copies once they are in the archive.

        Raises:
            OSError: The folder cannot be written or is full.
        """
        content = self._content(plan)
        report: Mapping[str, Any] = content["report"]
        write_json(self.folder / "version.json", content["app"])
        write_json(
            self.folder / "parser_output.json", {key: report[key] for key in ("wl-scores", "wl-stats")}
        )
        self._close(clean)

    def write_archive(self) -> None:
        """Writes the archive of the copies' folders, whole or not at all.

        Raises:
            OSError: The folder cannot be written or is full.
        """
        temporary = temporary_path(self.folder / ARCHIVE)
        try:
            with tarfile.open(temporary, "x:gz") as archive:
                for process in self.processes:
                    archive.add(process, arcname=process.name)
            temporary.replace(self.folder / ARCHIVE)
        finally:
            temporary.unlink(missing_ok=True)

    def rescue(self, clean: bool) -> None:
        """Writes what a failed run has measured, as far as that can be written.

        Args:
            clean: True to remove the folders of the copies once they are in the archive.
        """
        # Copies that ended well before another one failed have a summary, and a failed run must have none.
        for process in self.processes:
            with suppress(OSError):
                summary_path(self._workload, process).unlink(missing_ok=True)
        with suppress(OSError, ValueError):
            self._close(clean)

    def write_summary(self, plan: Plan) -> None:
        """Writes the scores.

        Raises:
            ValueError: The scores are not what HEPscore needs.
            OSError: The folder cannot be written or is full.
        """
        write_summary(self._results, self.folder, plan.request())

    def _content(self, plan: Plan) -> dict[str, Any]:
        return summary(*self._results, request=plan.request())

    def _close(self, clean: bool) -> None:
        """Writes ``result.json`` of a single copy, and the archive."""
        source = self.processes[0] / "result.json"
        if len(self.processes) == 1 and source.exists():
            write_json(self.folder / "result.json", read_result(source).to_dict())
        self.write_archive()
        if clean:
            for process in self.processes:
                shutil.rmtree(process)


def remove_summary(resultsdir: Path, workload: str) -> None:
    """Removes the summary of an earlier run, before anything can go wrong with the next.

    Args:
        resultsdir: Folder of the results.
        workload: Name of the workload.

    Raises:
        RunFailedError: The folder cannot be written.
    """
    with _explain_write_errors(resultsdir):
        summary_path(workload, resultsdir).unlink(missing_ok=True)


@contextmanager
def _explain_write_errors(resultsdir: Path) -> Iterator[None]:
    """Turns an ``OSError`` of its body into a ``RunFailedError`` that says what to do."""
    try:
        yield
    except OSError as error:
        raise RunFailedError(
            f"expected a folder to write to, {resultsdir}, got: {error.strerror}; "
            "mount one there or name another with -w"
        ) from None


def _new_folder(parent: Path, workload: str, plan: Plan) -> Path:
    """Makes a folder with a name of its own, as hep-workloads do without ``-W``."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"{workload}-c{plan.copies}-t{plan.threads}-{stamp}-"
    folder = Path(tempfile.mkdtemp(prefix=name, dir=parent))
    folder.chmod(0o755)  # mkdtemp leaves it to its owner alone, and results are for others to read
    return folder
