"""What the tests of ranks share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.ranks.horovod import HorovodStore, serve_store


@pytest.fixture
def store() -> Iterator[HorovodStore]:
    """Serves a store at which ranks meet."""
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    server = serve_store("127.0.0.1")
    yield HorovodStore(*server.server_address)
    server.shutdown()
    server.server_close()
