"""MLPF's presets and the keys that depend on each other."""

import dataclasses

import pytest

from benchmarks.errors import UsageError
from benchmarks.workloads.mlpf.config import PRESETS


def test_the_published_reproducibility_setting_on_more_events():
    config = PRESETS["hepscore"]
    assert (config.train_events, config.batch_size, config.epochs) == (5120, 16, 5)
    assert config.for_ranks(16).batch_size == 16  # 20 steps for each
    assert (config.pad_to, config.bin_size, config.pileup) == (6400, 640, 200.0)


@pytest.mark.parametrize("name", ["hepscore", "hepscore-small", "full"])
def test_presets_to_compare_with_pad_as_the_original_does(name):
    assert PRESETS[name].pad_to == 6400
    assert PRESETS[name].padding == "fixed"
    assert PRESETS[name].learning_rate == 1e-4


@pytest.mark.parametrize(("pad_to", "bin_size"), [(640, 640), (1000, 640), (64_640, 640)])
def test_padding_is_two_to_a_hundred_bins(pad_to, bin_size):
    config = dataclasses.replace(PRESETS["smoke"], pad_to=pad_to, bin_size=bin_size)
    with pytest.raises(UsageError, match=f"expected 2 to 100 times the bin_size of 640, got {pad_to}"):
        config.check()


def test_bucket_lengths():
    config = dataclasses.replace(PRESETS["smoke"], padding="buckets", pad_to=6400)
    assert config.lengths() == (1280, 2560, 3840, 5120, 6400)
    assert dataclasses.replace(config, padding="fixed").lengths() == (6400,)


@pytest.mark.parametrize(
    ("batch_size", "pad_to", "peak"),
    [(4, 1280, 1.46e9), (5, 6400, 4.64e9), (5, 6400, 4.80e9), (10, 6400, 8.44e9), (16, 6400, 13.88e9)],
)
def test_the_predicted_memory_is_that_of_runs(batch_size, pad_to, peak):
    """Peaks in float32: of runs, of ``make bench`` (4.80 GB), and of the reference run (13.88 GB)."""
    config = dataclasses.replace(PRESETS["smoke"], batch_size=batch_size, pad_to=pad_to)
    assert config.expected_memory_bytes() == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize(("batch_size", "peak"), [(2, 1.50e9), (8, 3.45e9)])
def test_the_predicted_memory_in_float64_is_that_of_runs(batch_size, peak):
    config = dataclasses.replace(PRESETS["smoke"], batch_size=batch_size, precision="float64")
    assert config.expected_memory_bytes() == pytest.approx(peak, rel=0.05)


def test_the_floor():
    config = dataclasses.replace(PRESETS["smoke"], min_accuracy=0.5, max_loss=3)
    assert config.quality_failure({"accuracy": 0.5, "loss": 3}) == ""
    assert config.quality_failure({"accuracy": 0.5, "loss": 4}) == "loss: expected at most 3, got 4"
    assert config.quality_failure({"accuracy": 0.49}) == "accuracy: expected at least 0.5, got 0.4900"


def test_the_operations_of_an_event_are_those_of_the_published_model():
    """60.9e9 forward for 6400 rows, counted on the original, and twice as many backward."""
    assert PRESETS["full"].operations_per_event() == pytest.approx(3 * 60.9e9, rel=0.005)
