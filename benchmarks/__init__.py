"""Machine-learning workloads of high-energy physics, and the loop that times them."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path


def _import_datasets() -> None:
    """Imports the package ``datasets`` that lies beside this one.

    Other packages have that name, too, and one of them may come first in ``sys.path``: the package of Hugging
    Face in the ``PYTHONPATH`` of a software stack, or a folder where somebody works. The path stays as it is,
    because it decides on the other libraries.
    """
    spec = PathFinder.find_spec("datasets", [str(Path(__file__).parents[1])])
    if "datasets" not in sys.modules and spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["datasets"] = module
        spec.loader.exec_module(module)


_import_datasets()
