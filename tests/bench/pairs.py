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
    """A comparison: ``ratio`` is the median over the pairs of second over first seconds."""

    first: Side
    second: Side
    ratio: float
    counted: int
    disturbed: int


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


def compare(first, second, pairs):
    """Lets two steppers, given by their arguments, take ``pairs`` steps in turn."""
    with contextlib.closing(Stepper(*first)) as a, contextlib.closing(Stepper(*second)) as b:
        taken = [(a.step(), b.step()) for _ in range(pairs)]
    quiet = [pair for pair in taken if max(foreign for _, foreign in pair) <= DISTURBED]
    counted = quiet or taken

    def side(index):
        answers = [pair[index][0] for pair in counted]
        return Side(statistics.median(x["seconds"] for x in answers), max(x["peak"] for x in answers))

    ratio = statistics.median(y["seconds"] / x["seconds"] for (x, _), (y, _) in counted)
    return Pair(side(0), side(1), ratio, len(quiet), len(taken) - len(quiet))
