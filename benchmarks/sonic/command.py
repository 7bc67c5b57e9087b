"""The command ``hepbench sonic``, whose docstring is the help that click prints, in the imperative."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.errors import UsageError
from benchmarks.options import FILE

if TYPE_CHECKING:
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


@click.command()
@click.option("--cpu-seconds", type=POSITIVE, help="The whole chain on a CPU alone.")
@click.option("--ml-seconds", type=POSITIVE, help="The machine learning in it.")
@click.option("--gpu-seconds", type=POSITIVE, help="The same on the GPU, with nobody else there.")
@click.option("--preprocess", type=OPTIONAL, default=0.0, help="Making of the requests.")
@click.option("--bandwidth-latency", type=OPTIONAL, default=0.0, help="Bits over the bandwidth of a process.")
@click.option("--travel", type=OPTIONAL, default=0.0, help="Number of requests times the latency of one.")
@click.option("--event-gigabits", type=POSITIVE, help="Bits of an event, for the network's limit.")
@click.option("--network-gigabits", type=POSITIVE, help="Gigabits per second that all jobs share.")
@click.option(
    "--processes", metavar="A,B,...", help="Processes per GPU in the table [default: around saturation]."
)
@click.option("--plot", "picture", type=FILE, help="Draw time and speed-up into this file.")
def sonic(
    event_gigabits: float | None,
    network_gigabits: float | None,
    processes: str | None,
    picture: Path | None,
    **seconds: float | None,
) -> None:
    """Say how many CPU processes a GPU can serve; all times are seconds of one event."""
    from benchmarks.sonic import figures

    chain = _chain(seconds)
    network = _network(event_gigabits, network_gigabits, chain)
    if processes is None:
        counts = figures.processes_around_knee(chain)
    else:
        counts = _parse_counts(processes, figures.MOST_PROCESSES)
    click.echo(figures.table(chain, counts, network))
    if picture is not None:
        figures.plot(chain, counts, picture)
        click.echo(picture)


def _chain(seconds: dict[str, float | None]) -> Chain:
    """Returns the parts of an event from the options that have seconds.

    Raises:
        UsageError: One that is needed is missing, or the machine learning takes more than the whole chain.
    """
    from benchmarks.sonic.model import Chain

    required_names = ("cpu_seconds", "ml_seconds", "gpu_seconds")
    missing_options = [f"--{name.replace('_', '-')}" for name in required_names if seconds[name] is None]
    if missing_options:
        raise UsageError(
            "expected --cpu-seconds, --ml-seconds and --gpu-seconds, got no "
            f"{' and no '.join(missing_options)}; add what an event takes there"
        )
    values = {name: value or 0.0 for name, value in seconds.items()}
    if values["ml_seconds"] > values["cpu_seconds"]:
        raise UsageError(
            f"--ml-seconds: expected at most the {values['cpu_seconds']:g} s of --cpu-seconds, which has the "
            f"machine learning in it, got {values['ml_seconds']:g}"
        )
    return Chain(
        cpu=values["cpu_seconds"],
        ml=values["ml_seconds"],
        gpu=values["gpu_seconds"],
        preprocess=values["preprocess"],
        transfer=values["bandwidth_latency"],
        travel=values["travel"],
    )


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
