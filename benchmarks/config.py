"""Configuration of a run: typed, in layers (preset < file < --set < flag), each value with its origin."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml

from benchmarks.errors import UsageError

PRECISIONS = ("float32", "float64", "mixed_bfloat16", "mixed_float16")


def option(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A configuration key: its default, what it means and which values it takes."""
    allowed = {"text": text, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=allowed)


@dataclass(frozen=True)
class RunConfig:
    """What every kind of workload has. A workload's own keys are in a subclass in its folder."""

    workload: ClassVar[str]
    kind: ClassVar[str]
    how_to_shrink: ClassVar[str] = "lower --batch-size"  # what to do where a run does not fit

    seed: int = option(1, "seed of the initial weights and of everything drawn later", low=0, high=2**31 - 1)
    precision: str = option("float32", "number format of the model", choices=PRECISIONS)
    xla: str = option("auto", "compile with XLA; auto: on a GPU only", choices=("auto", "on", "off"))
    deterministic: str = option(
        "auto", "same seed, same bits; auto: on a CPU only", choices=("auto", "on", "off")
    )
    threads: int = option(0, "CPU threads; 0: all that this process may use", low=0, high=4096)
    data: str = option("", "folder of the data set; empty: the cache, made there if it is missing")
    require_quiet: bool = option(False, "a run on a machine that is not quiet fails")
    max_foreign_cores: float = option(
        0.1, "cores that others may keep busy in a quiet run, of those of the run", low=0.0, high=4096.0
    )
    max_stolen_fraction: float = option(
        0.01, "share of CPU time that a hypervisor may take from a quiet run", low=0.0, high=1.0
    )
    max_spread: float = option(
        0.05, "spread of the repetitions, (max - min) / median, of a quiet run", low=0.0, high=1000.0
    )

    def check(self) -> None:
        """Looks at keys that depend on each other.

        Raises:
            UsageError: They do not fit together.
        """

    def for_ranks(self, ranks: int) -> Self:  # noqa: ARG002 (for subclasses)
        """Returns the configuration of each of ``ranks`` ranks.

        Raises:
            UsageError: The work does not divide among the ranks.
        """
        return self

    def with_auto_resolved(self, device: str, room: int | None) -> Self:  # noqa: ARG002 (for subclasses)
        """Returns the configuration with a value for every key that is ``auto``.

        Args:
            device: ``cpu`` or ``gpu``.
            room: Memory for the model, in bytes; None where it is not known.
        """
        xla, deterministic = ("on", "off") if device == "gpu" else ("off", "on")
        return dataclasses.replace(
            self,
            xla=xla if self.xla == "auto" else self.xla,
            deterministic=deterministic if self.deterministic == "auto" else self.deterministic,
        )

    def size_summary(self) -> str:
        """Describes in words what decides how much memory a run takes."""
        raise NotImplementedError

    def memory_summary(self) -> str:
        """Describes the expected peak memory, as ``show`` prints it."""
        return f"expected peak memory: {self.expected_memory_bytes() / 1e9:.1f} GB"

    def expected_memory_bytes(self) -> int:
        """Returns the peak memory that a run with this configuration is expected to take, in bytes."""
        raise NotImplementedError

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        """Says in one line what of the quality is worse than the preset allows; empty if nothing is."""
        raise NotImplementedError


@dataclass(frozen=True)
class TrainingConfig(RunConfig):
    """What every training has."""

    kind: ClassVar[str] = "training"

    epochs: int = option(5, "passes over the training events, warm-up included", low=2, high=100_000)
    warmup_epochs: int = option(1, "first epochs, which compile and are never scored", low=1, high=1000)
    batch_size: int = option(1, "events per step of each rank", low=1, high=65_536)
    global_batch_size: int = option(
        0, "events per step of all ranks together; 0: batch_size of each", low=0, high=2**31 - 1
    )
    train_events: int = option(1, "training events", low=1, high=100_000_000)
    validation_events: int = option(1, "validation events", low=1, high=100_000_000)
    lr_scaling: str = option(
        "none",
        "learning rate times the ratio of all ranks' batch to batch_size (linear), or its root (sqrt)",
        choices=("none", "linear", "sqrt"),
    )
    lr_warmup_steps: int = option(
        0, "first steps, in which the learning rate rises from nearly 0", low=0, high=2**31 - 1
    )
    compression: str = option("none", "number format of gradients between ranks", choices=("none", "fp16"))
    inference_seconds: float = option(
        10.0, "seconds for which inference is repeated, at least", low=0.0, high=86_400.0
    )
    quiet_epoch_seconds: float = option(
        10.0, "seconds that a timed epoch of a quiet run takes, at least", low=0.0, high=86_400.0
    )
    max_input_wait: float = option(
        0.1, "share of an epoch, or of inference, that a quiet run waits for input", low=0.0, high=1.0
    )

    def check(self) -> None:
        """Looks at keys that depend on each other.

        Raises:
            UsageError: They do not fit together.
        """
        if self.epochs <= self.warmup_epochs:
            raise UsageError(
                f"epochs: expected more than the {self.warmup_epochs} warm-up epoch(s), got {self.epochs}; "
                f"warm-up is never scored, so ask for at least {self.warmup_epochs + 1}"
            )
        if self.batch_size > self.train_events:
            raise UsageError(
                f"batch_size: expected at most the {self.train_events} training events, "
                f"got {self.batch_size}; lower --batch-size or raise --set train_events"
            )

    def for_ranks(self, ranks: int) -> Self:
        """Returns the configuration of each rank, with the batch sizes that the ranks come to.

        Raises:
            UsageError: The events of a step do not divide among the ranks, or are more than there are.
        """
        whole = self.global_batch_size or self.batch_size * ranks
        if whole % ranks:
            raise UsageError(f"global_batch_size: expected a multiple of the {ranks} ranks, got {whole}")
        if whole > self.train_events:
            raise UsageError(
                f"global_batch_size: expected at most the {self.train_events} training events, got {whole} "
                f"on {ranks} rank(s); lower --batch-size or --global-batch-size, or raise --set train_events"
            )
        config = dataclasses.replace(self, batch_size=whole // ranks, global_batch_size=whole)
        config.check()
        return config

    def learning_rate_factor(self, ranks: int) -> float:
        """Returns what ``lr_scaling`` multiplies the learning rate by, which is meant for ``batch_size``."""
        ratio = (self.global_batch_size or self.batch_size * ranks) / self.batch_size
        return {"none": 1.0, "linear": ratio, "sqrt": math.sqrt(ratio)}[self.lr_scaling]

    def size_summary(self) -> str:
        """Describes in words what decides how much memory a training takes."""
        return f"batch_size {self.batch_size} in {self.precision}"


def as_training(config: RunConfig, what: str) -> TrainingConfig:
    """Returns the configuration itself, which has to be that of a training.

    Args:
        config: Of a run.
        what: What asks for a training, such as ``scale``.

    Raises:
        UsageError: It is of another kind.
    """
    if not isinstance(config, TrainingConfig):
        raise UsageError(f"{what}: expected a training, got {config.workload}, which is {config.kind}")
    return config


@dataclass(frozen=True)
class Resolved:
    """An effective configuration and where each value came from."""

    preset: str
    config: RunConfig
    origins: Mapping[str, str]
    changed: tuple[str, ...] = ()  # keys with another value than the preset's
    resolved: tuple[str, ...] = ()  # keys that were ``auto``

    def with_auto_resolved(self, config: RunConfig) -> Self:
        """Returns the same with the values that were chosen for the keys that are ``auto``."""
        keys = (item.name for item in dataclasses.fields(config))
        resolved = tuple(key for key in keys if getattr(self.config, key) == "auto" != getattr(config, key))
        return dataclasses.replace(self, config=config, resolved=resolved)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON values, workload and preset included."""
        return {
            "workload": self.config.workload,
            "kind": self.config.kind,
            "preset": self.preset,
            "changed": list(self.changed),
            "resolved": list(self.resolved),
            **dataclasses.asdict(self.config),
        }

    def describe(self) -> str:
        """One line a key: its value, where the value came from, what the key means."""
        lines = [f"{self.config.workload}, preset {self.preset}"]
        for field in dataclasses.fields(self.config):
            value = getattr(self.config, field.name)
            shown = f"{field.name} = {value!r}" if isinstance(value, str) else f"{field.name} = {value}"
            lines.append(f"  {shown:<30} {self.origins[field.name]:<16} {field.metadata['text']}")
        return "\n".join([*lines, self.config.memory_summary()])


def resolve(
    preset: str,
    base: RunConfig,
    *,
    file: Path | None = None,
    assignments: Iterable[str] = (),
    sweep: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> Resolved:
    """Lays a file, ``--set`` assignments and flags over a preset.

    Args:
        preset: Name of the preset.
        base: Its values.
        file: YAML mapping from key to value.
        assignments: ``KEY=VALUE`` texts.
        sweep: The same, from ``--sweep``.
        flags: Values of command-line flags; None means not given.

    Raises:
        UsageError: An unknown key, a value out of range, or keys that do not fit together.
    """
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if file is not None:
        layers.append((str(file), _read_file(file)))
    layers.extend(
        (origin, dict(_split(item, origin) for item in items))
        for origin, items in (("--set", assignments), ("--sweep", sweep))
    )
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    layers.extend((f"--{key.replace('_', '-')}", {key: value}) for key, value in given.items())

    fields = {item.name: item for item in dataclasses.fields(base)}
    values: dict[str, Any] = {}
    origins = dict.fromkeys(fields, f"preset {preset}")
    for origin, layer in layers:
        for key, value in layer.items():
            if key not in fields:
                raise UsageError(_unknown("key", key, fields, origin))
            values[key] = _parse(fields[key], value, origin)
            origins[key] = origin
    if values.get("global_batch_size") and "batch_size" in values:
        raise UsageError("batch_size and global_batch_size contradict each other; leave one of them out")
    config = dataclasses.replace(base, **values)
    config.check()
    changed = tuple(name for name in fields if getattr(config, name) != getattr(base, name))
    return Resolved(preset, config, origins, changed)


def choose(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """``known[name]``, or one line that names the nearest.

    Raises:
        UsageError: There is no such name.
    """
    if name not in known:
        raise UsageError(_unknown(kind, name, known))
    return known[name]


def _unknown(kind: str, name: str, known: Iterable[str], origin: str = "") -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {', '.join(names)}"
    return f"unknown {kind} {name!r}{f' in {origin}' if origin else ''}: {hint}"


def _split(assignment: str, origin: str) -> tuple[str, str]:
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{origin}: expected KEY=VALUE, got {assignment!r}")
    return key.strip(), value.strip()


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: a month 13, text that is not UTF-8
        reason = " ".join(str(error).split())
        raise UsageError(f"--config {path}: expected a readable YAML file, got: {reason}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: expected KEY: VALUE lines, got a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def _parse(field: dataclasses.Field[Any], value: Any, origin: str) -> Any:
    """One value, from text or YAML, to the field's type and within its range."""
    kind = type(field.default)
    where = f"{field.name} (from {origin})"
    try:
        parsed = _convert(kind, value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{where}: expected {_describe(field)}, got {value!r}") from None
    choices, low, high = (field.metadata[name] for name in ("choices", "low", "high"))
    if "on" in choices:  # a switch that can also be left to the program takes the words of one that cannot
        parsed = {"true": "on", "yes": "on", "1": "on", "false": "off", "no": "off", "0": "off"}.get(
            parsed.lower(), parsed
        )
    outside = (low is not None and not parsed >= low) or (high is not None and not parsed <= high)
    if outside or (choices and parsed not in choices):
        raise UsageError(f"{where}: expected {_describe(field)}, got {value!r}")
    return parsed


def _convert(kind: type, value: Any) -> Any:
    if value is None or isinstance(value, list | dict):  # YAML: nothing behind the colon, or a block
        raise ValueError(value)
    if kind is bool:
        if isinstance(value, bool):
            return value
        words = {"true": True, "yes": True, "on": True, "1": True}
        words |= {"false": False, "no": False, "off": False, "0": False}
        if str(value).lower() not in words:
            raise ValueError(value)
        return words[str(value).lower()]
    if kind is str:
        if isinstance(value, bool):  # YAML reads a bare on/off as a truth value
            return "on" if value else "off"
        return str(value)
    if isinstance(value, bool):
        raise ValueError(value)
    if kind is int and isinstance(value, float):
        if not value.is_integer():
            raise ValueError(value)
        return int(value)
    return kind(value)


def _describe(field: dataclasses.Field[Any]) -> str:
    choices, low, high = (field.metadata[name] for name in ("choices", "low", "high"))
    if choices:
        return "one of " + ", ".join(choices)
    kind = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[type(field.default)]
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    return kind
