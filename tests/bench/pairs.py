"""Two processes that take turns, so that a machine whose speed drifts is fair to both."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass

import psutil

DISTURBED = 0.15  # cores that other processes may take during a step; more, and its pair does not count


@dataclass(frozen=True)
class Side:
    """What one side of a comparison showed: medians over the pairs that count."""

    seconds: float
    peak: int


@dataclass(frozen=True)
class Pair:
    """A comparison; ``ratio`` is second over first seconds, ``counts`` says how many pairs it rests on."""

    first: Side
    second: Side
    ratio: float
    counted: int
    disturbed: int

    @property
    def counts(self):
        return counts(self.counted, self.disturbed)


def counts(counted, disturbed):
    """What a comparison rests on, in words."""
    if not counted:
        return f"all {disturbed} disturbed by other processes: do not quote"
    return f"{counted}" + (f" ({disturbed} disturbed, left out)" if disturbed else "")


class Stepper:
    """A stepper process; several may be started before each is ``ready``."""

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
        """Has it take a step, which ``answer`` is to."""
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
    """A step of each, all at once: seconds of the slowest, the largest peak; and foreign load in cores."""
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


def compare(first, second, pairs, *, together=True):
    """Lets two steppers, given by their arguments, take ``pairs`` steps each.

    They take turns, and the ratio is the median over the pairs; or, not ``together``, where memory is
    for one at a time, all steps of the first come first, and the ratio is that of the medians.
    """
    if together:
        taken = _in_turn(first, second, pairs)
    else:
        taken = list(zip(_alone(first, pairs), _alone(second, pairs), strict=True))
    quiet = [pair for pair in taken if max(foreign for _, foreign in pair) <= DISTURBED]
    counted = quiet or taken

    def side(index):
        answers = [pair[index][0] for pair in counted]
        return Side(statistics.median(x["seconds"] for x in answers), max(x["peak"] for x in answers))

    sides = side(0), side(1)
    if together:
        ratio = statistics.median(y["seconds"] / x["seconds"] for (x, _), (y, _) in counted)
    else:
        ratio = sides[1].seconds / sides[0].seconds
    return Pair(*sides, ratio, len(quiet), len(taken) - len(quiet))


def _in_turn(first, second, pairs):
    with contextlib.closing(Stepper(*first).ready()) as a, contextlib.closing(Stepper(*second).ready()) as b:
        return [(step(a), step(b)) for _ in range(pairs)]


def _alone(arguments, steps):
    with contextlib.closing(Stepper(*arguments).ready()) as stepper:
        return [step(stepper) for _ in range(steps)]
