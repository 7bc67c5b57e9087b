import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets import pythia
from datasets.errors import DataError

BROKEN = 'raise ImportError("/lib64/libstdc++.so.6: version `GLIBCXX_3.4.32\' not found\\n(needed)")\n'


def settings_of_another_version(folder: Path) -> Path:
    """Makes settings as a software stack has them: complete, and of version 8.217."""
    settings = folder / "xmldoc"
    shutil.copytree(Path(sys.prefix) / "share" / "Pythia8" / "xmldoc", settings)
    version = settings / "Version.xml"
    version.write_text(version.read_text(encoding="utf-8").replace('default="8.3', 'default="8.2'), "utf-8")
    return settings


@pytest.mark.parametrize("kind", ["missing", "older"])
def test_the_settings_of_another_pythia_change_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("pythia8mc", reason="events are made with pythia8mc")
    monkeypatch.delenv("PYTHIA8DATA", raising=False)
    (expected,) = pythia.events("qcd", seed=3, count=1)
    other = tmp_path / "nowhere" if kind == "missing" else settings_of_another_version(tmp_path)
    monkeypatch.setenv("PYTHIA8DATA", str(other))
    (event,) = pythia.events("qcd", seed=3, count=1)
    assert np.array_equal(event, expected)


@pytest.mark.parametrize("process", ["ttbar", "qcd"])
def test_the_mass_of_the_top_quark_is_that_of_the_cards(process: str):
    pytest.importorskip("pythia8mc", reason="events are made with pythia8mc")
    assert pythia._start_pythia(process, seed=1).particleData.m0(6) == 172.5


@pytest.mark.slow
def test_top_quarks_have_the_mass_of_the_cards():
    """The median of their masses: a width of 1.4 GeV leaves it an error of 0.06 GeV for 400 of them."""
    pytest.importorskip("pythia8mc", reason="events are made with pythia8mc")
    generator = pythia._start_pythia("ttbar", seed=1)
    masses = []
    while len(masses) < 400:
        if generator.next():
            # The status is that of particles in the middle of the hardest process.
            tops = (p for p in generator.event if p.idAbs() == 6 and p.status() == -22)
            masses += [top.m() for top in tops]
    assert np.median(masses) == pytest.approx(172.5, abs=0.2)


def test_a_library_that_cannot_be_loaded_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "pythia8mc.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "pythia8mc", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError) as caught:
        pythia.version()
    assert str(caught.value) == (
        "making events needs Pythia 8 (pythia8mc), which is installed but cannot be loaded: "
        "/lib64/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (needed); "
        "or bring events from another machine: docs/data.md, 'Other machines'"
    )
