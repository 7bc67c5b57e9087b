"""Download of the files that the record of the public MLPF data set lists, checked against its checksums.

Zenodo refuses programs without a name of their own, and answers "too many requests" or "service unavailable"
when it is busy. Requests therefore carry a name, and wait as long as such an answer says.
"""

from __future__ import annotations

import email.utils
import http.client
import importlib.metadata
import json
import logging
import re
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from datasets.delphes.public import RECORD_URL, sort_names
from datasets.errors import DataError, explain_import_error
from datasets.parallel import Progress

TIMEOUT = 60.0
"""Seconds without an answer after which a connection counts as lost."""

RETRIES = 1
"""Number of further tries for a file that could not be fetched for a reason that names no time to wait."""

WAITS = 5
"""Number of times that one request waits for a busy server."""

DEFAULT_WAIT = 10.0
"""Seconds to wait for a busy server that does not say how long."""

LONGEST_WAIT = 600.0
"""Seconds after which nobody waits: a server that asks for more time gives an error."""

_BUSY = {429, 502, 503, 504}
_MD5 = re.compile(r"md5:[0-9a-f]{32}")

T = TypeVar("T")


def fetch(
    destination: Path,
    record_url: str = RECORD_URL,
    train_files: int | None = None,
    validation_files: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Fetches the data files of the record, except those that are there already and intact.

    A file appears under its name only when it is complete and checked. One that was cut off starts again
    from its beginning (pooch does not resume within a file). Call again to go on with the others.

    Args:
        destination: Folder of the files, which is made if it is missing.
        record_url: Address of the record in Zenodo's API.
        train_files: Number of ttbar files of 100 events, the lowest numbers first, by default all.
        validation_files: Number of QCD files, by default all.
        progress: Called with the number of files that are complete and their total.

    Returns:
        The folder.

    Raises:
        DataError: The record cannot be read or lists too few files, a file cannot be fetched or its
            checksum differs, or pooch is not installed or cannot be loaded.
    """
    try:
        import pooch
    except ImportError as error:
        raise DataError(f"fetching needs pooch, which is {explain_import_error(error, 'data')}") from error

    # The record says which files there are, and what each of them must be.
    files = _data_files(record_url)
    names = []
    for process, count in {"ttbar": train_files, "qcd": validation_files}.items():
        listed = sort_names(files)[process]
        if len(listed) < (1 if count is None else count):
            raise DataError(f"{record_url} lists {len(listed)} {process} files, {count or 1} are needed")
        names += listed[:count]

    # pooch downloads a file under a temporary name, and gives it its own when the checksum is right.
    store = pooch.create(
        destination,
        base_url="",
        registry={name: files[name][1] for name in names},
        urls={name: files[name][0] for name in names},
        retry_if_failed=RETRIES,
    )
    pooch.get_logger().setLevel(logging.WARNING)
    downloader = pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=1 << 16, headers=_headers())
    for done, name in enumerate(names, start=1):
        _fetch_file(store, name, lambda *request: _wait_if_busy(lambda: downloader(*request)))
        if progress is not None:
            progress(done, len(names))
    return destination


def _headers() -> dict[str, str]:
    """Returns the headers of every request. Servers turn away the names that libraries give themselves."""
    return {"User-Agent": f"hepbench/{importlib.metadata.version('hepbench')}"}


def _fetch_file(store: Any, name: str, downloader: Callable[..., None]) -> None:
    """Fetches one file into pooch's store, unless it is there."""
    try:
        store.fetch(name, downloader=downloader)
    except OSError as error:  # requests' exceptions are OSErrors, a full disk is one too
        raise DataError(
            f"{name} could not be fetched from {store.get_url(name)}: {error}; "
            "call again to go on, files that are complete are kept"
        ) from error
    except ValueError as error:  # pooch's word for a wrong checksum
        raise DataError(f"{name}: the checksum differs from the record's; fetch it again") from error


def _wait_if_busy(request: Callable[[], T]) -> T:
    """Returns what ``request`` returns, and repeats it for a while as long as the server is busy.

    Raises:
        OSError: The last try failed, or one of them for another reason.
    """
    for _ in range(WAITS):
        try:
            return request()
        except OSError as error:
            seconds = _seconds_to_wait(error)
            if seconds is None or seconds > LONGEST_WAIT:
                raise
            time.sleep(seconds)
    return request()


def _seconds_to_wait(error: OSError) -> float | None:
    """Returns the time after which a request that failed may be repeated, in seconds, or None for never."""
    # The errors of requests have an answer, those of urllib are one.
    answer: Any = getattr(error, "response", error)
    status = getattr(answer, "status_code", getattr(answer, "code", None))
    if status not in _BUSY:
        return None

    # The header gives seconds or a date.
    header = str(answer.headers.get("Retry-After", "")).strip()
    if header.isdecimal():
        return float(header)
    try:
        date = email.utils.parsedate_to_datetime(header)
    except ValueError:
        return DEFAULT_WAIT
    return max(0.0, date.timestamp() - time.time())


def _data_files(record_url: str) -> dict[str, tuple[str, str]]:
    """Returns the address and the MD5 checksum of each file that the record lists."""
    if not record_url.startswith(("http://", "https://")):
        raise DataError(f"the record's address must begin with http:// or https://, got {record_url}")

    # The record is small and read at once.
    try:
        record = json.loads(_wait_if_busy(lambda: _read(record_url)))
        files = {file["key"]: (file["links"]["self"], file["checksum"]) for file in record["files"]}
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{record_url} cannot be reached: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{record_url} is no record of Zenodo's API: no files with checksums") from error

    # Without a checksum of a known kind, pooch would take any file for the right one.
    for name, (_, checksum) in files.items():
        if not _MD5.fullmatch(str(checksum)):
            raise DataError(f"{record_url} gives {name} the checksum {checksum!r}; expected md5:...")
    return files


def _read(url: str) -> bytes:
    """Returns the body of an answer."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=_headers()), timeout=TIMEOUT) as answer:
        body: bytes = answer.read()
    return body
