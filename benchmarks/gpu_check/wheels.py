"""What a stock installation of JAX and PyTorch lacks, as wheels, fetched on one machine for another.

    python -m benchmarks.gpu_check.wheels fetch FOLDER
    python -m benchmarks.gpu_check.wheels install FOLDER TARGET

Standard library only, because it runs before anything else is there.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON_VERSION = "3.12"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
LACKING = (
    "hepbench",
    "jsonschema",
    "keras",
)  # of what hepbench imports; they bring what they need themselves
STOCK = ("click", "numpy", "nvidia-ml-py", "psutil", "pyyaml", "scipy")
FRAMEWORKS = ("jax", "torch")
LARGEST_BYTES = 60_000_000


def fetch(folder: Path) -> None:
    """Fills a folder with wheels for a stock machine, and one of this checkout. Needs a network.

    Raises:
        SystemExit: Pip fails, or the wheels are larger than expected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in folder.glob("*.whl"):
        wheel.unlink()
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _call([*pip, "wheel", "--no-deps", f"--wheel-dir={folder}", str(ROOT)])
    requirements = [line for line in _requirements() if distribution_of(line) in LACKING]
    options = ["--only-binary=:all:", f"--python-version={PYTHON_VERSION}", f"--dest={folder}"]
    options += [f"--platform={platform}" for platform in PLATFORMS]
    _call([*pip, "download", *options, *requirements])

    # A stock machine has these, and another version of numpy could break its frameworks.
    for wheel in folder.glob("*.whl"):
        if distribution_of(wheel.name) in STOCK:
            wheel.unlink()
    size = sum(wheel.stat().st_size for wheel in folder.glob("*.whl"))
    if size > LARGEST_BYTES:
        raise SystemExit(f"gpu-wheels: expected at most {LARGEST_BYTES / 1e6:g} MB, got {size / 1e6:.1f} MB")
    print(f"{len(list(folder.glob('*.whl')))} wheels of {size / 1e6:.1f} MB are in {folder}")


def install(folder: Path, target: Path) -> None:
    """Installs the wheels whose distributions are missing into a folder for ``PYTHONPATH``.

    Raises:
        SystemExit: Something is missing that the folder does not have, or pip fails.
    """
    wheels = [wheel for wheel in sorted(folder.glob("*.whl")) if is_missing(distribution_of(wheel.name))]
    wheel_names = {distribution_of(wheel.name) for wheel in wheels}
    absent_names = [
        name for name in (*LACKING, *STOCK, *FRAMEWORKS) if is_missing(name) and name not in wheel_names
    ]
    if absent_names:
        listed_names = ", ".join(absent_names)
        raise SystemExit(
            f"gpu-check: expected {listed_names} in {sys.executable} or as wheels in {folder}, got none; "
            "make the folder with `make gpu-wheels` on a machine with a network, or choose another PYTHON"
        )
    target.mkdir(parents=True, exist_ok=True)
    if wheels:
        options = ["--no-index", "--no-deps", "--upgrade", f"--target={target}"]
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _call([*pip, "install", *options, *map(str, wheels)])


def distribution_of(text: str) -> str:
    """Returns the normalised name of a distribution, from the name of a wheel or from a requirement."""
    name = re.split(r"[\s<>=!~;\[]", text.removesuffix(".whl"))[0]
    if text.endswith(".whl"):
        name = name.split("-")[0]
    return re.sub(r"[-_.]+", "-", name).lower()


def is_missing(name: str) -> bool:
    """Says whether a distribution is not installed where this interpreter finds it."""
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


def _requirements() -> Iterable[str]:
    """Returns what hepbench depends on, as ``pyproject.toml`` says."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements: list[str] = project["dependencies"]
    return requirements


def _call(command: Sequence[str]) -> None:
    """Calls pip, and ends this program with its exit code if it fails."""
    answer = subprocess.run(command, check=False)
    if answer.returncode:
        raise SystemExit(answer.returncode)


if __name__ == "__main__":
    if sys.argv[1] == "fetch":
        fetch(Path(sys.argv[2]))
    else:
        install(Path(sys.argv[2]), Path(sys.argv[3]))
