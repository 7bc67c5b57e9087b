"""Results for pages: runs with physics plots and telemetry whose numbers are made up, and runs without."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from benchmarks import plots
from benchmarks.machine.series import write_steps, write_values
from benchmarks.result import RunResult
from benchmarks.scores import account
from tests.benchmarks.kernels.test_figures import RESULT
from tests.results import result

START = 1_790_000_000.0


def physics() -> list[plots.Plot]:
    """Returns a plot of each form."""
    edges = np.linspace(0.0, 2.0, 21)
    hits = np.random.default_rng(1).normal(0, 400, (40, 3))
    pairs = {
        "kept, true": np.array([[0, 1], [1, 2]]),
        "kept, false": np.array([[2, 3]]),
        "cut, true": np.zeros((0, 2)),
    }
    return [
        plots.matrix(
            "Classes", ("Predicted class", "True class"), ("none", "photon"), np.array([[9, 1], [0, 0]])
        ),
        plots.histogram(
            "Response",
            ("$p_T$, predicted / true", "Particles"),
            edges,
            {"all": np.array([0.9, 1.0, 5.0])},
            log="y",
        ),
        plots.shares(
            "Tracks by $p_T$",
            ("$p_T$ [GeV]", "Share"),
            np.array([0.0, 1.0, 2.0, np.inf]),
            {"track efficiency": (np.array([1, 0, 3]), np.array([2, 0, 3]))},
        ),
        plots.event_display("An event", hits, np.arange(40) < 4, pairs),
    ]


def telemetry(gpu: bool) -> dict[str, Any]:
    """Returns four samples of a run with one scored epoch, and of a GPU with a limit of power."""
    times = [START + second for second in range(4)]

    def column(unit: str, values: list[float | None]) -> dict[str, Any]:
        return {"unit": unit, "source": "made up", "values": write_values(values, 2)}

    gpus = {
        "index": 0,
        "name": "Example GPU",
        "columns": {
            "power": column("W", [100.0, 200.0, None, 250.0]),
            "throttle_reasons": column("", [0, 4, 4, 0]),
            "temperature": {"unit": "°C", "source": None, "values": None, "missing": "not supported"},
        },
    }
    return {
        "seconds": 3.0,
        "foreign_cpu_cores_mean": 0.0,
        "series": [
            {
                "rank": 0,
                "node": 0,
                "started_at": START,
                "steps": write_steps(times),
                "columns": {
                    "cpu_cores": column("cores", [0.5, 2.0, 2.0, 1.5]),
                    "package_power": {
                        "unit": "W",
                        "source": None,
                        "values": None,
                        "missing": "powercap: there is none",
                    },
                },
                "gpus": [gpus] if gpu else [],
            }
        ],
        "phases": [
            {
                "name": "epoch 1",
                "score": "train",
                "start": START + 1,
                "end": START + 2,
                "events": 100,
                "ranks": [{"columns": {"cpu_cores": {"mean": 2.0, "min": 2.0, "max": 2.0}}, "gpus": []}],
            }
        ],
    }


def energy(part: str, joules: float | None, events: int) -> dict[str, Any]:
    """Returns the energy of a part of the machine, or that none was measured."""
    return {
        "joules": joules,
        "joules_per_event": joules / events if joules else None,
        "events_per_joule": events / joules if joules else None,
        "source": "counter of energy" if joules else None,
        "leaves_out": f"all but the {part}",
        "missing": "" if joules else "powercap: none",
    }


def finished(**changes: Any) -> RunResult:
    """Returns a run that ended well, with everything that a page draws."""
    run = result()
    single = {**run.inference["single"], "latencies": [0.5, 0.6, 0.75]}
    run = dataclasses.replace(
        run,
        breakdown={"plots": physics()},
        inference={**run.inference, "single": single},
        telemetry=telemetry(gpu=True),
        verdict={"word": "disturbed", "reasons": ["others kept 0.50 of the run's cores busy"], "remarks": []},
        device="cpu",
        energy_scored={
            "train": {
                "events": 300,
                "seconds": 10.0,
                "gpu": energy("GPU", 750.0, 300),
                "cpu": energy("CPU", None, 300),
            }
        },
    )
    return dataclasses.replace(run, scores=account(run).scores, **changes)


def kernel() -> RunResult:
    """Returns a numerical kernel with the tables that are checked by hand."""
    config = {**RESULT.config, "repetitions": 1}
    return dataclasses.replace(RESULT, config=config, quality={"deviation": 1e-10})


def failed() -> RunResult:
    """Returns a run that ended before there was anything to measure."""
    config = {**result().config, "kind": "training"}
    return RunResult.without_figures(config, 1, "failed", "does not fit: needs 9 GiB, has 8")
