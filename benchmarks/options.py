"""Options that several commands take, and the configuration that they lead to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


class UserPath(click.Path):
    """A path that may begin with ``~``, which a shell leaves alone in quotes or in ``--output=~/runs``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path with the home folder in place of ``~``."""
        try:
            return super().convert(Path(value).expanduser(), param, ctx)
        except RuntimeError:
            self.fail(f"{value}: there is no such home folder; write the whole path", param, ctx)


class ImageName(UserPath):
    """A name of a Docker image, or a path of a SIF file that may begin with ``~``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the name, or the path with the home folder in place of ``~``."""
        return str(super().convert(value, param, ctx) if str(value).startswith("~") else value)


FOLDER = UserPath(file_okay=False, path_type=Path)
FILE = UserPath(dir_okay=False, path_type=Path)

PRESET = [
    click.argument("workload"),
    click.option("--preset", default="smoke", show_default=True, help="Named configuration to start from."),
    click.option("--config", "file", type=FILE, help="YAML file of KEY: VALUE lines, laid over the preset."),
    click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any key that `show` lists."
    ),
]
FLAGS = [
    click.option("--backend", help="Framework that computes: tensorflow, jax or torch."),
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
    click.option("--server", help="HOST:PORT of an inference server; default: the run starts its own."),
    click.option("--require-quiet", is_flag=True, default=None, help="Fail where the machine was not quiet."),
]
SWITCHES = [
    click.option("--force", is_flag=True, help="Replace results that exist."),
    click.option("--quiet", is_flag=True, help="No progress and no table."),
    click.option("--debug", is_flag=True, help="Tracebacks and the framework's own messages."),
]


def taking(*options: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a decorator that gives a command several options, in the order in which help lists them."""

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
    """Returns the configuration that the options of ``PRESET`` and ``FLAGS`` ask for.

    Args:
        workload: Name of the workload.
        preset: Name of the preset.
        file: YAML file of ``--config``, or None.
        assignments: ``KEY=VALUE`` texts of ``--set``.
        flags: Values of the options of ``FLAGS`` by their names, None for an option that is not given.
        sweep: One ``KEY=VALUE`` text of ``--sweep``, or nothing.

    Raises:
        UsageError: There is no such workload, preset or key, or a value does not fit.
    """
    from benchmarks import resolution
    from benchmarks.workload import presets

    # Switches such as --xla and --no-xla are booleans, where the configuration has on and off.
    switches = {True: "on", False: "off"}
    flags = {key: switches[value] if isinstance(value, bool) else value for key, value in flags.items()}
    base = resolution.choose("preset", preset, presets(workload))
    return resolution.resolve(preset, base, file=file, assignments=assignments, sweep=sweep, flags=flags)
