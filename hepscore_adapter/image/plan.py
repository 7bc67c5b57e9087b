"""Plans what an image runs, and refuses what it cannot run before anything starts.

A plan depends on the options of the command line, the image's variables, and the machine's cores and GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.config import RunConfig, TrainingConfig, as_training
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.machine import nvml
from benchmarks.machine.cgroup import usable_cores
from benchmarks.machine.topology import ordered_cores
from benchmarks.resolution import choose, resolve
from benchmarks.workload import presets
from hepscore_adapter.summary import Request

CONFIGURATION = ("epochs", "batch_size", "precision", "seed")  # flags that are keys of the configuration
DEVICES = {"cuda": "gpu", "cpu": "cpu"}  # values of --device, and the --mode that each of them means


@dataclass(frozen=True)
class Image:
    """What the environment says of the image.

    Attributes:
        workload: Name of its workload.
        presets: Names of the presets whose data it holds. The first is the default.
        data: Folder with a data set for each preset.
    """

    workload: str
    presets: tuple[str, ...]
    data: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Image:
        """Reads the variables that an image sets.

        Args:
            environment: Variables and their values, as in ``os.environ``.

        Raises:
            UsageError: The workload or the presets are missing.
        """
        workload = environment.get("HEPBENCH_WORKLOAD", "")
        names = tuple(environment.get("HEPBENCH_PRESETS", "").split())
        if not workload or not names:
            raise UsageError(
                "expected HEPBENCH_WORKLOAD and HEPBENCH_PRESETS in the environment, which the images set; "
                "outside of an image use `hepbench run`"
            )
        return cls(workload, names, Path(environment.get("HEPBENCH_IMAGE_DATA", "/data")))


@dataclass(frozen=True)
class Plan:
    """What an image runs.

    Attributes:
        arguments: Arguments of ``hepbench run``, the same for every copy.
        copies: Number of runs side by side.
        threads: CPU threads of each copy, or of each of its ranks with GPUs.
        events: Training events per thread and epoch, as ``--events`` asked. None for the preset's.
        extra_arguments: The text of ``--extra-args``.
        cores: Numbers of the cores that the copies share out.
        gpus: Identifiers of the GPUs that the copies share out. Empty where no GPU was asked for.
        mode: ``gpu`` or ``cpu``, as ``--mode`` or ``--device`` asked. None where neither was given.
    """

    arguments: tuple[str, ...]
    copies: int
    threads: int
    events: int | None
    extra_arguments: str
    cores: tuple[int, ...]
    gpus: tuple[str, ...]
    mode: str | None

    def cores_of(self, copy: int) -> tuple[int, ...]:
        """Returns the cores to which a copy is bound.

        These are all cores where the copy is alone, or where there are fewer cores than copies.

        Args:
            copy: Number of the copy, counted from 0.
        """
        share = len(self.cores) // self.copies
        return self.cores[copy * share : (copy + 1) * share] if share and self.copies > 1 else self.cores

    def request(self) -> Request:
        """Returns what the summary gives back of the call."""
        return Request(self.extra_arguments, self.events, gpu_score=self.mode == "gpu")

    def visible_devices(self, copy: int) -> str | None:
        """Returns ``CUDA_VISIBLE_DEVICES`` of a copy, or None where the image's own value holds.

        Args:
            copy: Number of the copy, counted from 0.
        """
        if self.mode == "cpu":
            return ""  # hides all GPUs from CUDA
        share = len(self.gpus) // self.copies
        return ",".join(self.gpus[copy * share : (copy + 1) * share]) if self.gpus else None


def make_plan(image: Image, options: Mapping[str, Any]) -> Plan:
    """Checks the options against the image and the machine, and shares the machine out.

    Args:
        image: What the image holds.
        options: Values of the options by name, as ``entrypoint.parse`` returns them.

    Raises:
        UsageError: A value is out of range, two options contradict each other, or the image lacks the preset.
        RunFailedError: There are fewer GPUs than the options ask for.
    """
    preset = options["preset"] or image.presets[0]
    shipped = presets(image.workload)
    base: RunConfig = choose(
        "preset", preset, {name: shipped[name] for name in image.presets if name in shipped}
    )

    # Options that contradict each other are refused first, because that depends on no machine.
    mode, gpus = _mode_and_gpus(options)
    copies, cores, events = options["copies"], options["ncores"], options["events"]
    threads = _threads_of_rank(copies * (gpus or 1), options["threads"], cores)
    identifiers = () if mode == "cpu" else _gpu_identifiers(copies, gpus)
    flags = {key: options[key] for key in CONFIGURATION if options[key] is not None} | {"threads": threads}

    # Some options of an image are for trainings only, and an option without effect would be a lie.
    for key in flags:
        if not hasattr(base, key):
            as_training(base, f"--{key.replace('_', '-')}")

    # The configuration is resolved here as well, to refuse now what the copies would refuse.
    config = resolve(preset, base, flags=flags).config.for_ranks(gpus or 1)
    arguments = [image.workload, f"--preset={preset}", f"--data={image.data / preset}"]
    arguments += [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()]
    if events is not None:
        arguments += [f"--set=train_events={_train_events(events, as_training(config, '--events'))}"]
    arguments += ["--gpus", str(gpus)] if gpus else []
    arguments += ["--debug"] if options["debug"] else []

    return Plan(
        arguments=tuple(arguments),
        copies=copies,
        threads=threads,
        events=events,
        extra_arguments=options["extra_args"],
        cores=tuple(ordered_cores(sorted(os.sched_getaffinity(0))[:cores])),
        gpus=identifiers,
        mode=mode,
    )


def _mode_and_gpus(options: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """Returns the mode and the number of GPUs of each copy, each None where the options leave it open.

    Raises:
        UsageError: Two options contradict each other, or mean the same.
    """
    mode, device, gpus, n_gpus = (options[name] for name in ("mode", "device", "gpus", "n_gpus"))
    if gpus and n_gpus:
        raise UsageError(f"--gpus {gpus} and --n-gpus {n_gpus} mean the same; leave one of them out")

    # A silent winner would give a score of something else than somebody asked for.
    count = gpus or n_gpus
    modes = {choice for choice in (mode, DEVICES.get(device), "gpu" if count else None) if choice}
    if len(modes) > 1:
        flags = {"--mode": mode, "--device": device, "--gpus": gpus, "--n-gpus": n_gpus}
        words = " and ".join(f"{flag} {value}" for flag, value in flags.items() if value)
        raise UsageError(f"{words} contradict each other; leave one of them out")

    mode = mode or DEVICES.get(device)
    return mode, count or (1 if mode == "gpu" else None)


def _threads_of_rank(ranks: int, threads: int | None, cores: int | None) -> int:
    """Returns the threads of each rank, by default the cores shared out.

    More threads than usable cores are a warning and no error, because people measure that on purpose.

    Args:
        ranks: Number of ranks of all copies together.
        threads: As ``--threads`` asked, or None.
        cores: As ``--ncores`` asked, or None.

    Raises:
        UsageError: ``--ncores`` are fewer than the threads.
    """
    usable = usable_cores()
    limit = cores or usable
    count = threads or max(1, limit // ranks)
    busy = ranks * count
    if cores and busy > cores:
        raise UsageError(
            f"--ncores {cores}: expected at least copies x threads = {busy}; lower --copies or --threads"
        )
    if busy > usable:
        click.echo(
            f"hepbench: {busy} threads on {usable} usable cores: they get in each other's way", err=True
        )
    return count


def _train_events(events: int, config: TrainingConfig) -> int:
    """Returns the training events of an epoch with ``events`` for each thread.

    Raises:
        UsageError: The preset has fewer events, or they are not enough for its fewest steps.
    """
    count = events * config.threads
    if count > config.train_events:
        raise UsageError(
            f"--events: expected at most {config.train_events // config.threads} for {config.threads} "
            f"thread(s), because the preset has {config.train_events} training events, got {events}"
        )
    if count < config.min_steps * config.global_batch_size:
        raise UsageError(
            f"--events: expected at least {config.min_steps} step(s) of {config.global_batch_size} events, "
            f"got {events} x {config.threads} thread(s); raise --events or lower --batch-size"
        )
    return count


def _gpu_identifiers(copies: int, gpus: int | None) -> tuple[str, ...]:
    """Returns the identifiers of as many GPUs as the copies need, since a run never falls back to the CPU.

    Args:
        copies: Number of copies.
        gpus: GPUs of each copy, or None where no number was asked for.

    Raises:
        UsageError: Several copies would share a GPU by accident.
        RunFailedError: Fewer GPUs are visible.
    """
    devices = nvml.assignable_devices()
    if gpus is None:
        if copies > 1 and devices:
            raise UsageError(
                f"{copies} copies would share a GPU; say with --gpus how many each has to itself, "
                "or hide the GPUs with --mode cpu"
            )
        return ()

    if copies * gpus > len(devices):
        faults = [fault for fault in (nvml.unavailable(), *nvml.faults()) if fault]
        reason = f" ({', '.join(faults)})" if faults else ""
        raise RunFailedError(
            f"expected {copies * gpus} GPU(s), {gpus} for each of {copies}, got {len(devices)}{reason}"
            "; start the container with GPUs (docker --gpus all, apptainer --nv) or use --mode cpu"
        )
    return tuple(devices[: copies * gpus])
