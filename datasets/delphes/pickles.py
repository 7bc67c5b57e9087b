"""Reader of one file of the public MLPF data set: a pickle of 100 events, compressed with bz2 or not.

The pickle is a dict of lists with one array per event: X (n, 12), ygen (n, 7) and ycand (n, 7), laid out as
``datasets.delphes.simulation`` says. The candidates of Delphes' own particle flow, ycand, are left out: no
workload uses them, so that only their shape is checked.

A pickle can name any function to call, and numpy's own functions trust the memory layout that a pickle
claims. The reader therefore calls none of them. It puts functions of this module in their place, which build
arrays of numbers from checked bytes. Pickles of all protocols, of Python 2 and of numpy 1 are read as well.
"""

from __future__ import annotations

import bz2
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from datasets.delphes.simulation import N_INPUTS, N_TARGETS, Rows
from datasets.errors import DataError

_COLUMNS = {"X": N_INPUTS, "ygen": N_TARGETS, "ycand": N_TARGETS}
_UNUSED = "ycand"
_TYPE = re.compile(r"[|<>=]?[biufcSU]\d+")


def read_file(path: Path) -> list[tuple[Rows, Rows]]:
    """Reads one file.

    Args:
        path: A pickle of the public data set, compressed with bz2 or not.

    Returns:
        Inputs (n, 12) and targets (n, 7), float32, of each event.

    Raises:
        DataError: The file is truncated, is something else, or asks for more than arrays.
    """
    try:
        with _open(path) as stream:
            content = _ArraysOnly(stream, encoding="latin1").load()  # the encoding is for Python 2
            stream.read(1)  # the check sum of a bz2 stream comes after its last byte
    except pickle.UnpicklingError as error:
        raise DataError(f"{path} is not a pickle of arrays: {error}") from error
    except EOFError as error:
        raise DataError(f"{path} is truncated; fetch it again") from error
    except OSError as error:
        form = "bz2" if path.suffix == ".bz2" else "a pickle"
        raise DataError(f"{path} cannot be read as {form}: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise DataError(f"{path} is a damaged pickle: {error}") from error
    return _events(path, content)


def _open(path: Path) -> BinaryIO:
    """Returns the stream of a pickle, whose first bytes say more about compression than its name does."""
    with path.open("rb") as stream:
        head = stream.read(3)
    is_pickle = head[:1] == pickle.PROTO
    compressed = head == b"BZh" or (path.suffix == ".bz2" and not is_pickle)
    return cast(BinaryIO, bz2.open(path, "rb")) if compressed else path.open("rb")


class _Type:
    """Reads the pickle of a dtype of numbers or strings.

    Args:
        code: Type and size, such as "f8".
    """

    def __init__(self, code: str, *_: object) -> None:
        if not _TYPE.fullmatch(code):
            raise pickle.UnpicklingError(f"it holds an array of type {code!r}, expected numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Reads the pickle of an array as numpy writes it up to protocol 4. The state brings all that matters."""

    value: NDArray[Any] | None = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Type, bool, bytes | str]) -> None:
        _, shape, kind, is_fortran, buffer = state
        # Python 2 had one kind of string for text and bytes.
        buffer = buffer.encode("latin1") if isinstance(buffer, str) else buffer
        self.value = np.ndarray(shape, kind.dtype, buffer, order="F" if is_fortran else "C")


def _array_from_buffer(buffer: bytes, kind: _Type, shape: tuple[int, ...], order: str) -> _Array:
    """Reads the pickle of an array as numpy writes it with protocol 5."""
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", buffer))
    return array


def _scalar(kind: _Type, buffer: bytes | str) -> Any:
    """Reads the pickle of a numpy scalar as a number or string of Python."""
    array = _Array()
    array.__setstate__((1, (), kind, False, buffer))
    return None if array.value is None else array.value.item()


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Reads bytes as Python 3 writes them with protocols 0 to 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}, which no array needs")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Reads empty bytes as Python 3 writes them with protocols 0 to 2."""
    return b""


_READERS: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("numpy", "ndarray"): None,  # named as an argument of _reconstruct, and never called
    ("numpy", "dtype"): _Type,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,
    ("_codecs", "encode"): _encode_latin1,
    ("__builtin__", "bytes"): _no_bytes,
}


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of plain containers and numpy arrays, and refuses all else by name."""

    def find_class(self, module: str, name: str) -> Any:
        """Returns what stands for a name in a pickle.

        Raises:
            pickle.UnpicklingError: No array needs the name.
        """
        key = (module.replace("numpy._core", "numpy.core"), name)  # numpy 2 renamed its modules
        if key not in _READERS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return _READERS[key]


def _events(path: Path, content: Any) -> list[tuple[Rows, Rows]]:
    """Returns inputs and targets of each event, after a check of their layout."""
    if not isinstance(content, dict) or not _COLUMNS.keys() <= content.keys():
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DataError(f"{path}: expected a dict with X, ygen and ycand, found {found}")
    lists = [content[name] for name in _COLUMNS]
    if not all(isinstance(items, list) for items in lists) or len({len(items) for items in lists}) != 1:
        raise DataError(f"{path}: expected X, ygen and ycand to be lists of one length")
    if not lists[0]:
        raise DataError(f"{path} holds no events")

    # The three arrays of an event have a row for each of its elements.
    events = []
    for index, items in enumerate(zip(*lists, strict=True)):
        x, y, candidates = (
            _checked_array(f"{path}: event {index}, {name}", item, name)
            for name, item in zip(_COLUMNS, items, strict=True)
        )
        if not len(x) == len(y) == len(candidates):
            raise DataError(f"{path}: event {index}: X, ygen and ycand differ in their rows")
        events.append((x.astype(np.float32), y.astype(np.float32)))
    return events


def _checked_array(what: str, item: Any, name: str) -> NDArray[Any]:
    """Returns the array of an item of the list ``name``.

    Raises:
        DataError: It is no array of finite numbers with the right number of columns.
    """
    array = item.value if isinstance(item, _Array) else None
    if array is None or array.dtype.kind != "f":
        found = type(item).__name__ if array is None else f"an array of {array.dtype}"
        raise DataError(f"{what}: expected an array of floats, found {found}")
    if array.ndim != 2 or array.shape[1] != _COLUMNS[name]:
        raise DataError(f"{what}: expected shape (n, {_COLUMNS[name]}), found {array.shape}")
    if name != _UNUSED and not np.isfinite(array).all():
        raise DataError(f"{what}: found values that are not finite")
    return array
