"""Fetches the files of the public MLPF data set that the record itself lists, checksums included."""

from __future__ import annotations

import http.client
import json
import logging
import re
import urllib.request
from pathlib import Path
from typing import Any

from datasets.delphes.public import RECORD_URL, sort_names
from datasets.errors import DataError
from datasets.parallel import Progress

TIMEOUT = 60.0
"""Seconds without an answer after which a connection counts as lost."""

RETRIES = 1
_MD5 = re.compile(r"md5:[0-9a-f]{32}")


def fetch(
    destination: Path,
    record_url: str = RECORD_URL,
    train_files: int | None = None,
    validation_files: int | None = None,
    progress: Progress | None = None,
) -> Path:
    """Download the data files of the record; those already there and intact are not fetched again.

    A file appears under its name only when complete and checked. One that was cut off starts again
    from its beginning (pooch does not resume within a file); call again to go on with the rest.

    Args:
        destination: folder for the files; made when missing.
        record_url: the record in Zenodo's API.
        train_files: how many ttbar files of 100 events, the lowest numbers first; by default all.
        validation_files: how many QCD files; by default all.
        progress: called with the files done and their total.

    Returns:
        The folder.

    Raises:
        DataError: the record cannot be read or lists too few files, a file cannot be fetched or its
            checksum differs, or pooch is not installed.
    """
    try:
        import pooch
    except ImportError as error:
        raise DataError("fetching needs pooch: pip install '.[data]'") from error
    files = _data_files(record_url)
    names = []
    for process, count in {"ttbar": train_files, "qcd": validation_files}.items():
        listed = sort_names(files)[process]
        if len(listed) < (1 if count is None else count):
            raise DataError(f"{record_url} lists {len(listed)} {process} files, {count or 1} are needed")
        names += listed[:count]

    store = pooch.create(
        destination,
        base_url="",
        registry={name: files[name][1] for name in names},
        urls={name: files[name][0] for name in names},
        retry_if_failed=RETRIES,
    )
    pooch.get_logger().setLevel(logging.WARNING)
    for done, name in enumerate(names, start=1):
        _fetch_file(store, name, pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=1 << 16))
        if progress is not None:
            progress(done, len(names))
    return destination


def _fetch_file(store: Any, name: str, downloader: Any) -> None:
    try:
        store.fetch(name, downloader=downloader)
    except OSError as error:  # requests' exceptions are OSErrors, a full disk is one too
        raise DataError(f"{name} could not be fetched from {store.get_url(name)}: {error}") from error
    except ValueError as error:  # pooch's word for a wrong checksum
        raise DataError(f"{name}: the checksum differs from the record's; fetch it again") from error


def _data_files(record_url: str) -> dict[str, tuple[str, str]]:
    """Ask the record for its files: name -> (address, md5 checksum)."""
    if not record_url.startswith(("http://", "https://")):
        raise DataError(f"the record's address must begin with http:// or https://, got {record_url}")
    try:
        with urllib.request.urlopen(record_url, timeout=TIMEOUT) as answer:
            record = json.load(answer)
        files = {file["key"]: (file["links"]["self"], file["checksum"]) for file in record["files"]}
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{record_url} cannot be reached: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{record_url} is no record of Zenodo's API: no files with checksums") from error
    for name, (_, checksum) in files.items():
        if not _MD5.fullmatch(str(checksum)):
            raise DataError(f"{record_url} gives {name} the checksum {checksum!r}; expected md5:...")
    return files
