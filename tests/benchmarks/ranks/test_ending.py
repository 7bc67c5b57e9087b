"""How ranks end: what they say of it, and whom rank 0 names."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.errors import RunFailedError, Terminated, UsageError
from benchmarks.ranks.ending import (
    LOST_OTHERS,
    Ending,
    announce_error,
    ending_of_error,
    explain_loss_of_rank,
    read_ending,
    store_failure,
    write_ending,
    write_in_place_of_rank_0,
)
from benchmarks.ranks.place import Place
from benchmarks.ranks.store import KeyValueStore
from benchmarks.result import read_result
from tests.line import configured


class MemoryStore(KeyValueStore):
    """A store in this process."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, object], object] = {}

    def put(self, scope: str, key: object, value: object) -> None:
        self._values[scope, key] = value

    def get(self, scope: str, key: object) -> object:
        return self._values.get((scope, key))


class DeadStore(KeyValueStore):
    """A store whose process has ended."""

    def put(self, *_: object) -> None:
        raise RunFailedError("the store is gone")

    def get(self, *_: object) -> object:
        raise RunFailedError("the store is gone")


@pytest.fixture(autouse=True)
def _default_timeout() -> Iterator[None]:
    """Restores the timeout that a rank sets for the short rest of its life."""
    before = socket.getdefaulttimeout()
    yield
    socket.setdefaulttimeout(before)


ERRORS = [
    (UsageError("no such device"), Ending("failed", "no such device")),
    (OSError("no such device"), Ending("failed", "unexpected OSError: no such device")),
    (Terminated(), Ending("interrupted", "SIGTERM")),
    (KeyboardInterrupt(), Ending("interrupted", "Ctrl-C")),
]


@pytest.mark.parametrize(("error", "ending"), ERRORS)
def test_an_error_ends_a_rank_and_the_others_learn_of_it(error: BaseException, ending: Ending) -> None:
    store = MemoryStore()
    with pytest.raises(type(error)), announce_error(store, 1):
        raise error
    assert read_ending(store, 1) == ending_of_error(error) == ending
    assert read_ending(store, 2) is None


def test_only_an_error_without_words_of_the_program_is_unexpected() -> None:
    assert [ending.is_unexpected for _, ending in ERRORS] == [False, True, False, False]


def test_an_ending_names_its_rank_and_its_time() -> None:
    ending = Ending("failed", "out of paper").of_rank(3, 12.4)
    assert ending == ("failed", "out of paper (rank 3, 12 s after the start)")


def test_an_error_that_nobody_can_be_told_of_stays_what_it_is() -> None:
    with pytest.raises(UsageError, match=r"^no such device$"), announce_error(DeadStore(), 1):
        raise UsageError("no such device")


def test_a_store_that_is_gone_is_said() -> None:
    assert store_failure(MemoryStore()) is None
    assert store_failure(DeadStore()) == "the store is gone"


@pytest.mark.parametrize(
    ("text", "is_of_message"),
    [
        ("Horovod has been shut down. This was caused by an exception on one of the ranks", True),
        ("[/x/horovod-0.28.1/third_party/gloo/transport/tcp/pair.cc:589] Read error: Connection reset", True),
        ("[pair.cc:589 of Gloo] Connection closed by peer", True),
        ("NCCL error: unhandled system error", True),
        ("OOM when allocating tensor with shape[16,6400,512]", False),
    ],
)
def test_errors_of_messages_are_told_from_others(text: str, is_of_message: bool) -> None:
    """A rank other than 0 has nothing more to say of one. Rank 0 then asks who is lost."""
    store = MemoryStore()
    expected = ("failed", LOST_OTHERS) if is_of_message else None
    assert explain(RuntimeError(text), 1, 2, store) == expected
    for stop in (Terminated(), KeyboardInterrupt()):
        assert explain(stop, 1, 2, store) is None
        assert explain(after(stop, text), 1, 2, store) == expected


def explain(error: BaseException, rank: int, size: int, store: KeyValueStore) -> tuple[str, str] | None:
    """Returns what a rank says, without the seconds."""
    ending = explain_loss_of_rank(error, Place(rank=rank, size=size), store, time.monotonic())
    return ending and (ending.status, re.sub(r"\d+ s after", "N s after", ending.reason))


def after(stop: KeyboardInterrupt, text: str) -> KeyboardInterrupt:
    """Returns a signal that came while the framework was passing on what Horovod said."""
    try:
        try:
            raise RuntimeError(text)
        except RuntimeError as error:
            raise ValueError("step 3") from error
    except ValueError:
        try:
            raise stop
        except KeyboardInterrupt as caught:
            return caught


MESSAGE = "Horovod has been shut down"
SILENT = ("failed", "does not answer (rank 1, N s after the start)")


@pytest.mark.parametrize(
    ("endings", "noticed", "stopped"),
    [
        ({1: ("failed", "out of paper")}, *2 * [("failed", "out of paper (rank 1, N s after the start)")]),
        ({2: ("interrupted", "SIGTERM")}, *2 * [("interrupted", "SIGTERM (rank 2, N s after the start)")]),
        ({2: ("failed", LOST_OTHERS)}, SILENT, SILENT),
        ({}, SILENT, None),  # a launcher that stops the ranks leaves no time to hear all that are there
        (
            dict.fromkeys((1, 2), ("failed", LOST_OTHERS)),
            ("failed", f"the ranks lost each other: {MESSAGE}"),
            None,
        ),
    ],
)
def test_rank_0_says_who_is_lost(
    monkeypatch: pytest.MonkeyPatch,
    endings: dict[int, tuple[str, str]],
    noticed: tuple[str, str],
    stopped: tuple[str, str] | None,
) -> None:
    """Rank 0 notices by its own error, or by the signal of a launcher that was as fast."""
    monkeypatch.setattr("benchmarks.ranks.ending.ROLL_CALL_SECONDS", 0.3)
    store = MemoryStore()
    for number, ending in endings.items():
        write_ending(store, number, Ending(*ending))
    assert explain(RuntimeError(MESSAGE), 0, 3, store) == noticed
    assert explain(after(Terminated(), MESSAGE), 0, 3, store) == stopped


def test_a_launcher_that_has_ended_is_the_cause() -> None:
    """Rank 0 has no time to say so where it is stopped, too."""
    gone = "the store is gone"
    assert explain(RuntimeError(MESSAGE), 0, 2, DeadStore()) == ("failed", gone)
    assert explain(RuntimeError(MESSAGE), 1, 2, DeadStore()) == (
        "failed",
        f"{gone} (N s after the start)",
    )
    assert explain(after(Terminated(), MESSAGE), 0, 2, DeadStore()) is None


def test_a_result_in_place_of_rank_0_says_how_the_run_ended(tmp_path: Path) -> None:
    file, config = tmp_path / "result.json", configured().to_dict()
    write_in_place_of_rank_0(file, config, 4, Ending("failed", "killed by SIGKILL"), replace=False)
    result = read_result(file)
    assert (result.status, result.reason, result.world_size) == ("failed", "killed by SIGKILL", 4)
    with pytest.raises(FileExistsError):
        write_in_place_of_rank_0(file, config, 4, Ending("interrupted", "SIGTERM"), replace=False)
    assert read_result(file) == result
    write_in_place_of_rank_0(file, config, 4, Ending("interrupted", "SIGTERM"), replace=True)
    assert read_result(file).reason == "SIGTERM"
