"""``hepbench fit``: what fits into memory."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import click

from benchmarks.errors import UsageError
from benchmarks.options import FOLDER, PRESET, resolved, taking
from benchmarks.streams import error_terminal, say
from datasets.progress import bars_on

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT])(i?)B", re.IGNORECASE)


def parse_size(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    """Returns the bytes of an amount such as ``11GB`` or ``8GiB``; None for None.

    Raises:
        BadParameter: It is no such amount, or it is nothing.
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    size = 0
    if match is not None:
        number, prefix, binary = match.groups()
        size = int(float(number) * (1024 if binary else 1000) ** " KMGT".index(prefix.upper()))
    if not size:
        expected = "an amount of memory with its unit, such as 11GB or 8GiB"
        raise click.BadParameter(f"expected {expected}, got {text!r}")
    return size


@click.command()
@taking(PRESET[0])
@click.option("--preset", help="Named configuration [default: all of the workload].")
@taking(*PRESET[2:])
@click.option("--backend", help="Framework that computes: tensorflow, jax or torch.")
@click.option(
    "--memory", metavar="SIZE", callback=parse_size, help="Such as 11GB [default: what this machine has]."
)
@click.option("--measure", is_flag=True, help="Find the largest batch by trying, with a limit on memory.")
@click.option("--data", type=FOLDER, help="Data set for --measure [default: a few events are made].")
def fit(
    workload: str,
    preset: str | None,
    file: Path | None,
    assignments: tuple[str, ...],
    backend: str | None,
    memory: int | None,
    measure: bool,
    data: Path | None,
) -> None:
    """Say which presets, batches, precisions and memory modes fit into memory."""
    from benchmarks.fit import room_for_runs, table_of_fits
    from benchmarks.workload import presets

    if measure and preset is None:
        raise UsageError("--measure: expected one preset to try, got none; name it with --preset")
    if data is not None and not measure:
        raise UsageError("--data: only --measure reads events; leave it out")
    names = [preset] if preset is not None else list(presets(workload))
    flags = {"backend": backend, "data": None if data is None else str(data)}
    candidates = [resolved(workload, name, file, assignments, flags) for name in names]
    room = room_for_runs(memory)
    if not measure:
        click.echo(table_of_fits(candidates, room))
        return

    # No control group limits the memory of a GPU.
    if memory is not None and room.device == "gpu":
        raise UsageError(
            "--measure: --memory limits the memory of the host, and the GPU of this machine has its own; "
            "leave --memory out, or hide the GPU with CUDA_VISIBLE_DEVICES="
        )
    from benchmarks.launchers.largest_batch import measure_largest_batch

    with bars_on(error_terminal()):
        answer = measure_largest_batch(candidates[0], room, partial(say, err=True))
    click.echo(answer)
