"""The cross sections as the runner sees them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.workload import Implementation
from benchmarks.workloads.mellin_dis import check_values, study
from benchmarks.workloads.mellin_dis.config import MellinConfig
from benchmarks.workloads.mellin_dis.cross_section import make_theory
from benchmarks.workloads.mellin_dis.ensembles import make_ensembles
from benchmarks.workloads.mellin_dis.events import KinematicEvents, open_events
from benchmarks.workloads.mellin_dis.implementations import FACTORIES, GRADIENT, implementations
from benchmarks.workloads.mellin_dis.partons import check_sum_rules, input_moments, published_partons


class MellinWorkload:
    """The bootstraps of a fit, as ``benchmarks.workload.Kernel`` says."""

    def prepare(self, config: MellinConfig, note: Callable[[str], None]) -> KinematicEvents:
        """Opens the events, and generates them first if the cache lacks them."""
        return open_events(config, note)

    def implementations(self) -> Mapping[str, Implementation]:
        """Returns what there is to compare, by name."""
        return implementations()

    def build(
        self,
        config: MellinConfig,
        events: KinematicEvents,
        name: str,
        count: int,
        backend: Any,
    ) -> Callable[[Sequence[int]], list[float]]:
        """Returns a function from the numbers of bootstraps to their losses."""
        ensembles = make_ensembles(
            make_theory(), events.x[:count], events.q2[:count], config.seed, config.parameter_spread
        )
        if name == GRADIENT:
            from benchmarks.workloads.mellin_dis.gradient import LossGradient

            with_gradient = LossGradient(ensembles, backend, xla=True)
            return lambda replicas: [
                with_gradient(ensembles.partons(replica), ensembles.weights(replica))[0]
                for replica in replicas
            ]
        calculate = FACTORIES[name](ensembles.theory, ensembles.x, ensembles.q2, backend)

        def losses(replicas: Sequence[int]) -> list[float]:
            moments = np.stack([ensembles.moments(replica) for replica in replicas])
            return [
                ensembles.loss(values, ensembles.weights(replica))
                for replica, values in zip(replicas, calculate(moments), strict=True)
            ]

        return losses

    def quality(self, config: MellinConfig, name: str, backend: Any) -> dict[str, float]:  # noqa: ARG002
        """Returns the largest relative deviation of an implementation from the check values."""
        theory, partons = make_theory(), published_partons()
        check_sum_rules(partons)
        moments = input_moments(partons, theory.contour.nodes)
        calculate = FACTORIES[name](theory, check_values.X, check_values.Q2, backend)
        return {"deviation": check_values.largest_deviation(calculate(moments[None])[0])}

    def published_rows(self, speed_ups: Mapping[str, float], device: str) -> list[list[str]]:
        """Returns the table of the published study beside the speed-ups of a run."""
        return study.rows_beside(speed_ups, device)


WORKLOAD = MellinWorkload()
