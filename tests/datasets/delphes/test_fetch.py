import email.utils
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from datasets.delphes.fetch import _fetch_file, fetch
from datasets.errors import DataError

pytest.importorskip("pooch", reason="files are fetched with pooch")

TTBAR = [f"tev14_pythia8_ttbar_0_{i}.pkl.bz2" for i in (0, 2, 10)]
QCD = ["tev14_pythia8_qcd_10_0.pkl.bz2"]


class Record(ThreadingHTTPServer):
    """Answers as Zenodo's API does for one record, whose files and faults can be changed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.url = f"{self.address}/api/records/1"
        self.contents = {name: name.encode() * 100 for name in (*TTBAR[::-1], *QCD, "README.md")}
        self.checksums = {n: f"md5:{hashlib.md5(c).hexdigest()}" for n, c in self.contents.items()}
        self.absent: set[str] = set()
        self.cut: set[str] = set()
        self.asked: list[str] = []
        self.busy: list[tuple[int, dict[str, str]]] = []  # the next answers, before any other
        self.agents: set[str] = set()

    def record(self) -> dict[str, object]:
        files = [
            {
                "key": name,
                "size": len(self.contents[name]),
                "checksum": checksum,
                "links": {"self": f"{self.address}/api/records/1/files/{name}/content"},
            }
            for name, checksum in self.checksums.items()
        ]
        return {"id": 1, "files": files}


class Answer(BaseHTTPRequestHandler):
    server: Record

    def do_GET(self) -> None:
        self.server.agents.add(self.headers["User-Agent"])
        if self.server.busy:
            status, headers = self.server.busy.pop(0)
            self._send(b"busy", status=status, headers=headers)
            return
        if self.path == "/api/records/1":
            self._send(json.dumps(self.server.record()).encode())
            return
        name = self.path.removesuffix("/content").rpartition("/")[2]
        self.server.asked.append(name)
        if name in self.server.absent or name not in self.server.contents:
            self.send_error(404)
        else:
            self._send(self.server.contents[name], cut=name in self.server.cut)

    def _send(
        self, body: bytes, cut: bool = False, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, *_: object) -> None:
        """Stays silent."""


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    monkeypatch.setattr("datasets.delphes.fetch.RETRIES", 0)
    with Record() as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_data_files_are_fetched_and_nothing_else(record: Record, tmp_path: Path):
    calls: list[tuple[int, int]] = []
    fetch(tmp_path / "data", record.url, progress=lambda *call: calls.append(call))
    assert names_in(tmp_path / "data") == sorted(TTBAR + QCD)
    assert (tmp_path / "data" / QCD[0]).read_bytes() == record.contents[QCD[0]]
    assert record.asked == TTBAR + QCD
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_limit_takes_the_lowest_numbers(record: Record, tmp_path: Path):
    fetch(tmp_path, record.url, train_files=2, validation_files=1)
    assert record.asked == [*TTBAR[:2], *QCD]


def test_intact_files_are_not_fetched_again_and_damaged_ones_are(record: Record, tmp_path: Path):
    fetch(tmp_path, record.url)
    record.asked.clear()
    (tmp_path / TTBAR[1]).write_bytes(b"half")
    (tmp_path / QCD[0]).unlink()
    fetch(tmp_path, record.url)
    assert record.asked == [TTBAR[1], QCD[0]]
    assert (tmp_path / TTBAR[1]).read_bytes() == record.contents[TTBAR[1]]


def test_a_wrong_checksum_is_named_and_the_file_not_kept(record: Record, tmp_path: Path):
    record.contents[TTBAR[1]] = b"something else"
    with pytest.raises(DataError, match=f"{TTBAR[1]}: the checksum differs from the record's"):
        fetch(tmp_path, record.url)
    assert names_in(tmp_path) == TTBAR[:1]


def test_a_missing_file_is_named(record: Record, tmp_path: Path):
    record.absent.add(TTBAR[0])
    with pytest.raises(DataError, match=rf"{TTBAR[0]} could not be fetched from http://127.*404"):
        fetch(tmp_path, record.url)
    assert names_in(tmp_path) == []


def test_a_dropped_connection_is_named_and_the_next_call_goes_on(record: Record, tmp_path: Path):
    record.cut.add(TTBAR[1])
    with pytest.raises(DataError, match=f"{TTBAR[1]}"):
        fetch(tmp_path, record.url)
    assert names_in(tmp_path) == TTBAR[:1]
    record.cut.clear()
    record.asked.clear()
    fetch(tmp_path, record.url)
    assert record.asked == [*TTBAR[1:], *QCD]


def test_a_passing_fault_is_tried_again(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("datasets.delphes.fetch.RETRIES", 1)
    record.absent.add(TTBAR[0])
    monkeypatch.setattr("time.sleep", lambda _: record.absent.clear())
    fetch(tmp_path, record.url, train_files=1)
    assert record.asked == [TTBAR[0], TTBAR[0], *QCD]


def test_a_record_with_too_few_files_is_named(record: Record, tmp_path: Path):
    with pytest.raises(DataError, match="lists 3 ttbar files, 4 are needed"):
        fetch(tmp_path, record.url, train_files=4)


def test_a_record_without_checksums_is_refused(record: Record, tmp_path: Path):
    record.checksums[TTBAR[0]] = "none"
    with pytest.raises(DataError, match=f"gives {TTBAR[0]} the checksum 'none'"):
        fetch(tmp_path, record.url)


def test_something_that_is_no_record_is_named(record: Record, tmp_path: Path):
    with pytest.raises(DataError, match="is no record of Zenodo's API"):
        fetch(tmp_path, f"{record.address}/api/records/1/files/{QCD[0]}/content")
    with pytest.raises(DataError, match="cannot be reached: HTTP Error 404"):
        fetch(tmp_path, f"{record.address}/api/records/2")
    with pytest.raises(DataError, match="must begin with http"):
        fetch(tmp_path, "file:///etc/hostname")


def test_nobody_there_is_named(tmp_path: Path):
    with Record() as server:
        url = server.url
    with pytest.raises(DataError, match="cannot be reached"):
        fetch(tmp_path, url)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited for a busy server, which pass at once."""
    seconds: list[float] = []
    monkeypatch.setattr("datasets.delphes.fetch.time.sleep", seconds.append)
    return seconds


def test_requests_have_a_name_of_their_own(record: Record, tmp_path: Path):
    fetch(tmp_path, record.url, train_files=1)
    (agent,) = record.agents
    assert agent.startswith("hepbench/")


def test_a_busy_server_is_waited_for_as_long_as_it_says(record: Record, tmp_path: Path, waits: list[float]):
    record.busy = [(429, {"Retry-After": "5"}), (503, {"Retry-After": "60"}), (504, {"retry-after": "0"})]
    fetch(tmp_path, record.url)
    assert waits == [5, 60, 0] and names_in(tmp_path) == sorted(TTBAR + QCD)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_waited_for_at_every_file(
    status: int, record: Record, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
):
    def hinder(_: str) -> None:
        record.busy = [(status, {"Retry-After": "3"})] * 2

    fetch(tmp_path, record.url, train_files=1)
    waits.clear()
    (tmp_path / TTBAR[0]).unlink()
    monkeypatch.setattr("datasets.delphes.fetch._fetch_file", hindered(hinder))
    fetch(tmp_path, record.url, train_files=2)
    assert waits == [3, 3] * 2


def hindered(hinder: Callable[[str], None]) -> Callable[..., None]:
    """Calls ``hinder`` before each file that is not there."""

    def fetch_file(store: Any, name: str, downloader: Any) -> None:
        if not (store.path / name).exists():
            hinder(name)
        _fetch_file(store, name, downloader)

    return fetch_file


def test_a_busy_server_may_give_a_date_or_nothing(record: Record, tmp_path: Path, waits: list[float]):
    date = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    past = "Wed, 21 Oct 2015 07:28:00 GMT"
    record.busy = [
        (503, {}),
        (503, {"Retry-After": "soon"}),
        (429, {"Retry-After": past}),
        (429, {"Retry-After": date}),
    ]
    fetch(tmp_path, record.url, train_files=1)
    assert waits[:3] == [10, 10, 0] and 90 < waits[3] <= 100


def test_waiting_has_an_end(record: Record, tmp_path: Path, waits: list[float]):
    record.busy = [(429, {"Retry-After": "2"})] * 99
    with pytest.raises(DataError, match="cannot be reached: HTTP Error 429: Too Many Requests"):
        fetch(tmp_path, record.url)
    assert waits == [2] * 5
    record.busy = [(503, {"Retry-After": "86400"})]
    with pytest.raises(DataError, match="cannot be reached: HTTP Error 503"):
        fetch(tmp_path, record.url)
    assert waits == [2] * 5


def test_a_refusal_is_quoted_and_what_is_there_is_kept(
    record: Record, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
):
    def refuse(name: str) -> None:
        record.busy = [(403, {})] if name == TTBAR[1] else []

    monkeypatch.setattr("datasets.delphes.fetch._fetch_file", hindered(refuse))
    with pytest.raises(DataError, match=rf"{TTBAR[1]} could not be fetched.*403.*; call again to go on"):
        fetch(tmp_path, record.url)
    assert names_in(tmp_path) == TTBAR[:1] and waits == []
    monkeypatch.undo()
    record.asked.clear()
    fetch(tmp_path, record.url)
    assert record.asked == [*TTBAR[1:], *QCD]


def test_pooch_that_is_missing_or_broken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError, match=r"fetching needs pooch, which is not installed: pip install"):
        fetch(tmp_path)
    monkeypatch.delitem(sys.modules, "pooch")
    (tmp_path / "pooch.py").write_text("raise ImportError('GLIBCXX_3.4.32 not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match=r"pooch, which is installed but cannot be loaded: GLIBCXX_3\.4\.32"):
        fetch(tmp_path)
