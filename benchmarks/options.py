"""Options that several commands take, and the configuration that they come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)

PRESET = [
    click.argument("workload"),
    click.option("--preset", default="smoke", show_default=True, help="Named configuration to start from."),
    click.option("--config", "file", type=FILE, help="YAML file of KEY: VALUE lines, laid over the preset."),
    click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any key that `show` lists."
    ),
]
FLAGS = [
    click.option("--epochs", help="Passes over the training events, warm-up included."),
    click.option("--batch-size", help="Events per step of each rank."),
    click.option("--global-batch-size", help="Events per step of all ranks together."),
    click.option("--lr-scaling", help="Learning rate with the batch of all ranks: none, linear or sqrt."),
    click.option("--seed", help="Seed of the initial weights and of everything drawn later."),
    click.option("--precision", help="float32, float64, mixed_bfloat16 or mixed_float16."),
    click.option("--threads", help="CPU threads; 0: all that this process may use."),
    click.option("--data", help="Folder of the data set; default: the cache, made there if missing."),
    click.option("--xla/--no-xla", default=None, help="Compile with XLA [default: on a GPU only]."),
    click.option(
        "--deterministic/--no-deterministic",
        default=None,
        help="Same seed, same bits [default: on a CPU only].",
    ),
]


def taking(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the same options as others have."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def resolved(
    workload: str,
    preset: str,
    file: Path | None,
    assignments: tuple[str, ...],
    flags: Any,
    sweep: tuple[str, ...] = (),
) -> Any:
    """The configuration that options of ``PRESET`` and ``FLAGS`` ask for; see ``config.resolve``."""
    from benchmarks import config
    from benchmarks.workload import presets

    known = presets(workload)
    switches = {True: "on", False: "off"}
    flags = {key: switches[value] if isinstance(value, bool) else value for key, value in flags.items()}
    base = config.choose("preset", preset, known)
    return config.resolve(preset, base, file=file, assignments=assignments, sweep=sweep, flags=flags)
