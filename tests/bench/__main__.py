"""Prints the comparisons: ``python -m tests.bench [PART...]``, all parts by default."""

import sys

from tests.bench.backends import on_backends
from tests.bench.feed import feed
from tests.bench.graphs import graphs
from tests.bench.harness import PAIRS, overhead
from tests.bench.pairs import compare
from tests.bench.scaling import scaling
from tests.bench.tracking import tracking
from tests.bench.watching import watching

GB = 1e9
CASES = [
    (batch, padded, precision)
    for precision in ("float32", "mixed_bfloat16")
    for padded in (1280, 6400)
    for batch in (1, 5)
]


def steps():
    print("MLPF training step, XLA off, not deterministic: ours against the plain transcription")
    print(f"{'precision':<16}{'batch':>6}{'padded':>8}{'ours':>9}{'plain':>9}  events/s", end="")
    print(f"{'ratio':>8}{'ours':>8}{'plain':>8}  GB peak{'ratio':>7}  pairs")
    for batch, padded, precision in CASES:
        case = (batch, padded, precision)
        pairs = 5 if batch * padded > 10_000 else 15
        pair = compare(("mlpf", "ours", *case), ("mlpf", "plain", *case), pairs)
        ours, plain = pair.first, pair.second
        print(
            f"{precision:<16}{batch:>6}{padded:>8}{batch / ours.seconds:>9.3f}{batch / plain.seconds:>9.3f}"
            f"{pair.ratio:>18.2f}{ours.peak / GB:>8.2f}{plain.peak / GB:>8.2f}"
            f"{ours.peak / plain.peak:>16.2f}  {pair.counts}",
            flush=True,
        )


def switches():
    print("our MLPF step, batch 5, 1280 padded: time with the switch over time without")
    for precision in ("float32", "mixed_bfloat16"):
        for switch in ("deterministic", "xla"):
            case = ("mlpf", "ours", 5, 1280, precision)
            pair = compare(case, (*case, switch), pairs=15)
            print(f"{precision:<16}{switch:<14}{pair.ratio:>6.2f}  {pair.counts}", flush=True)


def harness():
    cost = overhead()
    print("cost of the runner (feed, progress, timer, telemetry) over a bare loop of the same steps:")
    print(f"  wall clock {cost.wall - 1:+.2%} (quartiles {cost.low - 1:+.2%}, {cost.high - 1:+.2%})", end="")
    print(f", CPU time {cost.cpu - 1:+.2%}; medians over {PAIRS} pairs of epochs")


# The harness last: it loads a framework, whose memory the steps may need.
PARTS = {
    "steps": steps,
    "switches": switches,
    "tracking": tracking,
    "backends": on_backends,
    "scaling": scaling,
    "graphs": graphs,
    "feed": feed,
    "watching": watching,
    "harness": harness,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()
