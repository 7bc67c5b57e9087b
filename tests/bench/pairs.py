"""Two processes that take turns, so that a machine whose speed drifts is fair to both."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import psutil

DISTURBED = 0.15  # most cores that other processes may take during a step of a pair that counts


@dataclass(frozen=True)
class Side:
    """The figures of one side of a comparison, over the pairs that count.

    ``seconds`` is the median, ``peak`` the largest peak of memory in bytes.
    """

    seconds: float
    peak: int


@dataclass(frozen=True)
class Pair:
    """A comparison. ``ratio`` is second over first seconds, ``counts`` says how many pairs it rests on."""

    first: Side
    second: Side
    ratio: float
    counted: int
    disturbed: int

    @property
    def counts(self):
        return counts(self.counted, self.disturbed)


def counts(counted, disturbed):
    """Says in words how many pairs a comparison rests on."""
    if not counted:
        return f"all {disturbed} disturbed by other processes: do not quote"
    return f"{counted}" + (f" ({disturbed} disturbed, left out)" if disturbed else "")


class Stepper:
    """A stepper process. You may start several before you wait for each to be ``ready``."""

    def __init__(self, *arguments, under=(), environment=None):
        command = [*under, sys.executable, "-m", "tests.bench.stepper", *map(str, arguments)]
        self.process = psutil.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._arguments = " ".join(map(str, arguments))

    def ready(self):
        """Waits for the end of the warm-up."""
        self.answer()
        return self

    def begin(self):
        """Lets the process take a step. ``answer`` waits for its end."""
        self.process.stdin.write("step\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"stepper {self._arguments} ended with code {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def step(*steppers):
    """Lets steppers take a step at once.

    Returns:
        Seconds of the slowest and the largest peak. Cores that other processes took meanwhile.
    """
    busy = _busy()
    for stepper in steppers:
        stepper.begin()
    answers = [stepper.answer() for stepper in steppers]
    seconds, peak = (max(answer[key] for answer in answers) for key in ("seconds", "peak"))
    foreign = (_busy() - busy - sum(answer["cpu"] for answer in answers)) / seconds
    return {"seconds": seconds, "peak": peak}, foreign


def _busy():
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq + times.steal


def compare(first, second, pairs, *, together=True, environments=(None, None)):
    """Compares two steppers, which take ``pairs`` steps each.

    Args:
        first: Arguments of the first stepper.
        second: Arguments of the second stepper.
        pairs: Number of steps.
        environments: Variables of the first and of the second stepper, in addition to those of this process.
        together: Let them take turns, so that the ratio is the median over the pairs. Otherwise, where
            memory suffices for one at a time, all steps of the first come first, and the ratio is that of
            the medians.
    """
    steppers = [
        partial(Stepper, *arguments, environment=environment)
        for arguments, environment in zip((first, second), environments, strict=True)
    ]
    if together:
        results = _in_turn(*steppers, pairs)
    else:
        results = list(zip(*(_alone(stepper, pairs) for stepper in steppers), strict=True))
    quiet = [pair for pair in results if max(foreign for _, foreign in pair) <= DISTURBED]
    counted = quiet or results

    def side(index):
        answers = [pair[index][0] for pair in counted]
        return Side(statistics.median(x["seconds"] for x in answers), max(x["peak"] for x in answers))

    sides = side(0), side(1)
    if together:
        ratio = statistics.median(y["seconds"] / x["seconds"] for (x, _), (y, _) in counted)
    else:
        ratio = sides[1].seconds / sides[0].seconds
    return Pair(*sides, ratio, len(quiet), len(results) - len(quiet))


def _in_turn(first, second, pairs):
    with contextlib.closing(first().ready()) as a, contextlib.closing(second().ready()) as b:
        return [(step(a), step(b)) for _ in range(pairs)]


def _alone(start, steps):
    with contextlib.closing(start().ready()) as stepper:
        return [step(stepper) for _ in range(steps)]
