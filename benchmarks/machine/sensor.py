"""What every sensor of the telemetry has in common: named columns with one value for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.machine.series import Values, write_values

_NO_ANSWER = "it takes two samples"  # what changes with time is known from the second one on


@dataclass(frozen=True)
class Column:
    """What one column of a sensor holds.

    Attributes:
        unit: Such as ``W``.
        source: Where the values come from.
        digits: Digits after the point that a result keeps.
    """

    unit: str
    source: str
    digits: int = 0


class Sensor:
    """Something that is read once for each sample. A subclass has ``columns`` and ``read``.

    Attributes:
        columns: What it holds, by name.
        reasons: Why a column has no values, by name.
        values: Of each column, one for each sample.
    """

    columns: ClassVar[Mapping[str, Column]] = {}

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        self.values: dict[str, Values] = {name: [] for name in self.columns}

    def sample(self, now: float) -> None:
        """Takes one sample.

        Args:
            now: Time of the sample on the clock of the telemetry, in s.
        """
        readings = self.read(now)
        for name, values in self.values.items():
            values.append(readings.get(name))

    def read(self, now: float) -> Mapping[str, float | None]:
        """Returns what the sensor says now, by column; None or no entry where it does not answer."""
        raise NotImplementedError

    def answers(self, name: str) -> list[float]:
        """Returns the values of a column without the samples that had no answer."""
        return [value for value in self.values[name] if value is not None]

    def to_dict(self, samples: int) -> dict[str, Any]:
        """Returns the columns as JSON values, see ``benchmarks.machine.series``.

        Args:
            samples: How many samples were completed. An error may have left values of one more.
        """
        return {name: self._column(name, column, samples) for name, column in self.columns.items()}

    def _column(self, name: str, column: Column, samples: int) -> dict[str, Any]:
        values = self.values[name][:samples]
        if all(value is None for value in values):
            reason = self.reasons.get(name, _NO_ANSWER)
            return {"unit": column.unit, "source": None, "values": None, "missing": reason}
        text = write_values(values, column.digits)
        return {"unit": column.unit, "source": column.source, "values": text}


class FileSensor(Sensor):
    """A sensor made of files of the kernel, which may have no answer for a moment."""

    def sample(self, now: float) -> None:
        """Takes one sample. A file that cannot be read leaves it without values, and a reason.

        Args:
            now: Time of the sample on the clock of the telemetry, in s.
        """
        try:
            super().sample(now)
        except (OSError, ValueError) as error:
            self.reasons |= dict.fromkeys(self.columns, str(error))
            for values in self.values.values():
                values.append(None)


class Rate:
    """How fast a counter grows, from one reading to the next."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def per_second(self, now: float, count: float) -> float | None:
        """Returns the growth since the last reading, per second; None for the first one.

        Args:
            now: Time of the reading, in s.
            count: What the counter says. One that starts again from 0 gives no rate.
        """
        last, self._last = self._last, (now, count)
        if last is None or now <= last[0] or count < last[1]:
            return None
        return (count - last[1]) / (now - last[0])
