"""``hepbench run --engine``: the run in a container, started, watched and cleared away from outside.

The image is told what to do by the options of its entry point; its results lie in the output folder, which
the container sees as /results. Knows no framework; how an engine is used stands in
``benchmarks.launchers.engines``.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

import click

from benchmarks import report
from benchmarks.config import Resolved
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.launchers.engines import Container, Running
from benchmarks.output import check_folder, default_folder
from benchmarks.result import RunResult, file_stamp, read_result
from benchmarks.stopping import on_stopping
from benchmarks.workload import image_name
from hepscore_adapter.validate import summary_path

# Options of `run` that the entry point of an image has, too.
HANDED_ON = ("epochs", "batch_size", "seed", "precision", "threads", "gpus")
# So begins what the container says of its result, which is said anew with the paths out here.
_TABLE = "/results/proc_1: "
GRACE_SECONDS = 60  # between the wish that a container ends and its end by force; a step takes its time


def container(
    engine: str,
    image: str | None,
    resolved: Resolved,
    given: Mapping[str, Any],
    output: Path | None,
    *,
    debug: bool,
) -> Container:
    """What is to be started for a call of ``hepbench run``.

    Args:
        engine: Key of ``ENGINES``.
        image: Image or SIF file; None for the one that this version makes.
        resolved: The configuration; what it holds beside ``given`` is the preset's.
        given: Options of the call by their names, None or empty where it does not have them.
        output: Folder of the result; None for one with the time in its name.
        debug: Tracebacks and the framework's own messages.

    Raises:
        UsageError: The call has an option that an image does not take.
    """
    arguments = ["-W", "--preset", resolved.preset]
    for name, value in given.items():
        if value is None or value == ():
            continue
        if name not in HANDED_ON:
            known = ", ".join(_flag(each) for each in ("preset", *HANDED_ON))
            raise UsageError(
                f"{_flag(name)}: a container takes {known} only; leave it out, or run without --engine"
            )
        arguments += [_flag(name), str(value)]
    return Container(
        engine=engine,
        image=image or _default_image(engine, resolved.config.workload),
        arguments=(*arguments, "--debug") if debug else tuple(arguments),
        results=(output or default_folder(resolved)).resolve(),
        gpus=int(given.get("gpus") or 0),
        gpu_names=tuple(filter(None, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(","))),
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _default_image(engine: str, workload: str) -> str:
    name, tag = image_name(workload), f"v{version('hepbench')}"
    return f"localhost/hepbench/{name}:{tag}" if engine == "docker" else f"build/sif/{name}_{tag}.sif"


def run_container(wanted: Container, *, force: bool, quiet: bool) -> int:
    """Runs a container to its end and prints the result that it left.

    Args:
        wanted: What to run.
        force: Replace a result that is there.
        quiet: Nothing on the terminal but the one line of a run that did not end well.

    Returns:
        Exit code of the container; 130 or 143 where Ctrl-C or SIGTERM ended it.

    Raises:
        UsageError: The output folder cannot be used, or the engine, the image or the GPUs are not there.
        RunFailedError: The engine failed.
    """
    folder, file = wanted.results, wanted.results / "result.json"
    made = check_folder(folder, force)
    before = file_stamp(file)
    try:
        code, unseen = _watch(wanted, quiet)
    finally:
        if made:
            with suppress(OSError):  # not empty, unless there was no run
                folder.rmdir()
    reason = f"the container ended with exit code {code}" + (f": {unseen}" if unseen else "")
    if file_stamp(file) == before:
        if code == 0:
            raise RunFailedError(f"the container left no {file}; is {wanted.image} an image of hepbench?")
    else:
        result = _result(file)
        if not quiet:
            click.echo(report.table([(str(folder), result)]))
            if code == 0:
                click.echo(f"\nresult:  {file}\nsummary: {summary_path(result.workload, folder)}")
        if result.status != "ok":
            reason = f"{result.status}: {result.reason} (see {file})"
    if code != 0:
        click.echo(f"hepbench: {reason}", err=True)
    return code


def _result(file: Path) -> RunResult:
    try:
        return read_result(file)
    except (OSError, ValueError) as error:
        raise RunFailedError(f"cannot read what the container left: {error}") from None


def _watch(wanted: Container, quiet: bool) -> tuple[int, str]:
    """Runs the container and shows its progress; returns its exit code and the last line not shown."""
    events: SimpleQueue[bytes | int | None] = SimpleQueue()  # lines, signals, the end
    ended = Event()
    stopped, unseen, shown = 0, "", not quiet
    with on_stopping(lambda number, _: events.put(number)), wanted.running() as running:
        Thread(target=_read, args=(running, events), daemon=True).start()
        try:
            while (event := events.get()) is not None:
                if isinstance(event, bytes):
                    line = event.decode("utf-8", "replace").rstrip()
                    shown = shown and not line.startswith(_TABLE)
                    if shown:
                        click.echo(line, err=True)
                    elif line:
                        unseen = line
                elif not stopped:
                    stopped = event
                    Thread(target=_stop, args=(running, event, ended)).start()
        finally:
            ended.set()
        code = running.wait()
    return (128 + stopped if stopped and code else code), unseen


def _read(running: Running, events: SimpleQueue[bytes | int | None]) -> None:
    try:
        with suppress(OSError):  # the engine is gone, which whoever asks for the exit code finds out
            for line in running.output:
                events.put(line)
            running.wait()
    finally:
        events.put(None)


def _stop(running: Running, number: int, ended: Event) -> None:
    """Asks every second, because a program is deaf until it has set its handlers; in the end by force."""
    for _ in range(GRACE_SECONDS):
        running.send(number)
        if ended.wait(1):
            return
    running.send(signal.SIGKILL)
