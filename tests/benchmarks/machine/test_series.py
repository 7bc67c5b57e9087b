"""The text of a series: what is written is read again, in few words."""

from __future__ import annotations

import pytest

from benchmarks.machine.series import read_series, read_times, read_values, write_steps, write_values


@pytest.mark.parametrize(
    ("values", "digits", "text"),
    [
        ([], 0, ""),
        ([300.0, 300.0, 300.0, 299.0], 0, "300x3 299"),
        ([1.25, 1.254, None, None, 0.0], 2, "1.25x2 -x2 0"),
        ([-0.001, 10.0, 100.0], 2, "0 10 100"),
        ([1e7, 0.5], 1, "10000000 0.5"),
    ],
)
def test_values_are_written_in_few_words(values: list[float | None], digits: int, text: str) -> None:
    assert write_values(values, digits) == text
    assert read_values(text) == [
        None if value is None else pytest.approx(value, abs=10**-digits / 2) for value in values
    ]


def test_an_hour_of_a_steady_quantity_is_one_word() -> None:
    assert write_values([1980.0] * 3600, 0) == "1980x3600"


def test_a_text_that_is_no_series_is_refused() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        read_values("1 two 3")


def test_times_do_not_drift_however_many_there_are() -> None:
    """Each step is rounded to 10 ms. Rounded on their own, a thousand of 1.004 s would be 4 s short."""
    times = [5000.0 + 1.004 * index for index in range(1000)]
    steps = write_steps(times)
    assert read_times({"started_at": 1e9, "steps": steps})[-1] - 1e9 == pytest.approx(999 * 1.004, abs=0.01)
    assert write_steps([7.0, 8.0, 9.0, 10.5]) == "0 1x2 1.5"


def test_an_entry_is_read_as_a_whole() -> None:
    entry = {
        "started_at": 100.0,
        "steps": "0 1x2",
        "columns": {
            "cpu_cores": {"unit": "cores", "source": "/proc", "values": "- 2x2"},
            "package_power": {"unit": "W", "source": None, "values": None, "missing": "no powercap"},
        },
        "gpus": [
            {"index": 0, "name": "X", "columns": {"power": {"unit": "W", "source": "y", "values": "300x3"}}}
        ],
    }
    readings = read_series(entry)
    assert readings.times == [100.0, 101.0, 102.0]
    assert readings.host.values == {"cpu_cores": [None, 2.0, 2.0], "package_power": []}
    assert readings.host.reasons == {"package_power": "no powercap"}
    assert [gpu.values for gpu in readings.gpus] == [{"power": [300.0] * 3}]
