"""Prints GNN tracking's steps against the plain transcription, in each memory mode."""

import dataclasses
import os
from dataclasses import dataclass

from benchmarks.machine.memory import memory_available_bytes
from benchmarks.workloads.gnn_tracking.config import MEMORY_MODES, PRESETS
from tests.bench.pairs import compare

GB = 1e9


@dataclass(frozen=True)
class Size:
    """The size of a graph, and how often it is measured.

    With ``large``, one training may take most of the machine. The two sides then run one after the other, and
    the plain one computes activations again, as the published code does.
    """

    nodes: int
    edges: int
    pairs: int
    large: bool = False


SIZES = [
    Size(10_000, 60_000, pairs=7),
    Size(20_000, 200_000, pairs=5),
    Size(100_000, 1_000_000, pairs=2, large=True),
]


def configuration(nodes, edges, mode):
    return dataclasses.replace(
        PRESETS["full"],
        pad_nodes=nodes,
        pad_edges=edges,
        directed=True,
        hidden=64,
        memory_mode=mode,
        xla="off",
        deterministic="off",
    )


def tracking():
    settings = "float32, hidden 64, random directed graphs, XLA off, not deterministic"
    print(f"GNN tracking, {settings}, {_malloc()}: ours against the plain transcription")
    print("training step; plain keeps all activations, with 1M edges it computes them again")
    _head()
    for size in SIZES:
        for mode in MEMORY_MODES:
            _train(size, mode)
    print("inference")
    _head()
    for size in SIZES:
        case = ("infer", size.nodes, size.edges)
        ours, plain = ("gnn", "ours", *case, "chunked"), ("gnn", "plain", *case, "store")
        _row(size, "chunked", compare(ours, plain, size.pairs))


def _train(size, mode):
    expected = configuration(size.nodes, size.edges, mode).expected_memory_bytes()
    room = memory_available_bytes()
    if expected > room:
        needs = f"left out: expected to take {expected / GB:.1f} GB, {room / GB:.1f} GB are available"
        print(f"{size.nodes:>7}{size.edges:>9}  {mode:<10}  {needs}", flush=True)
        return
    case = ("train", size.nodes, size.edges)
    ours, plain = (
        ("gnn", "ours", *case, mode),
        ("gnn", "plain", *case, "checkpoint" if size.large else "store"),
    )
    _row(size, mode, compare(ours, plain, size.pairs, together=not size.large))


def _head():
    print(f"{'nodes':>7}{'edges':>9}  {'mode':<10}{'ours':>8}{'plain':>8}  k edges/s", end="")
    print(f"{'ratio':>7}{'ours':>8}{'plain':>8}  GB peak{'ratio':>7}  pairs", flush=True)


def _row(size, mode, pair):
    ours, plain = pair.first, pair.second
    rates = (size.edges / side.seconds / 1000 for side in (ours, plain))
    print(f"{size.nodes:>7}{size.edges:>9}  {mode:<10}", *(f"{rate:>8.1f}" for rate in rates), sep="", end="")
    print(f"{pair.ratio:>18.2f}{ours.peak / GB:>8.2f}{plain.peak / GB:>8.2f}", end="")
    print(f"{ours.peak / plain.peak:>16.2f}  {pair.counts}", flush=True)


def _malloc():
    variables = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("MALLOC_")]
    return " ".join(sorted(variables)) or "no MALLOC_ setting"
