"""A series with one sample a second from 1000 s on, whose figures can be checked by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.machine.series import write_values

START = 1000.0
REASON = "powercap: no package"


def entry(
    samples: int = 11,
    host: Mapping[str, Sequence[float | None]] | None = None,
    gpus: Sequence[Mapping[str, Sequence[float | None]]] = (),
    rank: int = 0,
    node: int = 0,
) -> dict[str, Any]:
    """Returns an entry of ``telemetry.series``.

    Args:
        samples: How many.
        host: Values of the columns of the host.
        gpus: Values of the columns of each GPU.
        rank: Which rank.
        node: Which node.
    """
    missing = {"unit": "W", "source": None, "values": None, "missing": REASON}
    return {
        "rank": rank,
        "node": node,
        "started_at": START,
        "steps": f"0 1x{samples - 1}",
        "columns": {"package_power": missing, **_columns(host or {})},
        "gpus": [{"index": index, "name": "GPU", "columns": _columns(gpu)} for index, gpu in enumerate(gpus)],
    }


def _columns(values: Mapping[str, Sequence[float | None]]) -> dict[str, Any]:
    return {
        name: {"unit": "?", "source": "by hand", "values": write_values(column, 3)}
        for name, column in values.items()
    }
