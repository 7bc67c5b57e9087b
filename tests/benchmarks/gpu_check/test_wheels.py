"""The wheels for a machine without a network: which are missing, and what is said when one is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks.gpu_check import wheels


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nvidia_ml_py-13.1-py3-none-any.whl", "nvidia-ml-py"),
        ("keras==3.15.1", "keras"),
        ("jsonschema>=4.23,<5", "jsonschema"),
        ("ml.dtypes-0.6-cp312-cp312-manylinux_2_17_x86_64.whl", "ml-dtypes"),
    ],
)
def test_a_distribution_has_one_name_in_requirements_and_wheels(text: str, name: str) -> None:
    assert wheels.distribution_of(text) == name


def test_what_the_wheels_are_for_is_what_hepbench_needs() -> None:
    needed = {wheels.distribution_of(line) for line in wheels._requirements()}
    assert needed | {"hepbench"} == {*wheels.LACKING, *wheels.STOCK}


def make_wheel(folder: Path, name: str) -> None:
    """Makes a wheel of one module that says who it is."""
    information = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"NAME = {name!r}\n")
        wheel.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{information}/RECORD", "")


@pytest.mark.slow
def test_only_missing_distributions_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "FRAMEWORKS", ())
    folder, target = tmp_path / "wheels", tmp_path / "target"
    folder.mkdir()
    make_wheel(folder, "numpy")
    make_wheel(folder, "something_of_ours")
    wheels.install(folder, target)
    assert (target / "something_of_ours.py").exists()
    assert not (target / "numpy.py").exists(), "numpy is there already"


def test_what_is_neither_installed_nor_a_wheel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "FRAMEWORKS", ("no-such-framework",))
    with pytest.raises(SystemExit, match=r"^gpu-check: expected no-such-framework in .*; make the"):
        wheels.install(tmp_path / "none", tmp_path / "target")
