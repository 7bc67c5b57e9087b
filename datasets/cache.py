"""Where data sets lie that nobody gave a folder for."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """The folder that ``HEPBENCH_DATA`` names, else ``hepbench`` in the user's cache folder."""
    named = os.environ.get("HEPBENCH_DATA")
    if named:
        return Path(named)
    # Not Path.home(): a container may run as a user that has no home.
    return Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/"), ".cache")) / "hepbench"
