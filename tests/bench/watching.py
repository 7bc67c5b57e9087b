"""Measures what a run pays for being watched: verdict, meetings of copies and telemetry, in CPU time."""

import os
import statistics
import threading
import time

from benchmarks.machine.telemetry import Telemetry
from benchmarks.ranks.meeting import CopyMeeting, MeetingPoint
from benchmarks.verdict import verdict
from tests.results import result

COPIES = 2
MEETINGS = 500
VERDICTS = 500
EPOCH_SECONDS = 10.0  # the shortest epoch of a quiet run
INTERVAL_SECONDS = 0.05  # between samples here, so that there are many


def watching():
    """Prints each cost, and what they come to in the shortest epoch that counts as quiet."""
    sample, meeting, judgement = sample_seconds(), meeting_seconds(), verdict_seconds()
    cores = len(os.sched_getaffinity(0))
    whole = EPOCH_SECONDS * sample + 2 * meeting + judgement
    print("cost of watching a run, CPU time:")
    print(
        f"  telemetry {sample * 1e3:.2f} ms a second ({sample:.2%} of a core), "
        f"a meeting of {COPIES} copies {meeting * 1e3:.2f} ms",
        end="",
    )
    print(f", a verdict {judgement * 1e3:.2f} ms")
    print(f"  in an epoch of {EPOCH_SECONDS:g} s on {cores} cores, with two meetings and a verdict: ", end="")
    print(f"{whole / (EPOCH_SECONDS * cores):.3%} of the CPU time")


def sample_seconds():
    """Returns the CPU time of a sample of the telemetry, of which a run takes one a second."""
    with Telemetry(interval=INTERVAL_SECONDS) as telemetry:
        time.sleep(5)
    return telemetry.summary()["sample_cpu_seconds_median"]


def meeting_seconds():
    """Returns the CPU time of one meeting, of all copies and of the point at which they meet."""
    point = MeetingPoint(COPIES)
    point.start()
    names = [next(iter(point.variables(index).values())).rpartition(":")[0] for index in range(COPIES)]
    copies = [CopyMeeting(name, index) for index, name in enumerate(names)]

    def meet(copy):
        for _ in range(MEETINGS):
            copy.meet()

    threads = [threading.Thread(target=meet, args=(copy,)) for copy in copies]
    start = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = (time.process_time() - start) / MEETINGS
    for copy in copies:
        copy.close()
    point.close()
    return seconds


def verdict_seconds():
    """Returns the median CPU time of judging a run."""
    run, costs = result(), []
    for _ in range(VERDICTS):
        start = time.process_time()
        verdict(run)
        costs.append(time.process_time() - start)
    return statistics.median(costs)
