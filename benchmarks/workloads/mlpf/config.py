"""MLPF's configuration and presets, which can be read without a framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.config import TrainingConfig, option
from benchmarks.errors import UsageError

CLASSES = 6
ENCODED_WIDTH = 14  # features of an element, its type as three of them
GRAPH_LAYERS, UNITS, DISTANCE_DIM = (
    3,
    256,
    128,
)  # graph layers of a stack, their outputs, dimensions of a point
MAX_BINS = 100  # the hash has 50 projections, two bins each
DECAY_STEPS = 10_000
DECAY_RATE = 0.99
# Guessing the most frequent class of tracks and that of towers is right for 0.73 of the elements.
MIN_ACCURACY = 0.8

# Layer widths of each head, output last. The heads id and charge read Z, eta and phi read [Z, logits],
# energy and pt read [Z, logits, energy features twice, logits]. The doubling is the original's, and
# ``MLPF.decode`` folds it.
HEADS: dict[str, tuple[int, ...]] = {
    "id": (256, 128, 64, 32, CLASSES),
    "charge": (256, 128, 1),
    "eta": (256, 128, 64, 2),
    "phi": (256, 128, 64, 4),
    "energy": (256, 128, 64, CLASSES),
    "pt": (256, 128, 64, 2),
}
READS_LOGITS = ("eta", "phi", "energy", "pt")
READS_ENERGY_STACK = ("energy", "pt")


def head_inputs(name: str, decoded_width: int, energy_width: int) -> int:
    """Returns the number of features that a head reads.

    Args:
        name: Key of ``HEADS``.
        decoded_width: Features of Z.
        energy_width: Features of all layers of the energy stack.
    """
    inputs = decoded_width + (CLASSES if name in READS_LOGITS else 0)
    return inputs + (2 * energy_width + CLASSES if name in READS_ENERGY_STACK else 0)


@dataclass(frozen=True)
class MLPFConfig(TrainingConfig):
    """A training of MLPF, with the original benchmark's values as defaults."""

    workload: ClassVar[str] = "mlpf"

    epochs: int = option(10, "passes over the training events, warm-up included", low=2, high=100_000)
    batch_size: int = option(5, "events per step", low=1, high=65_536)
    train_events: int = option(50_000, "ttbar events to train on", low=1, high=100_000_000)
    validation_events: int = option(5_000, "QCD events to validate on", low=1, high=100_000_000)
    generator: str = option(
        "pythia",
        "pythia: generated events come from Pythia; toy: simpler ones, where it cannot be had",
        choices=("pythia", "toy"),
    )
    pileup: float = option(200.0, "mean number of pile-up collisions of generated events", low=0, high=1000)
    pool_events: int = option(20_000, "minimum-bias events to draw pile-up from", low=1, high=10_000_000)
    data_seed: int = option(1, "seed of generated events", low=0, high=2**31 - 1)
    pad_to: int = option(6400, "elements per event with padding; more are cut off", low=2, high=1_000_000)
    bin_size: int = option(640, "elements per bin of the hash", low=1, high=100_000)
    padding: str = option(
        "fixed",
        "fixed: every event to pad_to; buckets: a batch to the shortest even number of bins that holds "
        "it (other bins and loss denominators than the original's)",
        choices=("fixed", "buckets"),
    )
    learning_rate: float = option(1e-4, "Adam's initial learning rate", low=1e-12, high=1.0)
    min_accuracy: float = option(MIN_ACCURACY, "accuracy below which a run has no score", low=0.0, high=1.0)

    def check(self) -> None:
        """Checks the keys that depend on each other.

        Raises:
            UsageError: ``pad_to`` and ``bin_size`` do not fit together.
        """
        super().check()
        bins, remainder = divmod(self.pad_to, self.bin_size)
        if remainder or not 2 <= bins <= MAX_BINS:
            raise UsageError(
                f"pad_to: expected 2 to {MAX_BINS} times the bin_size of {self.bin_size}, got {self.pad_to}"
            )

    def lengths(self) -> tuple[int, ...]:
        """Returns the padded lengths that a batch may take, in elements, ascending."""
        if self.padding == "fixed":
            return (self.pad_to,)
        return (*range(2 * self.bin_size, self.pad_to, 2 * self.bin_size), self.pad_to)

    def expected_memory_bytes(self) -> int:
        """Returns the peak memory that a training is expected to take, in bytes.

        The formula is linear in the padded rows of a batch, and adds a row of a bin's pair matrices for
        each of them. It is fitted to the peaks of deterministic runs, and to those that
        ``make bench`` prints. A result holds the measured peak beside the expected one.
        """
        rows = self.batch_size * self.pad_to
        per_row, per_pair = {"float64": (223_000, 48), "float32": (107_000, 24)}.get(
            self.precision, (56_000, 22)
        )
        return 880_000_000 + rows * (per_row + per_pair * self.bin_size)

    def operations_per_event(self) -> float:
        """Returns the floating-point operations of a training event, see ``TrainingConfig``."""
        # A row has products with the weights, and two with the rows of its bin: distances and messages.
        products = 0
        for width in (ENCODED_WIDTH, *(GRAPH_LAYERS - 1) * (UNITS,)):
            products += width * DISTANCE_DIM + DISTANCE_DIM**2 + 3 * width * UNITS
            products += self.bin_size * (DISTANCE_DIM + UNITS)
        products *= 2  # stacks
        energy_width = GRAPH_LAYERS * UNITS
        for name, widths in HEADS.items():
            inputs = head_inputs(name, ENCODED_WIDTH + energy_width, energy_width)
            products += sum(a * b for a, b in zip((inputs, *widths), widths, strict=False))
        return 3 * 2.0 * self.pad_to * products

    def quality_failure(self, quality: Mapping[str, float]) -> str:
        """Returns a line that says which figure is worse than its limit, or an empty string."""
        accuracy = quality["accuracy"]
        if accuracy >= self.min_accuracy:
            return super().quality_failure(quality)
        return f"accuracy: expected at least {self.min_accuracy:g}, got {accuracy:.4f}"


_PUBLISHED: dict[str, Any] = {"batch_size": 16, "min_accuracy": 0.85}

PRESETS: dict[str, MLPFConfig] = {
    # A minute and a half on two cores, data included.
    "smoke": MLPFConfig(
        epochs=4,
        batch_size=4,
        train_events=64,
        validation_events=32,
        pileup=30.0,
        pool_events=500,
        pad_to=1280,
        learning_rate=1e-3,
        inference_seconds=2.0,
        quiet_epoch_seconds=0.0,
        min_steps=4,
        max_loss=450.0,
    ),
    # The published reproducibility setting on more events: an epoch lasts more than 10 s on a fast GPU, and
    # 16 ranks have 20 steps in it.
    "hepscore": MLPFConfig(epochs=5, train_events=5120, validation_events=512, max_loss=1500.0, **_PUBLISHED),
    # The same step for two cores, which take about 10 minutes.
    "hepscore-small": MLPFConfig(epochs=4, train_events=128, validation_events=32, min_steps=4, **_PUBLISHED),
    # The whole published training: as many events as the public data set has.
    "full": MLPFConfig(),
    # The step of ``hepscore`` on events that need no Pythia, for a GPU that is at hand for minutes.
    "gpu-check": MLPFConfig(
        epochs=4,
        batch_size=16,
        train_events=480,
        validation_events=32,
        generator="toy",
        inference_seconds=2.0,
        quiet_epoch_seconds=0.0,
        min_accuracy=0.0,
    ),
    # As small as a CPU does it in seconds.
    "cpu-check": MLPFConfig(
        threads=1,  # threads that wait for each other would take longer
        epochs=4,
        batch_size=4,
        train_events=12,
        validation_events=4,
        generator="toy",
        pileup=2.0,
        pad_to=128,
        bin_size=32,
        learning_rate=1e-3,
        inference_seconds=0.2,
        quiet_epoch_seconds=0.0,
        min_steps=3,
        min_accuracy=0.0,
    ),
}
