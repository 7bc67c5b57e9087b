"""Prints the training steps on each backend against the same steps on TensorFlow, in turn."""

from benchmarks.backends import REGISTRY
from benchmarks.resolution import BACKEND_VARIABLE
from tests.bench.pairs import compare

GB = 1e9
PAIRS = 7
CASES = {
    "MLPF, batch 5, 1280 padded": ("mlpf", "ours", 5, 1280, "float32"),
    "GNN, 10k nodes, 60k edges, store": ("gnn", "ours", "train", 10_000, 60_000, "store"),
    "GNN, 10k nodes, 60k edges, checkpoint": ("gnn", "ours", "train", 10_000, 60_000, "checkpoint"),
}


def on_backends():
    print("training step of each backend against TensorFlow without XLA, float32, not deterministic")
    print(f"{'':<39}{'backend':<12}{'s':>8}{'TensorFlow':>12}{'ratio':>8}", end="")
    print(f"{'GB':>8}{'TensorFlow':>12}  pairs")
    for name, case in CASES.items():
        for backend in [name for name in REGISTRY if name != "tensorflow"]:
            environments = tuple({BACKEND_VARIABLE: side} for side in ("tensorflow", backend))
            pair = compare(case, case, PAIRS, environments=environments)
            plain, other = pair.first, pair.second
            print(f"{name:<39}{backend:<12}{other.seconds:>8.2f}{plain.seconds:>12.2f}", end="")
            print(
                f"{pair.ratio:>8.2f}{other.peak / GB:>8.2f}{plain.peak / GB:>12.2f}  {pair.counts}",
                flush=True,
            )
