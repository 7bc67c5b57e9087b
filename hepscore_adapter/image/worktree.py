"""The results folder of an image, as hep-workloads leave it; ``entrypoint`` lists its files."""

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
from benchmarks.result import RunResult, read_result, write_json
from hepscore_adapter.image.plan import Load
from hepscore_adapter.summary import summary
from hepscore_adapter.validate import summary_path, write_summary

ARCHIVE = "archive_processes_logs.tgz"
REPORTS = ("result.json", "version.json", "parser_output.json", "inputs.log", ARCHIVE)


class Worktree:
    """One run's folder.

    Attributes:
        folder: Where its files lie.
        summary: Where the scores will be.
        processes: A folder for each copy.
    """

    def __init__(self, folder: Path, workload: str, copies: int) -> None:
        self.folder = folder
        self.summary = summary_path(workload, folder)
        self.processes = [folder / f"proc_{number}" for number in range(1, copies + 1)]
        self._workload = workload
        self._results: list[RunResult] = []

    @classmethod
    def begin(cls, resultsdir: Path, workload: str, load: Load, *, straight: bool) -> Worktree:
        """Makes the folders, removes what an earlier run left in them, and writes down what was asked.

        Args:
            resultsdir: Where the results go; made if it is missing.
            workload: Its name.
            load: What is to run.
            straight: Into ``resultsdir`` itself, not into a new folder below it.

        Raises:
            RunFailedError: The folder cannot be written.
        """
        with _expecting_to_write(resultsdir):
            resultsdir.mkdir(parents=True, exist_ok=True)
            folder = resultsdir if straight else _new_folder(resultsdir, workload, load)
            tree = cls(folder, workload, load.copies)
            for name in REPORTS:
                (folder / name).unlink(missing_ok=True)
            for process in tree.processes:
                process.mkdir(exist_ok=True)
            asked = {
                "NCOPIES": load.copies,
                "NTHREADS": load.threads,
                "NEVENTS_THREAD": "" if load.events is None else load.events,
                "EXTRA_ARGS": load.extra_arguments,
            }
            lines = "".join(f"{key}={value}\n" for key, value in asked.items())
            (folder / "inputs.log").write_text(lines, encoding="utf-8")
        return tree

    def read_results(self) -> None:
        """Takes in what the copies measured.

        Raises:
            OSError, ValueError: A result is not there or cannot be read.
        """
        self._results = [read_result(process / "result.json") for process in self.processes]

    def write_reports(self, load: Load, clean: bool) -> None:
        """Writes everything but the summary.

        Args:
            load: What ran.
            clean: Remove the folders of the copies once they are in the archive.

        Raises:
            OSError: The folder cannot be written or is full.
        """
        content = self._content(load)
        report: Mapping[str, Any] = content["report"]
        write_json(self.folder / "version.json", content["app"])
        write_json(
            self.folder / "parser_output.json", {key: report[key] for key in ("wl-scores", "wl-stats")}
        )
        self._close(clean)

    def rescue(self, clean: bool) -> None:
        """Keeps what a failed run leaves, as far as it can be written."""
        for process in self.processes:  # of copies that came to their end
            with suppress(OSError):
                summary_path(self._workload, process).unlink(missing_ok=True)
        with suppress(OSError, ValueError):
            self._close(clean)

    def write_summary(self, load: Load) -> None:
        """Writes the scores.

        Raises:
            ValueError: They are not what HEPscore needs.
            OSError: The folder cannot be written or is full.
        """
        write_summary(self._results, self.folder, load.extra_arguments, load.events)

    def _content(self, load: Load) -> dict[str, Any]:
        return summary(*self._results, extra_arguments=load.extra_arguments, events_per_thread=load.events)

    def _close(self, clean: bool) -> None:
        only = self.processes[0] / "result.json"
        if len(self.processes) == 1 and only.exists():
            write_json(self.folder / "result.json", read_result(only).to_dict())
        self._pack()
        if clean:
            for process in self.processes:
                shutil.rmtree(process)

    def _pack(self) -> None:
        temporary = self.folder / f".{ARCHIVE}.tmp"
        try:
            with tarfile.open(temporary, "w:gz") as archive:
                for process in self.processes:
                    archive.add(process, arcname=process.name)
            temporary.replace(self.folder / ARCHIVE)
        finally:
            temporary.unlink(missing_ok=True)


def remove_summary(resultsdir: Path, workload: str) -> None:
    """Removes the summary of an earlier run, before anything can go wrong with the next.

    Raises:
        RunFailedError: The folder cannot be written.
    """
    with _expecting_to_write(resultsdir):
        summary_path(workload, resultsdir).unlink(missing_ok=True)


@contextmanager
def _expecting_to_write(resultsdir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFailedError(
            f"expected a folder to write to, {resultsdir}, got: {error.strerror}; "
            "mount one there or name another with -w"
        ) from None


def _new_folder(parent: Path, workload: str, load: Load) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"{workload}-c{load.copies}-t{load.threads}-{stamp}-"
    folder = Path(tempfile.mkdtemp(prefix=name, dir=parent))
    folder.chmod(0o755)  # as every other folder: the results are not for their owner alone
    return folder
