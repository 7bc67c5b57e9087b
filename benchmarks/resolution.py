"""The layers of a configuration, each value with its origin.

A preset comes first, and over it the variable ``KERAS_BACKEND``, a file, ``--set``, ``--sweep`` and flags.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from benchmarks.config import RunConfig
from benchmarks.errors import UsageError

BACKEND_VARIABLE = "KERAS_BACKEND"


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
        """Returns the configuration as JSON values, workload and preset included."""
        return {
            "workload": self.config.workload,
            "kind": self.config.kind,
            "preset": self.preset,
            "changed": list(self.changed),
            "resolved": list(self.resolved),
            **dataclasses.asdict(self.config),
        }

    def describe(self) -> str:
        """Describes each key in a line: its value, where the value came from, what the key means."""
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
    """Lays ``KERAS_BACKEND``, a file, ``--set`` assignments and flags over a preset.

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
    if backend := os.environ.get(BACKEND_VARIABLE):  # Keras takes an empty variable for one that is not set
        layers.append((BACKEND_VARIABLE, {"backend": backend}))
    if file is not None:
        layers.append((str(file), _read_file(file)))
    layers.extend(
        (origin, dict(_split(item, origin) for item in items))
        for origin, items in (("--set", assignments), ("--sweep", sweep))
    )
    flag_values = {key: value for key, value in (flags or {}).items() if value is not None}
    layers.extend((f"--{key.replace('_', '-')}", {key: value}) for key, value in flag_values.items())

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


def choose(kind: str, name: str, entries: Mapping[str, Any]) -> Any:
    """Returns ``entries[name]``.

    Raises:
        UsageError: There is no such name; the message names the nearest.
    """
    if name not in entries:
        raise UsageError(_unknown(kind, name, entries))
    return entries[name]


def _unknown(kind: str, name: str, entries: Iterable[str], origin: str = "") -> str:
    names = sorted(entries)
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
    """Converts one value, from text or YAML, to the type of its field and checks its range."""
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
