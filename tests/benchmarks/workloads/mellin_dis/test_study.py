"""The arithmetic of the published study: which figures follow from each other, and which one does not."""

from __future__ import annotations

import pytest

from benchmarks.workloads.mellin_dis.study import (
    RANKS_ON_ONE_GPU,
    ROWS,
    THREADS,
    TOTAL_HOURS,
    amdahl_hours,
    effective_speed_up,
    efficiency,
    end_to_end_speed_up,
    node_ratio,
    parallel_fraction,
    rows_beside,
)


@pytest.mark.parametrize(
    ("name", "fraction", "predicted", "end_to_end"),
    [
        ("vectorised NumPy", 0.99397, 36.14, 7.12),
        ("C++", 0.99394, 17.70, 14.52),
        ("PyTorch on a GPU", 0.99395, 11.99, 21.44),
    ],
)
def test_three_rows_follow_from_one_serial_part(
    name: str, fraction: float, predicted: float, end_to_end: float
) -> None:
    row = ROWS[name]
    assert parallel_fraction(row) == pytest.approx(fraction, abs=1e-5)
    assert amdahl_hours(row.speed_up) == pytest.approx(predicted, abs=0.006)
    assert end_to_end_speed_up(row) == pytest.approx(end_to_end, abs=0.006)


def test_the_serial_part_is_an_hour_and_a_half() -> None:
    assert amdahl_hours(float("inf")) == pytest.approx(1.55, abs=0.01)
    assert amdahl_hours(1) == pytest.approx(TOTAL_HOURS)


def test_a_kernel_897_times_as_fast_would_have_taken_a_third_of_the_published_time() -> None:
    """The job behaved as if the kernel were 69 times as fast: the GPU was not full."""
    row = ROWS["CUDA"]
    assert amdahl_hours(row.speed_up) == pytest.approx(1.84, abs=0.005)
    assert row.hours / amdahl_hours(row.speed_up) == pytest.approx(2.85, abs=0.01)
    assert effective_speed_up(row.hours) == pytest.approx(69, abs=0.5)
    assert end_to_end_speed_up(row) == pytest.approx(48.97, abs=0.005)
    assert ROWS["C++"].hours / row.hours == pytest.approx(3.37, abs=0.005)


def test_the_effective_speed_up_undoes_the_law() -> None:
    assert effective_speed_up(amdahl_hours(20.0)) == pytest.approx(20)


def test_ratios_and_efficiencies_are_those_of_the_study() -> None:
    assert ROWS["PyTorch on a GPU"].speed_up / ROWS["C++"].speed_up == pytest.approx(1.547, abs=5e-4)
    efficiencies = [efficiency(speed_up, threads) for threads, speed_up in THREADS.items()]
    assert efficiencies == pytest.approx([1.00, 1.04, 0.89, 0.78], abs=0.005)
    ranks, speed_up = RANKS_ON_ONE_GPU
    assert efficiency(speed_up, ranks) == pytest.approx(0.393, abs=5e-4)
    assert node_ratio(THREADS[128], gpus=6, gpu_speed_up=4.16) == pytest.approx(4.0, abs=0.005)


def test_ours_stand_beside_the_study() -> None:
    """A kernel 100 times as fast leaves 1.558 h of serial work and 2.555 h of kernel."""
    header, vectorised, compiled, eager, cuda = rows_beside({"vectorised": 3.0, "compiled": 100.0}, "cpu")
    assert {len(row) for row in (header, vectorised, compiled, eager, cuda)} == {8}
    assert vectorised[:5] == ["vectorised NumPy", "7.39", "7.12", "36.13", "36.14"]
    assert compiled == ["C++", "15.83", "14.52", "17.70", "17.70", "compiled", "100", "4.11"]
    assert eager[5:] == cuda[5:] == ["-", "-", "-"]
    assert cuda[3:5] == ["5.25", "1.84"]


def test_what_ran_on_a_cpu_does_not_stand_beside_a_gpu() -> None:
    speed_ups = {"eager": 5.0, "pairs": 60.0}
    *_, on_cpu = rows_beside(speed_ups, "cpu")
    *_, eager, on_gpu = rows_beside(speed_ups, "gpu")
    assert on_cpu[5] == "-"
    assert (eager[5], on_gpu[5]) == ("eager, gpu", "pairs, gpu")
