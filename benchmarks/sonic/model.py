"""Predicts the time of an event when CPU processes share a GPU that serves their machine learning.

The published model of SONIC, a lower bound, and the exact solution of the same closed queue stand side by
side. All times are seconds of one event.

Source: M. Wang et al., GPU-Accelerated Machine Learning Inference as a Service for Computing in Neutrino
Experiments, Frontiers in Big Data 3 (2021), doi:10.3389/fdata.2020.604083.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClosedQueue:
    """Processes that take events one after the other, and all need one station, such as a GPU or a link.

    Attributes:
        think: Seconds of an event away from the station, for which processes do not wait for each other.
        service: Seconds of an event at the station, which serves one process at a time; above 0.
    """

    think: float
    service: float

    @property
    def knee(self) -> float:
        """Returns the number of processes that keep the station busy if they never wait for each other."""
        return (self.think + self.service) / self.service

    def lower_bound(self, processes: float) -> float:
        """Returns the time of an event in seconds, if processes wait only where the station is full.

        This is what service and think times without any fluctuation lead to.
        """
        return max(self.think + self.service, processes * self.service)

    def mean_times(self, most: int) -> list[float]:
        """Returns the mean time of an event in seconds for 1, 2, ..., ``most`` processes.

        The figures are exact if the time at the station is distributed exponentially. Mean-value analysis
        gets them for n processes from those for n - 1: a process that arrives finds as many others at the
        station as are there on average with one process less.
        """
        times = []
        queue_length = 0.0
        for processes in range(1, most + 1):
            at_station = self.service * (1 + queue_length)
            times.append(self.think + at_station)
            # Little's law: the processes at the station are the rate of events times the stay.
            queue_length = processes / times[-1] * at_station
        return times


@dataclass(frozen=True)
class Chain:
    """The parts of an event, in seconds, with its machine learning on a CPU and on a GPU behind a network.

    Attributes:
        cpu: The whole chain on a CPU alone.
        ml: Its machine learning, part of ``cpu``.
        preprocess: Making of the requests, which a service needs and a CPU alone does not.
        transfer: Bits of the event over the bandwidth between a process and the GPU.
        travel: Number of requests of the event times the latency of one.
        gpu: Machine learning on the GPU, with nobody else there.
    """

    cpu: float
    ml: float
    gpu: float
    preprocess: float = 0.0
    transfer: float = 0.0
    travel: float = 0.0

    @property
    def non_ml(self) -> float:
        """Returns the seconds that stay on the CPU, ``(1 - p) t_CPU``."""
        return self.cpu - self.ml

    @property
    def latency(self) -> float:
        """Returns the seconds that the service adds to those of the GPU, the preprocessing among them."""
        return self.preprocess + self.transfer + self.travel

    @property
    def remote_ml(self) -> float:
        """Returns the seconds that take the place of ``ml`` where no process waits for another one."""
        return self.latency + self.gpu

    @property
    def ideal(self) -> float:
        """Returns the seconds of an event where no process waits for another one, ``t_ideal``."""
        return self.non_ml + self.remote_ml

    def gpu_queue(self) -> ClosedQueue:
        """Returns the queue of the processes at one GPU.

        Its lower bound is the published formula. ``(1 - p) t_CPU + t_GPU [1 + max(0, r - t_ideal / t_GPU)]
        + t_lat`` for r processes per GPU is equal to ``max(t_ideal, r t_GPU)``.
        """
        return ClosedQueue(self.ideal - self.gpu, self.gpu)

    def network_queue(self, network: Network) -> ClosedQueue:
        """Returns the queue of all jobs at a network. Its knee is the number of jobs that it carries."""
        return ClosedQueue(self.ideal - network.seconds, network.seconds)


@dataclass(frozen=True)
class Network:
    """The narrowest part of a network that all jobs share.

    Attributes:
        gigabits: Of an event, 10^9 bits.
        bandwidth: Gigabits per second.
    """

    gigabits: float
    bandwidth: float

    @property
    def seconds(self) -> float:
        """Returns the seconds for which an event occupies the network."""
        return self.gigabits / self.bandwidth
