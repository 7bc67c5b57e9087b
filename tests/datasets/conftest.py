from pathlib import Path

import pytest

from tests.datasets.delphes.small import SMALL, generate_small


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pythia8mc", reason="events are made with pythia8mc")
    return generate_small(tmp_path_factory.mktemp("delphes") / "small", SMALL, workers=2)
