"""Small files in the form of the public MLPF data set."""

import bz2
import pickle
from pathlib import Path
from typing import Any

import numpy as np


def content(events: int, first: int = 0) -> dict[str, list[np.ndarray]]:
    """Returns events of 3, 4, 5, ... rows whose values are the number of the event."""
    sizes = range(3, 3 + events)
    return {
        name: [np.full((rows, width), float(first + i)) for i, rows in enumerate(sizes)]
        for name, width in (("X", 12), ("ygen", 7), ("ycand", 7))
    }


def save(path: Path, what: Any, protocol: int = 4) -> Path:
    """Writes a compressed pickle and returns its path."""
    path.write_bytes(bz2.compress(pickle.dumps(what, protocol=protocol)))
    return path
