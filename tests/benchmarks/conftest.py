"""What the tests of ranks share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.ranks.horovod import Store, serve


@pytest.fixture
def store() -> Iterator[Store]:
    """Where ranks meet."""
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    server = serve("127.0.0.1")
    yield Store(*server.server_address)
    server.shutdown()
    server.server_close()
