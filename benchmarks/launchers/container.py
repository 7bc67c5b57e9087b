"""``hepbench run --engine``: starts a run in a container, watches it, and removes the container.

The run gets its settings as options of the image's entry point, and writes its results to the output folder,
which the container sees as ``/results``. How an engine is used is in ``benchmarks.launchers.engines``.
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

from benchmarks import report
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.files import file_stamp
from benchmarks.launchers.engines import Container, Running
from benchmarks.machine.nvml import listed_devices
from benchmarks.output import RunOptions, check_folder
from benchmarks.resolution import Resolved
from benchmarks.result import RunResult, read_result
from benchmarks.stopping import on_stopping
from benchmarks.streams import say
from benchmarks.workload import image_name
from hepscore_adapter.validate import summary_path

# Options of ``hepbench run`` that the entry point of an image takes, too.
IMAGE_OPTIONS = ("epochs", "batch_size", "seed", "precision", "threads", "gpus")
# The container's report of its result begins like this. This process prints it again, with the host's paths.
_TABLE_START = "/results/proc_1: "
GRACE_SECONDS = 60  # from the first signal to the end by force, because a step takes its time


def plan_container(
    engine: str,
    image: str | None,
    resolved: Resolved,
    settings: Mapping[str, Any],
    options: RunOptions,
) -> Container:
    """Returns the container to start for a call of ``hepbench run``.

    Args:
        engine: Key of ``ENGINES``.
        image: Image or SIF file, or None for the one that this version makes.
        resolved: The configuration. Every value that is not in ``settings`` is that of the preset.
        settings: Options of the call by their names, None or empty where the call does not have them.
        options: Where the result goes. The container prints tracebacks if ``debug`` is set.

    Raises:
        UsageError: The call has an option that an image does not take, or asks for more GPUs than
            ``CUDA_VISIBLE_DEVICES`` leaves.
    """
    arguments = ["-W", "--preset", resolved.preset]
    for name, value in settings.items():
        if value is None or value == ():
            continue
        if name not in IMAGE_OPTIONS:
            flags = ", ".join(map(_flag, ("preset", *IMAGE_OPTIONS)))
            raise UsageError(
                f"{_flag(name)}: a container takes {flags} only; leave it out, or run without --engine"
            )
        arguments += [_flag(name), str(value)]

    # Of the GPUs that this process may use, the container gets the first ones.
    gpus, visible = int(settings.get("gpus") or 0), os.environ.get("CUDA_VISIBLE_DEVICES")
    gpu_names = () if visible is None else tuple(listed_devices(visible))
    if visible is not None and len(gpu_names) < gpus:
        raise UsageError(
            f"--gpus {gpus}: expected {gpus} devices in CUDA_VISIBLE_DEVICES, got {len(gpu_names)} in "
            f"{visible!r}; unset it, or name more"
        )
    return Container(
        engine=engine,
        image=image or _default_image(engine, resolved.config.workload),
        arguments=(*arguments, "--debug") if options.debug else tuple(arguments),
        results=options.folder(resolved).resolve(),
        gpus=gpus,
        gpu_names=gpu_names,
    )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _default_image(engine: str, workload: str) -> str:
    name, tag = image_name(workload), f"v{version('hepbench')}"
    return f"localhost/hepbench/{name}:{tag}" if engine == "docker" else f"build/sif/{name}_{tag}.sif"


def run_container(container: Container, options: RunOptions) -> int:
    """Runs a container to its end and prints the result that it left.

    Args:
        container: What to run. Its results go to its own folder, and not to ``options.output``.
        options: What may be replaced, and what is printed.

    Returns:
        Exit code of the container, or 128 plus the number of the signal that ended it.

    Raises:
        UsageError: The output folder cannot be used, or the engine, the image or the GPUs are missing.
        RunFailedError: The engine failed.
    """
    folder, file = container.results, container.results / "result.json"
    is_new = check_folder(folder, options.force)
    stamp = file_stamp(file)
    try:
        code, hidden_line = _watch(container, options.quiet)
    finally:
        if is_new:
            with suppress(OSError):  # the folder is empty only if there was no run
                folder.rmdir()

    # A result that is as old as before is not that of this run.
    reason = f"the container ended with exit code {code}" + (f": {hidden_line}" if hidden_line else "")
    if file_stamp(file) == stamp:
        if code == 0:
            raise RunFailedError(f"the container left no {file}; is {container.image} an image of hepbench?")
    else:
        result = _read_result(file)
        if not options.quiet:
            say(report.table([(str(folder), result)]))
            if code == 0:
                say(f"\nresult:  {file}\nsummary: {summary_path(result.workload, folder)}")
        if result.status != "ok":
            reason = f"{result.status}: {result.reason} (see {file})"
    if code != 0:
        say(f"hepbench: {reason}", err=True)
    return code


def _read_result(file: Path) -> RunResult:
    try:
        return read_result(file)
    except (OSError, ValueError) as error:
        raise RunFailedError(f"cannot read what the container left: {error}") from None


def _watch(container: Container, quiet: bool) -> tuple[int, str]:
    """Runs a container and prints its progress.

    Returns:
        Exit code of the container, or 128 plus the signal that ended it, and its last line not printed.
    """
    # One queue holds what happens, in its order: lines of the container, signals to this process, the end.
    events: SimpleQueue[bytes | int | None] = SimpleQueue()
    has_ended = Event()
    stop_signal, hidden_line, is_visible = 0, "", not quiet

    # A thread reads the lines, and another one repeats the signal until the container has ended.
    with on_stopping(lambda number, _: events.put(number)), container.running() as running:
        Thread(target=_read_lines, args=(running, events), daemon=True).start()
        try:
            while (event := events.get()) is not None:
                if isinstance(event, bytes):
                    line = event.decode("utf-8", "replace").rstrip()
                    is_visible = is_visible and not line.startswith(_TABLE_START)
                    if is_visible:
                        say(line, err=True)
                    elif line:
                        hidden_line = line
                elif not stop_signal:
                    stop_signal = event
                    Thread(target=_stop, args=(running, event, has_ended)).start()
        finally:
            has_ended.set()
        code = running.wait()
    return (128 + stop_signal if stop_signal and code else code), hidden_line


def _read_lines(running: Running, events: SimpleQueue[bytes | int | None]) -> None:
    """Puts the lines of a container into a queue, and None when it has ended."""
    try:
        with suppress(OSError):  # the engine is gone, and the call for the exit code says so
            for line in running.output:
                events.put(line)
            running.wait()
    finally:
        events.put(None)


def _stop(running: Running, number: int, has_ended: Event) -> None:
    """Sends a signal every second until the container has ended, and kills it after ``GRACE_SECONDS``.

    The signal is sent again because a program ignores it until it has set its handlers.
    """
    for _ in range(GRACE_SECONDS):
        running.send(number)
        if has_ended.wait(1):
            return
    running.send(signal.SIGKILL)
