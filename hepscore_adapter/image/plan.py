"""What an image is to run: presets, copies, threads, events and GPUs, checked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.config import RunConfig, choose, resolve
from benchmarks.errors import RunFailedError, UsageError
from benchmarks.machine import nvml
from benchmarks.machine.cgroup import usable_cores
from benchmarks.workload import presets

CONFIGURATION = ("epochs", "batch_size", "precision", "seed")  # flags that are keys of the configuration


@dataclass(frozen=True)
class Image:
    """What the environment says of the image.

    Attributes:
        workload: Name of its workload.
        presets: Names of those whose data it holds; the first is the default.
        data: Folder with a data set for each preset.
    """

    workload: str
    presets: tuple[str, ...]
    data: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Image:
        """Reads the variables that an image sets.

        Raises:
            UsageError: They are not there.
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
class Load:
    """What runs.

    Attributes:
        arguments: Of ``hepbench run``, for every copy the same.
        copies: Runs side by side.
        threads: CPU threads of each.
        events: Training events per thread and epoch, as ``--events`` asked; None for the preset's.
        extra_arguments: The text of ``--extra-args``.
        cores: Numbers of the cores that the copies share out.
        gpus: Identifiers of the GPUs that the copies share out; empty where ``--gpus`` was not given.
    """

    arguments: tuple[str, ...]
    copies: int
    threads: int
    events: int | None
    extra_arguments: str
    cores: tuple[int, ...]
    gpus: tuple[str, ...]

    def cores_of(self, copy: int) -> tuple[int, ...]:
        """The cores to which a copy is bound; all where it is alone or there are fewer cores than copies."""
        share = len(self.cores) // self.copies
        return self.cores[copy * share : (copy + 1) * share] if share and self.copies > 1 else self.cores

    def gpus_of(self, copy: int) -> tuple[str, ...]:
        """The GPUs that a copy sees."""
        share = len(self.gpus) // self.copies
        return self.gpus[copy * share : (copy + 1) * share]


def plan(image: Image, options: Mapping[str, Any]) -> Load:
    """Checks what was asked against the image and the machine, and shares the machine out.

    Raises:
        UsageError: A value is out of range or the image does not hold it.
        RunFailedError: There are fewer GPUs than were asked for.
    """
    name = options["preset"] or image.presets[0]
    known = presets(image.workload)
    base: RunConfig = choose("preset", name, {each: known[each] for each in image.presets if each in known})
    copies, gpus, events = options["copies"], options["gpus"], options["events"]
    threads, identifiers = _threads(options), _gpus(copies, gpus)
    flags = {key: options[key] for key in CONFIGURATION if options[key] is not None} | {"threads": threads}
    # Refuses now what the copies would refuse.
    config = resolve(name, base, flags=flags).config.for_ranks(gpus or 1)
    arguments = [image.workload, f"--preset={name}", f"--data={image.data / name}"]
    arguments += [f"--{key.replace('_', '-')}={value}" for key, value in flags.items()]
    if events is not None:
        arguments += [f"--set=train_events={_train_events(events, config)}"]
    arguments += ["--gpus", str(gpus)] if gpus else []
    arguments += ["--debug"] if options["debug"] else []
    return Load(
        arguments=tuple(arguments),
        copies=copies,
        threads=threads,
        events=events,
        extra_arguments=options["extra_args"],
        cores=tuple(sorted(os.sched_getaffinity(0)))[: options["ncores"]],
        gpus=identifiers,
    )


def _threads(options: Mapping[str, Any]) -> int:
    """Threads of each copy; more than there are cores are a thing to say, not to refuse."""
    usable = usable_cores()
    copies, cores = options["copies"], options["ncores"] or usable
    ranks = options["gpus"] or 1
    threads: int = options["threads"] or max(1, cores // (copies * ranks))
    busy = copies * ranks * threads
    if options["ncores"] and busy > cores:
        raise UsageError(
            f"--ncores {cores}: expected at least copies x threads = {busy}; lower --copies or --threads"
        )
    if busy > usable:
        click.echo(
            f"hepbench: {busy} threads on {usable} usable cores: they get in each other's way", err=True
        )
    return threads


def _train_events(events: int, config: RunConfig) -> int:
    asked = events * config.threads
    if asked > config.train_events:
        raise UsageError(
            f"--events: expected at most {config.train_events // config.threads} for {config.threads} "
            f"thread(s), because the preset has {config.train_events} training events, got {events}"
        )
    if asked < config.global_batch_size:
        raise UsageError(
            f"--events: expected a batch of {config.global_batch_size} or more, got {events} x "
            f"{config.threads} thread(s); raise --events or lower --batch-size"
        )
    return asked


def _gpus(copies: int, each: int | None) -> tuple[str, ...]:
    """Identifiers of as many GPUs as were asked for: there is no falling back to the CPU."""
    handles = nvml.visible_handles()
    if each is None:
        if copies > 1 and handles:
            raise UsageError(
                f"{copies} copies would share a GPU; say with --gpus how many each has to itself"
            )
        return ()
    if copies * each > len(handles):
        why = f" ({nvml.unavailable()})" if nvml.unavailable() else ""
        raise RunFailedError(
            f"expected {copies * each} GPU(s), {each} for each of {copies}, got {len(handles)}{why}"
            "; start the container with GPUs (docker --gpus all, apptainer --nv) or leave --gpus out"
        )
    identifiers = [str(nvml.read("nvmlDeviceGetUUID", gpu) or index) for index, gpu in handles.items()]
    return tuple(identifiers[: copies * each])
