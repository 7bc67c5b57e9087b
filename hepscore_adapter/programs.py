"""Starts the programs of this distribution: ``hepbench``, and that of an image.

They start here because no other package is called ``hepscore_adapter``. ``benchmarks`` is a common name, and
another package that has it may come first in ``sys.path``: in the ``PYTHONPATH`` of a software stack, or in
the folder where somebody works.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def _import_benchmarks() -> None:
    """Imports the package ``benchmarks`` that lies beside this one, which does the same for ``datasets``.

    The path stays as it is, because it decides on the other libraries.
    """
    spec = PathFinder.find_spec("benchmarks", [str(Path(__file__).parents[1])])
    if "benchmarks" not in sys.modules and spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["benchmarks"] = module
        spec.loader.exec_module(module)


_import_benchmarks()


def main() -> None:
    """Runs ``hepbench``."""
    from benchmarks import cli

    cli.main()


def image_main() -> None:
    """Runs ``hepbench-entrypoint``, the program of an image."""
    from hepscore_adapter.image import entrypoint

    entrypoint.main()


if __name__ == "__main__":
    main()
