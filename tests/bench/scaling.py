"""Prints what two ranks of one core each lose against one, and how much of that the machine takes anyway."""

import contextlib
import statistics

from benchmarks.ranks.horovod import serve_store
from benchmarks.ranks.place import LOOPBACK, Place
from tests.bench.pairs import DISTURBED, Stepper, counts, step

CASES = {
    "MLPF, batch 4, 1280 padded": ("mlpf", "ours", 4, 1280, "float32", "deterministic"),
    "GNN tracking, 10k nodes, 60k edges": ("gnn", "ours", "train", 10_000, 60_000, "store"),
}
ROUNDS = 25


def scaling():
    print("efficiency of two processes on a core each against one alone, with the same work for each:")
    print("two trainings that know nothing of each other, and two ranks of one; how the second compares")
    print(f"{'':<36}{'apart':>8}{'ranks':>8}{'ranks / apart':>16}  rounds")
    for name, case in CASES.items():
        rounds = _rounds(case)
        quiet = [results for results in rounds if max(foreign for _, foreign in results) <= DISTURBED]
        seconds = [[answer["seconds"] for answer, _ in results] for results in quiet or rounds]
        shares = [(alone / apart, alone / ranks, apart / ranks) for alone, apart, ranks in seconds]
        apart, ranks, compared = (statistics.median(column) for column in zip(*shares, strict=True))
        print(f"{name:<36}{apart:>8.3f}{ranks:>8.3f}{compared:>16.3f}", end="  ")
        print(counts(len(quiet), len(rounds) - len(quiet)), flush=True)


def _rounds(case):
    """Lets one process, two at once, and two ranks take a step in turn, ``ROUNDS`` times."""
    server = serve_store(LOOPBACK)
    with contextlib.ExitStack() as stack:

        def start(**how):
            return stack.enter_context(contextlib.closing(Stepper(*case, **how)))

        apart = [start(under=("taskset", "--cpu-list", str(core))) for core in (0, 1)]
        places = [Place(rank, 2, rank, 2, port=server.server_address[1]) for rank in (0, 1)]
        ranks = [start(environment=place.variables()) for place in places]
        for stepper in (*apart, *ranks):
            stepper.ready()
        rounds_of_steps = []
        for _ in range(ROUNDS):
            with _suspended(ranks):  # Horovod looks for work all the time
                one, two = step(apart[0]), step(*apart)
            rounds_of_steps.append((one, two, step(*ranks)))
    server.shutdown()
    return rounds_of_steps


@contextlib.contextmanager
def _suspended(steppers):
    for stepper in steppers:
        stepper.process.suspend()
    try:
        yield
    finally:
        for stepper in steppers:
            stepper.process.resume()
