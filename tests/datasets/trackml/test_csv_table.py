import gzip
import io

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.trackml.csv_table import File, read_rows, read_text

ROW = np.dtype([("id", np.int32), ("place", np.float32, (2,)), ("number", np.int64)])
COLUMNS = ["id", "x", "y", "number"]
TEXT = "id,x,y,number\n1,0.5,-2,10\n2,1e3,4.25,4505867370102785\n"
ROWS = [(1, [0.5, -2], 10), (2, [1000, 4.25], 4505867370102785)]


def read(content: str | bytes) -> list[tuple[int, list[float], int]]:
    raw = content if isinstance(content, bytes) else content.encode()
    text = read_text(File("table.csv", lambda: io.BytesIO(raw)))
    rows = read_rows(text, ROW, COLUMNS)
    return [(int(row["id"]), row["place"].tolist(), int(row["number"])) for row in rows]


QUOTED = "\n".join(",".join(f'"{value}"' for value in line.split(",")) for line in TEXT.split())
# Without the time in it, which would give the tests other names in every process.
ZIPPED = gzip.compress(TEXT.encode(), mtime=0)
ZIPPED_TWICE = gzip.compress(ZIPPED, mtime=0)
FORMS = {
    "as it is": TEXT,
    "byte-order mark": "\ufeff" + TEXT,
    "byte-order mark before quotes": "\ufeff" + QUOTED,
    "UTF-16 of Windows PowerShell": TEXT.replace("\n", "\r\n").encode("utf-16"),
    "UTF-16 with the large byte first": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "lines of Windows": TEXT.replace("\n", "\r\n"),
    "lines of Windows, written twice": TEXT.replace("\n", "\r\r\n"),
    "lines of the old Macintosh": TEXT.replace("\n", "\r"),
    "lines of several systems": TEXT.replace("\n", "\r\n", 1),
    "quoted header": '"id","x","y","number"' + TEXT[TEXT.index("\n") :],
    "quoted": QUOTED,
    "quoted, lines of Windows": QUOTED.replace("\n", "\r\n"),
    "row names of R": '"","id","x","y","number"\n"1",1,0.5,-2,10\n"2",2,1000,4.25,4505867370102785\n',
    "a comma in quotes": 'note,id,x,y,number\n"a, b",1,0.5,-2,10\n"",2,1e3,4.25,4505867370102785\n',
    "spaces": TEXT.replace(",", ", "),
    "commas at the ends of lines": TEXT.replace("10\n", "10,,\n"),
    "floats of pandas": "id,x,y,number\n1.0,0.5,-2,10.0\n2.0,1e3,4.25,4505867370102785.0\n",
    "floats of some rows": TEXT.replace("\n1,", "\n1.000,"),
    "exponents with all digits": TEXT.replace("4505867370102785", "4.505867370102785e+15"),
    "signs": TEXT.replace("\n1,", "\n+1,"),
    "no line end": TEXT.rstrip(),
    "empty lines": TEXT + "\n\n",
    "gzipped": gzip.compress(TEXT.encode()),
    "gzipped in two pieces": gzip.compress(TEXT[:20].encode()) + gzip.compress(TEXT[20:].encode()),
}


@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS.keys())
def test_a_table_is_the_same_in_every_form(content: str | bytes):
    assert read(content) == ROWS


@pytest.mark.parametrize(
    ("text", "number"),
    [("100000.0", 100_000), ("1e+05", 100_000), ("2E+05", 200_000), ("-1.230000e+02", -123), ("0.0", 0)],
)
def test_whole_numbers_may_be_written_as_floats(text: str, number: int):
    assert read(TEXT.replace("\n1,", f"\n{text},"))[0][0] == number


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "4.52e+15",
            r"could not convert string '4.52e\+15' to int64 at row 1, .* \(rounded: write .*\)",
        ),
        ("4.505867e+15", "rounded"),
        ("9007199254740994.0", "rounded"),
        ("9.5e17", "rounded"),
        ("4.5", "no whole number"),
        ("", "no whole number"),
        ("NA", "no whole number"),
        ("nan", "no whole number"),
        ("inf", "no whole number"),
        ("1e999999999", "too large"),
        ("9223372036854775808", "too large"),
    ],
)
def test_a_number_that_is_not_whole_or_not_exact_is_refused(text: str, message: str):
    with pytest.raises(DataError, match=rf"table\.csv: expected numbers below the header, got: .*{message}"):
        read(TEXT.replace("4505867370102785", text))


def test_rows_that_are_longer_than_the_header_are_refused():
    """As R writes a table with names of rows."""
    with pytest.raises(DataError, match=r"expected 4 values in each line, .* got 5 in '1,1,0.5,-2,10'"):
        read(TEXT.replace("\n1,", "\n1,1,"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ZIPPED_TWICE, "table.csv is gzipped twice; unzip it once"),
        (ZIPPED[:-9], "table.csv is damaged or cannot be read: Compressed file ended"),
        (b"PK\3\4\xff\xff", r"expected text, got bytes that are none: b'PK\\x03\\x04\\xff"),
        (TEXT.encode("utf-16")[:-1], "expected text, got bytes that are none"),
    ],
)
def test_what_is_no_text_is_named(content: bytes, message: str):
    with pytest.raises(DataError, match=message):
        read(content)


def test_a_message_is_short_whatever_the_file_holds():
    with pytest.raises(DataError) as caught:
        read(TEXT.replace("0.5", "z" * 9000))
    assert len(str(caught.value)) < 300


def test_a_line_that_is_no_csv_is_one_name():
    assert read_text(File("table.csv", lambda: io.BytesIO(b"z" * 200_000))).column_names() == ["z" * 200_000]


def test_only_the_beginning_is_read_on_request():
    text = read_text(File("table.csv", lambda: io.BytesIO(gzip.compress(TEXT.encode()))), 16)
    assert (text.header, text.body) == ("id,x,y,number", "1,")


def test_a_table_may_have_no_rows():
    for text in ("id,x,y,number", "id,x,y,number\r\n", '\ufeff"id","x","y","number"\n\n'):
        assert read(text) == []
