from __future__ import annotations

import time
from typing import Any

import pytest

from benchmarks.ranks.clocks import clock_offsets
from benchmarks.ranks.place import Place
from benchmarks.ranks.world import World


class TwoNodes(World):
    """The world of rank 0, with another one whose clock is 100 s ahead and which is late at times."""

    def __init__(self, nodes: int) -> None:
        super().__init__(Place(rank=0, size=2, nodes=nodes))

    def gather(self, value: Any) -> list[Any]:
        late = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 7.0, 7.0, 7.0]
        return [value, [reading + 100 + delay for reading, delay in zip(value, late, strict=True)]]


def test_the_clock_of_another_node_is_compared_with_that_of_rank_0() -> None:
    assert clock_offsets(TwoNodes(2)) == pytest.approx([0.0, 100.0])


def test_ranks_of_a_node_have_one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: pytest.fail("there is nothing to compare"))
    assert clock_offsets(TwoNodes(1)) == [0.0, 0.0]
