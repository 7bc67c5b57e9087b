"""Two processes that take turns, so that a machine whose speed drifts is fair to both."""

import contextlib
import json
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
        if not self.counted:
            return f"all {self.disturbed} disturbed by other processes: do not quote"
        return f"{self.counted}" + (f" ({self.disturbed} disturbed, left out)" if self.disturbed else "")


class Stepper:
    """A stepper process; ``step`` has it take one step and says how much the others used."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "tests.bench.stepper", *map(str, arguments)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        self._arguments = " ".join(map(str, arguments))
        self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"stepper {self._arguments} ended with code {self._process.wait()}")
        return json.loads(line)

    def step(self):
        busy = _busy()
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        answer = self._answer()
        foreign = (_busy() - busy - answer["cpu"]) / answer["seconds"]
        return answer, foreign

    def close(self):
        self._process.stdin.close()
        self._process.wait()


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
    with contextlib.closing(Stepper(*first)) as a, contextlib.closing(Stepper(*second)) as b:
        return [(a.step(), b.step()) for _ in range(pairs)]


def _alone(arguments, steps):
    with contextlib.closing(Stepper(*arguments)) as stepper:
        return [stepper.step() for _ in range(steps)]
