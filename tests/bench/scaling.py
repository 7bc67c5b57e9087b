"""Prints what two ranks of one core each lose against one, and how much of that the machine takes anyway."""

import contextlib
import statistics

from benchmarks.meeting import serve
from benchmarks.ranks import LOOPBACK, Place
from tests.bench.pairs import DISTURBED, Stepper, step

CASES = {
    "MLPF, batch 4, 1280 padded": ("mlpf", "ours", 4, 1280, "float32", "deterministic"),
    "GNN tracking, 10k nodes, 60k edges": ("gnn", "ours", "train", 10_000, 60_000, "store"),
}
ROUNDS = 3


def scaling():
    print("a training step on two cores, one for each process, the same work for each; relative to one alone")
    print(f"{'':<36}{'two, apart':>12}{'two ranks':>12}  efficiency{'messages and waiting':>22}  rounds")
    for name, case in CASES.items():
        rounds = _rounds(case)
        quiet = [
            [answer["seconds"] for answer, _ in taken]
            for taken in rounds
            if max(foreign for _, foreign in taken) <= DISTURBED
        ]
        counted = quiet or [[answer["seconds"] for answer, _ in taken] for taken in rounds]
        apart, together = (
            statistics.median(alone / taken[index] for alone, *taken in counted) for index in (0, 1)
        )
        waiting = statistics.median(1 - both / ranks for _, both, ranks in counted)
        said = f"{len(quiet)} of {len(rounds)} undisturbed"
        print(f"{name:<36}{apart:>12.3f}{together:>12.3f}{waiting:>34.3f}  {said}", flush=True)


def _rounds(case):
    """Each one's step alone, its step beside an independent one, and a step of two ranks."""
    server = serve(LOOPBACK)
    places = [Place(rank, 2, rank, 2, port=server.server_address[1]) for rank in (0, 1)]
    with contextlib.ExitStack() as stack:
        open_ = lambda **how: stack.enter_context(contextlib.closing(Stepper(*case, **how)))  # noqa: E731
        apart = [open_(under=("taskset", "--cpu-list", str(core))) for core in (0, 1)]
        ranks = [open_(environment=place.variables()) for place in places]
        for stepper in (*apart, *ranks):
            stepper.ready()
        taken = []
        for _ in range(ROUNDS):
            with _suspended(ranks):  # Horovod looks for work all the time
                taken.append([step(apart[0]), step(*apart)])
            taken[-1].append(step(*ranks))
    server.shutdown()
    return taken


@contextlib.contextmanager
def _suspended(steppers):
    for stepper in steppers:
        stepper.process.suspend()
    try:
        yield
    finally:
        for stepper in steppers:
            stepper.process.resume()
