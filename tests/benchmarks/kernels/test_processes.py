from __future__ import annotations

import os

import pytest

from benchmarks.kernels.processes import (
    ENVIRONMENT,
    process_counts,
    run_alone,
    run_side_by_side,
    shares_of_cores,
)
from benchmarks.ranks.meeting import Meeting


@pytest.mark.parametrize(
    ("cores", "counts"),
    [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (96, [1, 2, 4, 8, 16, 32, 64, 96])],
)
def test_powers_of_two_and_all_cores_are_tried(cores: int, counts: list[int]) -> None:
    assert process_counts(cores) == counts


def test_shares_are_equal_and_disjoint() -> None:
    shares = shares_of_cores(range(1000, 1007), 3)
    assert [len(share) for share in shares] == [2, 2, 2]
    assert len({core for share in shares for core in share}) == 6


def variables_and_cores(first: str, meeting: Meeting) -> tuple[str, dict[str, str], set[int]]:
    meeting.meet()
    return first, {name: os.environ[name] for name in ENVIRONMENT}, os.sched_getaffinity(0)


def test_processes_have_one_blas_thread_and_cores_of_their_own() -> None:
    count = min(2, len(os.sched_getaffinity(0)))
    before = dict(os.environ)
    answers = run_side_by_side(count, variables_and_cores, "hello")
    assert [answer[:2] for answer in answers] == [("hello", ENVIRONMENT)] * count
    cores = [core for answer in answers for core in answer[2]]
    assert len(cores) == len(set(cores))
    assert run_alone(os.getpid) != os.getpid()
    assert dict(os.environ) == before
