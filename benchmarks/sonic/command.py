"""The command ``hepbench sonic``, whose docstring is the help that click prints, in the imperative."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.errors import UsageError
from benchmarks.options import FILE, UserPath

if TYPE_CHECKING:
    from benchmarks.sonic.measured import MeasuredService
    from benchmarks.sonic.model import Chain, Network

_LEAST, _MOST = 1e-9, 1e9  # of seconds and gigabits, so that no ratio leaves the range of a float


class Quantity(click.FloatRange):
    """A number of seconds or gigabits. Unlike ``FloatRange`` alone, it refuses ``nan``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the number."""
        amount = super().convert(value, param, ctx)
        if math.isnan(amount):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return amount


POSITIVE, OPTIONAL = Quantity(_LEAST, _MOST), Quantity(0, _MOST)


# The options that have parts of an event, by the name of the part.
_PARTS = {
    "cpu": "cpu_seconds",
    "ml": "ml_seconds",
    "gpu": "gpu_seconds",
    "preprocess": "preprocess",
    "transfer": "bandwidth_latency",
    "travel": "travel",
}
_REQUIRED = ("cpu", "ml", "gpu")


@click.command()
@click.argument("result", type=UserPath(exists=True, path_type=Path), required=False)
@click.option("--cpu-seconds", type=POSITIVE, help="The whole chain on a CPU alone.")
@click.option("--ml-seconds", type=POSITIVE, help="The machine learning in it.")
@click.option("--gpu-seconds", type=POSITIVE, help="The same on the GPU, with nobody else there.")
@click.option("--preprocess", type=OPTIONAL, help="Making of the requests [default: 0].")
@click.option("--bandwidth-latency", type=OPTIONAL, help="Bits over the bandwidth of a process [default: 0].")
@click.option("--travel", type=OPTIONAL, help="Number of requests times the latency of one [default: 0].")
@click.option("--event-gigabits", type=POSITIVE, help="Bits of an event, for the network's limit.")
@click.option("--network-gigabits", type=POSITIVE, help="Gigabits per second that all jobs share.")
@click.option(
    "--processes", metavar="A,B,...", help="Processes per GPU in the table [default: around saturation]."
)
@click.option("--plot", "picture", type=FILE, help="Draw time and speed-up into this file.")
def sonic(
    result: Path | None,
    event_gigabits: float | None,
    network_gigabits: float | None,
    processes: str | None,
    picture: Path | None,
    **seconds: float | None,
) -> None:
    """Say how many CPU processes a GPU can serve; all times are seconds of one event.

    The times are those of the options. With RESULT, a result.json of an inference service or its folder, the
    run gives all that no option gives.
    """
    from benchmarks.sonic import figures

    service = None if result is None else _read_service(result)
    chain = _chain(seconds, None if service is None else service.chain)
    if service is not None and network_gigabits is not None and event_gigabits is None:
        event_gigabits = service.gigabits
    network = _network(event_gigabits, network_gigabits, chain)

    # What a run has measured says something about its own chain only.
    measured = service.event_seconds if service is not None and service.chain == chain else {}
    if processes is None:
        counts = sorted({*figures.processes_around_knee(chain), *measured})
    else:
        counts = _parse_counts(processes, figures.MOST_PROCESSES)
    click.echo(figures.table(chain, counts, network, measured))
    if service is not None:
        click.echo(figures.saturation_line(service))
    if picture is not None:
        figures.plot(chain, counts, picture, measured)
        click.echo(picture)


def _read_service(path: Path) -> MeasuredService:
    """Reads what a run says about an event.

    Raises:
        UsageError: The result cannot be read, or is of another kind.
    """
    from benchmarks.result import read_result
    from benchmarks.sonic.measured import measured_service

    file = path / "result.json" if path.is_dir() else path
    try:
        return measured_service(str(path), read_result(file))
    except (OSError, ValueError) as error:
        raise UsageError(str(error)) from None


def _chain(seconds: Mapping[str, float | None], measured: Chain | None) -> Chain:
    """Returns the parts of an event from the options that have seconds, and from a run.

    Raises:
        UsageError: One that is needed is missing, or the machine learning takes more than the whole chain.
    """
    from benchmarks.sonic.model import Chain

    options = {part: value for part, name in _PARTS.items() if (value := seconds[name]) is not None}
    if measured is not None:
        chain = dataclasses.replace(measured, **options)
    elif missing_parts := [part for part in _REQUIRED if part not in options]:
        names = " and no ".join(f"--{part}-seconds" for part in missing_parts)
        raise UsageError(
            f"expected --cpu-seconds, --ml-seconds and --gpu-seconds, got no {names}; add what an event "
            "takes there, or the result of an inference service"
        )
    else:
        chain = Chain(**options)
    if chain.ml > chain.cpu:
        raise UsageError(
            f"--ml-seconds: expected at most the {chain.cpu:g} s of --cpu-seconds, which has the machine "
            f"learning in it, got {chain.ml:g}"
        )
    return chain


def _network(gigabits: float | None, bandwidth: float | None, chain: Chain) -> Network | None:
    """Returns the network that all jobs share, or None without the options that describe it.

    Raises:
        UsageError: One of the two is missing, or one event alone would take longer than the options say.
    """
    from benchmarks.sonic.model import Network

    if gigabits is None and bandwidth is None:
        return None
    if gigabits is None or bandwidth is None:
        raise UsageError(
            "expected --event-gigabits and --network-gigabits together, got one of them; add the other"
        )
    network = Network(gigabits, bandwidth)
    if network.seconds > chain.ideal:
        raise UsageError(
            f"--network-gigabits: one event takes {network.seconds:.4g} s there, more than the "
            f"{chain.ideal:.4g} s of all its parts; give --bandwidth-latency at least that"
        )
    return network


def _parse_counts(text: str, most: int) -> list[int]:
    """Returns the numbers in a value of ``--processes`` such as ``10,45,68``, sorted.

    Raises:
        UsageError: A part is no whole number from 1 to ``most``.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 10 and 1 <= int(part) <= most for part in parts):
        raise UsageError(f"--processes: expected whole numbers A,B,... from 1 to {most}, got {text!r}")
    return sorted(set(map(int, parts)))
