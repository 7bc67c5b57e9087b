"""The figures of a load: rates, latencies, and where the time of a request goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.errors import RunFailedError
from benchmarks.serving.client import ClientRecord, Load
from benchmarks.serving.counters import Counters


def load_figures(
    load: Load,
    event_patches: int,
    records: Sequence[ClientRecord],
    counters: Counters | None,
    counted_seconds: float,
    started_at: float,
) -> Mapping[str, Any]:
    """Returns the figures of a load as JSON values.

    Args:
        load: What the clients did.
        event_patches: Patches of an event.
        records: Of all clients.
        counters: Of the server, for the time of the windows; None where it has none.
        counted_seconds: How long the server counted.
        started_at: When the windows started, in seconds since 1970 (UTC).

    Returns:
        ``clients``, ``batch``, ``in_flight``, ``rate``, ``work_seconds`` and ``window_seconds`` of the load.
        ``started_at`` and ``patches_per_second`` of each window. ``requests`` that were answered in the
        windows, and ``events``: those that ended after the warm-up, or with a ``rate`` those that arrived
        after it, of which ``unfinished`` took too long. ``event_seconds`` and ``request_seconds`` have
        ``mean``, ``p50``, ``p95``, ``p99`` and ``max``, and ``event_times`` and ``request_times`` each value.
        ``split_seconds`` has the mean of a request in the ``client``, ``network``, ``queue`` and ``compute``.
        ``mean_batch`` is the number of patches of an execution, of which there were ``executions``, and
        ``busy`` the share of the time in which the model worked. ``bytes_per_event`` are ``sent`` and
        ``received``.

    Raises:
        RunFailedError: No request or no event ended.
    """
    requests = np.array([row for record in records for row in record.requests], float).reshape(-1, 6)
    events = np.array([row for record in records for row in record.events], float).reshape(-1, 2)
    send_times, answer_times, client_seconds, patches, sent_bytes, received_bytes = requests.T

    # Of the events, those count that arrived at a random time after the warm-up, or that ended after it.
    in_windows = (answer_times >= 0) & (answer_times < load.measured_seconds)
    moments = events[:, 0 if load.rate else 1]
    events = events[moments >= 0]
    for what, number in (("request", int(in_windows.sum())), ("event", len(events))):
        if not number:
            raise RunFailedError(
                f"expected at least one {what} to end in the windows of {load.window_seconds:g} s, got none; "
                "lengthen them, or make the events smaller"
            )
    request_times = (answer_times - send_times)[in_windows]
    event_times = events[:, 1] - events[:, 0]

    edges = np.arange(load.windows + 1) * load.window_seconds
    rates = np.histogram(answer_times, edges, weights=patches)[0] / load.window_seconds
    per_event = event_patches / patches[in_windows].sum()
    return {
        "clients": load.clients,
        "batch": load.batch,
        "in_flight": load.in_flight,
        "rate": load.rate,
        "work_seconds": load.work_seconds,
        "window_seconds": load.window_seconds,
        "started_at": [started_at + float(edge) for edge in edges[:-1]],
        "patches_per_second": rates.tolist(),
        "requests": len(request_times),
        "events": len(event_times),
        "unfinished": sum(record.unfinished for record in records) if load.rate else 0,
        "event_seconds": _percentiles(event_times),
        "request_seconds": _percentiles(request_times),
        "event_times": event_times.tolist(),
        "request_times": request_times.tolist(),
        **_server_figures(request_times, client_seconds[in_windows], counters, counted_seconds),
        "bytes_per_event": {
            "sent": float(sent_bytes[in_windows].sum() * per_event),
            "received": float(received_bytes[in_windows].sum() * per_event),
        },
    }


def _percentiles(seconds: np.ndarray) -> dict[str, float]:
    """Returns mean, percentiles and maximum."""
    return {
        "mean": float(seconds.mean()),
        **{f"p{share}": float(np.percentile(seconds, share)) for share in (50, 95, 99)},
        "max": float(seconds.max()),
    }


def _server_figures(
    request_times: np.ndarray, client_seconds: np.ndarray, counters: Counters | None, counted_seconds: float
) -> dict[str, Any]:
    """Returns where the time of a request goes, and how the server joined requests.

    The network is whatever is not in the client, the queue or the model: the messages' way there and back,
    and the server's work on them.
    """
    client, request = float(client_seconds.mean()), float(request_times.mean())
    if counters is None or not counters.requests or not counters.executions:
        return {
            "split_seconds": {"client": client, "network": None, "queue": None, "compute": None},
            "mean_batch": None,
            "executions": None,
            "busy": None,
        }
    queue = counters.queue_seconds / counters.requests
    compute = counters.compute_seconds / counters.requests
    return {
        "split_seconds": {
            "client": client,
            "network": request - queue - compute,
            "queue": queue,
            "compute": compute,
        },
        "mean_batch": counters.patches / counters.executions,
        "executions": counters.executions,
        "busy": counters.busy_seconds / counted_seconds,
    }
