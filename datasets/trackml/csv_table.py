"""Reader of one CSV file of numbers, in the forms that people have them.

The file may be gzipped whatever its name says, begin with a byte-order mark, quote names and numbers, end its
lines as Unix, Windows or the old Macintosh did, and hold whole numbers like ``1.0``. Separators other than
commas, comments and files without a header are refused, in a line that shows the first line as it is.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from datasets.errors import DataError

SHOWN = 120
"""Number of characters of a file, or of an error about it, that a message shows."""

_Converters = dict[int | str, Callable[[str], int]]
_GZIPPED = b"\x1f\x8b"
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class File:
    """A file to read.

    Args:
        name: Name of the file in messages.
        open: Returns a new stream of its bytes, gzipped or not.
    """

    name: str
    open: Callable[[], IO[bytes]]

    @classmethod
    def at(cls, path: Path) -> Self:
        """Returns the file at a path."""
        return cls(str(path), lambda: path.open("rb"))


@dataclass(frozen=True)
class Text:
    """The text of a CSV file.

    Args:
        name: Name of the file in messages.
        header: First line.
        body: All other lines, with the line ends of Unix.
    """

    name: str
    header: str
    body: str

    def column_names(self) -> list[str]:
        """Returns the names in the header."""
        return [name.strip() for name in _fields(self.header)]


def read_text(file: File, size: int = -1) -> Text:
    """Reads a file.

    Args:
        file: File to read.
        size: Largest number of unzipped bytes to read, by default all.

    Raises:
        DataError: The file is damaged or no text.
    """
    try:
        # Downloads are unzipped, or not, by browsers that leave the name as it was.
        with file.open() as stream:
            zipped = stream.read(2) == _GZIPPED
            stream.seek(0)
            content = (gzip.GzipFile(fileobj=stream) if zipped else stream).read(size)
        if content.startswith(_GZIPPED):
            raise DataError(f"{file.name} is gzipped twice; unzip it once")

        # Spreadsheets write UTF-8 with a byte-order mark, Windows PowerShell UTF-16.
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name}: expected text, got bytes that are none: {content[:8]!r}") from error
    # zipfile raises RuntimeError for an encrypted file, NotImplementedError for an unknown compression.
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DataError(f"{file.name} is damaged or cannot be read: {shortened(str(error))}") from error
    header, _, body = text.replace("\r\n", "\n").replace("\r", "\n").partition("\n")
    return Text(file.name, header, body)


def read_rows(text: Text, dtype: np.dtype[Any], columns: Sequence[str]) -> NDArray[Any]:
    """Reads the numbers below the header.

    Args:
        text: Text of the file.
        dtype: Fields of a row. A field may have a shape.
        columns: Names of the columns in the file, one for each number of a row.

    Returns:
        (rows,) array of ``dtype``.

    Raises:
        DataError: There are values that are no numbers, or do not fit.
    """
    if not text.body.strip():
        return np.zeros(0, dtype)
    names = text.column_names()
    _check_width(text, len(names))
    places = [names.index(name) for name in columns]
    kinds = [field.base for field in map(dtype.__getitem__, dtype.names or ()) for _ in range(_size(field))]
    exact: _Converters = {
        place: partial(_whole_number, np.iinfo(kind))
        for place, kind in zip(places, kinds, strict=True)
        if kind.kind == "i"
    }

    # The converters are ten times slower: they only read what numpy does not take for whole numbers.
    try:
        return _load(text.body, dtype, places, None)
    except (ValueError, OverflowError, Warning):
        pass
    try:
        return _load(text.body, dtype, places, exact)
    except (ValueError, OverflowError, Warning) as error:
        reason = f" ({error.__cause__})" if error.__cause__ else ""
        raise DataError(
            f"{text.name}: expected numbers below the header, got: {shortened(str(error))}{shortened(reason)}"
        ) from error


def shortened(text: str) -> str:
    """Returns a text, or its beginning if it is long."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _fields(line: str) -> list[str]:
    """Returns the values of a line, without the quotes around them. A line that is no CSV is one value."""
    try:
        return next(csv.reader([line], skipinitialspace=True), [])
    except csv.Error:
        return [line]


def _size(field: np.dtype[Any]) -> int:
    """Returns the count of numbers in a field."""
    return math.prod(field.shape)


def _check_width(text: Text, width: int) -> None:
    """Refuses lines longer than the header, as R writes them with names of rows: columns would shift."""
    first_line = text.body.lstrip("\n").partition("\n")[0]
    extra = [value for value in _fields(first_line)[width:] if value.strip()]
    if extra:
        raise DataError(
            f"{text.name}: expected {width} values in each line, as in the header, "
            f"got {width + len(extra)} in {shortened(first_line)!r}"
        )


def _load(body: str, dtype: np.dtype[Any], places: list[int], converters: _Converters | None) -> NDArray[Any]:
    """Returns the rows of a text as numpy reads them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy would read an integer like 4.5 and only warn
        rows: NDArray[Any] = np.loadtxt(
            io.StringIO(body),
            dtype,
            comments=None,
            delimiter=",",
            quotechar='"',
            usecols=places,
            ndmin=1,
            converters=converters,
        )
    return rows


def _whole_number(limits: np.iinfo[Any], text: str) -> int:
    """Returns the whole number that a text such as "1", "1.0" or "1e+05" stands for.

    Args:
        limits: Limits of the type that holds the number.
        text: Text of the number.

    Raises:
        ValueError: It is no whole number, does not fit, or may have been rounded.
    """
    try:
        number = Decimal(text.strip())
    except InvalidOperation as error:
        raise ValueError("no whole number") from error
    if not number.is_finite() or number != number.to_integral_value():
        raise ValueError("no whole number")
    if not limits.min <= number <= limits.max:
        raise ValueError("too large")
    value = int(number)

    # A number that went through float64 is exact up to 2**53. One with an exponent is exact if it has all the
    # digits that its size needs. Below a million, programs write an exponent for round numbers only.
    is_float = not text.strip().lstrip("+-").isdecimal()
    digits = len(number.as_tuple().digits)
    if is_float and (abs(value) > 2**53 or (abs(value) >= 10**6 and digits < len(str(abs(value))))):
        raise ValueError("rounded: write whole numbers with all their digits")
    return value
