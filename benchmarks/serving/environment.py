"""The environment of the inference server, which ``make triton`` sets up beside that of the runs.

It is an environment of its own, because the wheel with the server needs another NumPy than a run does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UsageError

VARIABLE = "HEPBENCH_TRITON"  # folder of the environment, where it is not beside that of the run
_HOW_TO = f"`make triton` sets it up, and {VARIABLE} names its folder where it is elsewhere"

# What only the environment's own Python knows: where its packages are and its library is, and its version.
_QUESTION = (
    "import json, sys, sysconfig; print(json.dumps([sysconfig.get_path('purelib'), "
    "sysconfig.get_config_var('LIBDIR'), '%d.%d' % sys.version_info[:2]]))"
)

_SYSTEM_LIBRARIES = ("/usr/lib", "/usr/lib64", f"/usr/lib/{os.uname().machine}-linux-gnu")


@dataclass(frozen=True)
class TritonEnvironment:
    """A Python environment with Triton in it.

    Attributes:
        folder: The environment.
        packages: Its ``site-packages``.
        libraries: Folders that the server's dynamic linker must search first.
        python: Its Python's version, such as ``3.11``.
    """

    folder: Path
    packages: Path
    libraries: tuple[Path, ...]
    python: str

    @property
    def server(self) -> Path:
        """Returns the directory that the wheel keeps Triton in."""
        return self.packages / "pytriton" / "tritonserver"

    @property
    def binary(self) -> Path:
        """Returns the server's program."""
        return self.server / "bin" / "tritonserver"

    @property
    def stub(self) -> Path:
        """Returns the program that runs a Python model, built for this version of Python."""
        return self.server / "python_backend_stubs" / self.python / "triton_python_backend_stub"

    def variables(self) -> dict[str, str]:
        """Returns the environment variables of the server's process."""
        path = os.environ.get("PATH", os.defpath)
        libraries = [*map(str, self.libraries), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        # Settings of this process's Python and framework are not for the server.
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "KERAS_", "TF_", "VIRTUAL_ENV"))
        }
        return {
            **variables,
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{path}",
            "PYTHONPATH": str(self.packages),
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        }


def folder() -> Path:
    """Returns the folder of the environment, whether it is there or not."""
    value = os.environ.get(VARIABLE)
    return Path(value).expanduser() if value else Path(f"{sys.prefix}-triton")


def find_triton() -> TritonEnvironment:
    """Finds the environment, and checks that it can serve a model.

    Raises:
        UsageError: It is not there or cannot run a model here, and why.
    """
    place = folder()
    python = place / "bin" / "python"
    if not python.is_file():
        raise UsageError(f"expected Triton's environment at {place}, got none; {_HOW_TO}")
    answer = subprocess.run([python, "-I", "-c", _QUESTION], capture_output=True, text=True, check=False)
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ["it printed nothing"]
        raise UsageError(f"the Python of Triton's environment {place} does not start: {lines[-1]}")
    packages, library_folder, version = json.loads(answer.stdout)

    # The stub must find the very Python that the packages were installed for before one of the system.
    environment = TritonEnvironment(
        place,
        Path(packages),
        (Path(library_folder), place / "lib", Path(packages, "nvidia_pytriton.libs")),
        version,
    )
    for path in (environment.binary, environment.stub):
        if not path.is_file():
            raise UsageError(f"expected Triton's program {path}, got none; {_HOW_TO}")
    library = f"libpython{version}.so.1.0"
    places = (library_folder, place / "lib", *_SYSTEM_LIBRARIES)
    if not any((Path(where) / library).is_file() for where in places):
        raise UsageError(
            f"expected {library} in {library_folder}, got none; Triton's Python models need a Python that "
            "was built with --enable-shared"
        )
    return environment


def missing_triton() -> str:
    """Says in one line why there is no Triton here; empty if there is one."""
    try:
        find_triton()
    except UsageError as error:
        return str(error)
    return ""
