"""Charged particles through the TrackML detector: ACTS' generic detector in a field of 2 T, and Fatras.

The only module that imports acts (the package pyacts). ``datasets.trackml.simulation`` imports it when events
are made. Fatras follows each particle through the field and the material: multiple scattering, energy loss by
ionisation and radiation, conversion of radiated photons. Nuclear interactions and decays are not in it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import acts.examples
import acts.fatras
import numpy as np
from numpy.typing import NDArray

from datasets.pythia import PARTICLE
from datasets.trackml.columns import CROSSING, MODULE

FIELD = 2.0
"""Magnetic field in T, along z, everywhere."""

MOMENTUM_MIN = 0.05
"""Smallest momentum down to which particles are followed, GeV."""

_QUIET = acts.logging.FATAL


def propagate(particles: NDArray[np.void], seed: int) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Follows charged particles through the detector.

    Args:
        particles: PARTICLE array of particles that are produced inside the tracker.
        seed: Whole number of 63 bits. The same seed and particles give the same result.

    Returns:
        A CROSSING array, and a PARTICLE array of ``particles`` followed by the charged particles that they
        made on the way.
    """
    # One thread, because ACTS draws its random numbers by event and a chain has one event.
    detector, field = _detector()
    source, sink = _Source(particles), _Sink(len(particles))
    chain = acts.examples.Sequencer(events=1, numThreads=1, logLevel=_QUIET, trackFpes=False)
    chain.addReader(source)

    # Every process that Fatras has, and a hit on each sensitive surface.
    chain.addAlgorithm(
        acts.examples.FatrasSimulation(
            level=_QUIET,
            inputParticles="particles",
            outputParticles="simulated",
            outputSimHits="crossings",
            randomNumbers=acts.examples.RandomNumbers(seed=seed),
            trackingGeometry=detector.trackingGeometry(),
            magneticField=field,
            pMin=MOMENTUM_MIN * acts.UnitConstants.GeV,
            emScattering=True,
            emEnergyLossIonisation=True,
            emEnergyLossRadiation=True,
            emPhotonConversion=True,
            generateHitsOnSensitive=True,
        )
    )

    # The sink takes crossings and secondary particles out of the chain.
    chain.addAlgorithm(sink)
    chain.run()
    return sink.crossings, np.concatenate([particles, sink.secondaries])


@cache
def modules() -> NDArray[np.void]:
    """Returns a MODULE array of all sensitive modules of the detector."""
    detector, _ = _detector()
    context = detector.nominalGeometryContext()
    rows = [
        (where.volume, where.layer, where.sensitive, tuple(surface.center(context)))
        for where, surface in detector.trackingGeometry().geoIdSurfaceMap().items()
        if where.sensitive  # the others are the layers' own surfaces
    ]
    return np.array(rows, dtype=MODULE)


@cache
def _detector() -> tuple[Any, Any]:
    """Builds the detector and its field, once in a process."""
    config = acts.examples.GenericDetector.Config()
    for name in ("logLevel", "surfaceLogLevel", "layerLogLevel", "volumeLogLevel"):
        setattr(config, name, _QUIET)
    field = acts.ConstantBField(acts.Vector3(0.0, 0.0, FIELD * acts.UnitConstants.T))
    return acts.examples.GenericDetector(config), field


# The two ends of the chain hand over particles and crossings without files. They go through C++ objects one
# by one, because the bindings give no arrays.


class _Source(acts.examples.IReader):  # type: ignore[misc]
    """The beginning of the chain: one event with the particles of a PARTICLE array."""

    def __init__(self, particles: NDArray[np.void]) -> None:
        super().__init__("source", _QUIET)
        self._particles = particles
        self._output = acts.examples.WriteDataHandle(self, acts.examples.SimParticleContainer, "output")
        self._output.initialize("particles")

    def availableEvents(self) -> tuple[int, int]:  # noqa: N802
        """Returns the range of event numbers, as ACTS asks for it."""
        return 0, 1

    def read(self, context: Any) -> Any:
        """Puts the particles on the event's board."""
        container = acts.examples.SimParticleContainer()
        for number, state in enumerate(_states(self._particles), start=1):
            container.insert(_sim_particle(number, *state))
        self._output(context, container)
        return acts.examples.ProcessCode.SUCCESS


class _Sink(acts.examples.IAlgorithm):  # type: ignore[misc]
    """The end of the chain: holds the crossings and the charged secondary particles after the run."""

    crossings: NDArray[np.void]
    secondaries: NDArray[np.void]

    def __init__(self, primaries: int) -> None:
        super().__init__("sink", _QUIET)
        self._primaries = primaries
        self._hits = acts.examples.ReadDataHandle(self, acts.examples.SimHitContainer, "hits")
        self._hits.initialize("crossings")
        self._particles = acts.examples.ReadDataHandle(self, acts.examples.SimParticleContainer, "particles")
        self._particles.initialize("simulated")

    def execute(self, context: Any) -> Any:
        """Takes crossings and secondary particles from the event's board."""
        store = context.eventStore
        secondaries = [p for p in self._particles(store) if p.particleId.generation and p.charge]
        rows = {_barcode(particle): self._primaries + row for row, particle in enumerate(secondaries)}
        self.secondaries = np.array([_particle_row(particle) for particle in secondaries], dtype=PARTICLE)
        self.crossings = np.array([_crossing_row(hit, rows) for hit in self._hits(store)], dtype=CROSSING)
        return acts.examples.ProcessCode.SUCCESS


def _states(particles: NDArray[np.void]) -> list[tuple[Any, ...]]:
    """Returns PDG number, x, y, z, unit vector and size of the momentum of each particle, in mm and GeV."""
    pt, eta, phi = (particles[name].astype(np.float64) for name in ("pt", "eta", "phi"))
    direction = np.stack([np.cos(phi), np.sin(phi), np.sinh(eta)]) / np.cosh(eta)
    columns = [particles["pdg"], *(particles[axis] for axis in "xyz"), *direction, pt * np.cosh(eta)]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _sim_particle(
    number: int, pdg: int, x: float, y: float, z: float, ux: float, uy: float, uz: float, p: float
) -> Any:
    """Returns a primary particle of ACTS with a number, which counts from 1."""
    barcode = acts.fatras.Barcode()
    barcode.vertexPrimary, barcode.particle = 1, number
    particle = acts.examples.SimParticle(barcode, acts.PdgParticle(pdg))  # ACTS knows charge and mass
    particle.fourPosition = acts.Vector4(x, y, z, 0.0)
    particle.direction = acts.Vector3(ux, uy, uz)
    particle.absoluteMomentum = p * acts.UnitConstants.GeV
    return particle


def _barcode(owner: Any) -> tuple[int, int, int]:
    """Returns the identity of a particle, or of a hit's particle. Primary particles have generation 0."""
    barcode = owner.particleId
    return barcode.particle, barcode.generation, barcode.subParticle


def _particle_row(particle: Any) -> tuple[Any, ...]:
    """Returns a row of a PARTICLE array."""
    at, pt = particle.fourPosition, particle.transverseMomentum
    eta = np.arcsinh(particle.momentum[2] / pt)
    charge = round(particle.charge)
    return int(particle.pdg), charge, pt, eta, particle.phi, particle.energy, at[0], at[1], at[2]


def _crossing_row(hit: Any, secondaries: dict[tuple[int, int, int], int]) -> tuple[Any, ...]:
    """Returns a row of a CROSSING array.

    Args:
        hit: Hit of ACTS.
        secondaries: Row of each secondary particle by its identity.
    """
    where, at, momentum = hit.geometryId, hit.fourPosition, hit.momentum4Before
    number, generation, _ = barcode = _barcode(hit)
    row = secondaries[barcode] if generation else number - 1
    position, entry = (at[0], at[1], at[2]), (momentum[0], momentum[1], momentum[2])
    return where.volume, where.layer, where.sensitive, row, hit.index, position, entry
