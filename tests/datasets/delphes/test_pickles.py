import bz2
import io
import os
import pickle
import struct
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from datasets.delphes.pickles import read_file
from datasets.errors import DataError
from tests.datasets.delphes.files import content, save


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_file_is_read(tmp_path: Path, protocol: int):
    events = read_file(save(tmp_path / "one.pkl.bz2", content(3), protocol))
    assert [len(inputs) for inputs, _ in events] == [3, 4, 5]
    inputs, targets = events[2]
    assert inputs.dtype == targets.dtype == np.float32
    assert (inputs.shape, targets.shape) == ((5, 12), (5, 7)) and (inputs == 2).all()


def test_the_module_names_of_numpy_1_are_understood(tmp_path: Path):
    raw = pickle.dumps(content(1), protocol=3).replace(b"numpy._core.", b"numpy.core.")
    path = tmp_path / "old.pkl.bz2"
    path.write_bytes(bz2.compress(raw))
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in raw
    assert len(read_file(path)) == 1


class Hostile:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self.reduced = (call, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.parametrize(
    ("call", "arguments", "name"),
    [
        (os.system, ("touch hostile",), "posix.system"),
        (subprocess.check_output, (["touch", "hostile"],), "subprocess.check_output"),
        (eval, ("1",), "builtins.eval"),
        (np.load, ("hostile",), "numpy.load"),
    ],
)
def test_a_hostile_pickle_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any, arguments: tuple[Any, ...], name: str
):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "bad.pkl.bz2", {"X": [Hostile(call, *arguments)]})
    with pytest.raises(DataError, match=rf"bad\.pkl\.bz2 is not a pickle of arrays: it asks for {name}"):
        read_file(path)
    assert not (tmp_path / "hostile").exists()


def test_truncated_files_are_named(tmp_path: Path):
    path = save(tmp_path / "cut.pkl.bz2", content(5))
    raw = path.read_bytes()
    for size in (0, 1, 10, len(raw) // 2, len(raw) - 1):
        path.write_bytes(raw[:size])
        with pytest.raises(DataError, match=r"cut\.pkl\.bz2 is truncated"):
            read_file(path)


def test_a_truncated_pickle_in_a_whole_bz2_is_named(tmp_path: Path):
    path = tmp_path / "cut.pkl.bz2"
    raw = pickle.dumps(content(2))
    path.write_bytes(bz2.compress(raw[: len(raw) // 2]))
    with pytest.raises(DataError, match=r"cut\.pkl\.bz2"):
        read_file(path)


def test_something_else_is_named(tmp_path: Path):
    path = tmp_path / "page.pkl.bz2"
    path.write_text("<html>not found</html>" * 10)
    with pytest.raises(DataError, match=r"page\.pkl\.bz2 cannot be read as bz2"):
        read_file(path)
    path.write_bytes(bz2.compress(b"<html>not found</html>"))
    with pytest.raises(DataError, match=r"page\.pkl\.bz2 is not a pickle"):
        read_file(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_file(tmp_path / "absent.pkl.bz2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ygen": None}, "expected X, ygen and ycand to be lists"),
        ({"ygen": []}, "to be lists of one length"),
        ({"X": [], "ygen": [], "ycand": []}, "holds no events"),
        ({"X": [np.zeros((3, 11))]}, r"event 0, X: expected shape \(n, 12\), found \(3, 11\)"),
        ({"ygen": [np.zeros(7)]}, r"event 0, ygen: expected shape \(n, 7\), found \(7,\)"),
        ({"ygen": [np.zeros((4, 7))]}, "event 0: X, ygen and ycand differ in their rows"),
        ({"X": [[1.0, 2.0]]}, "event 0, X: expected an array of floats, found list"),
        ({"X": [np.full((3, 12), np.nan)]}, "event 0, X: found values that are not finite"),
        ({"X": [np.full((3, 12), 1)]}, "event 0, X: expected an array of floats, found an array of int64"),
        ({"X": [np.full((3, 12), 1.0, dtype=object)]}, "it holds an array of type 'O8', expected numbers"),
        ({"ycand": [np.zeros((3, 6))]}, r"event 0, ycand: expected shape \(n, 7\), found \(3, 6\)"),
    ],
)
def test_wrong_contents_are_named(tmp_path: Path, change: dict[str, Any], message: str):
    path = save(tmp_path / "odd.pkl.bz2", {**content(1), **change})
    with pytest.raises(DataError, match=rf"odd\.pkl\.bz2:? .*{message}|odd\.pkl\.bz2.*{message}"):
        read_file(path)


def test_wrong_keys_are_named(tmp_path: Path):
    path = save(tmp_path / "odd.pkl.bz2", {"X": [], "y": []})
    with pytest.raises(DataError, match=r"expected a dict with X, ygen and ycand, found \['X', 'y'\]"):
        read_file(path)
    with pytest.raises(DataError, match="found list"):
        read_file(save(path, [1, 2]))


def packed(path: Path, raw: bytes) -> Path:
    path.write_bytes(bz2.compress(raw))
    return path


class Python2Pickler(pickle._Pickler):
    """Writes text and bytes as the one kind of string that Python 2 had, and the module names of numpy 1."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)

    def save_string(self, item: str | bytes) -> None:
        raw = item.encode("latin1") if isinstance(item, str) else item
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(item)

    dispatch[str] = save_string
    dispatch[bytes] = save_string


@pytest.mark.parametrize("protocol", [1, 2])
def test_pickles_of_python_2_are_read(protocol: int, tmp_path: Path):
    stream = io.BytesIO()
    Python2Pickler(stream, protocol).dump(content(3, first=200))
    raw = stream.getvalue().replace(b"numpy._core.", b"numpy.core.")
    (first, _), *_ = read_file(packed(tmp_path / "old.pkl.bz2", raw))
    assert (first == 200).all() and first.shape == (3, 12)


def test_the_text_protocol_of_python_2_is_read(tmp_path: Path):
    """Protocol 0 of Python 2 writes strings as their literals."""
    numbers = np.arange(12, dtype=float).tobytes().decode("latin1")
    array = (
        "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\nI{width}\nt"
        "cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS{raw}\ntb"
    )
    entries = [(name, width) for name, width in (("X", 12), ("ygen", 7), ("ycand", 7))]
    text = "".join(
        f"S'{name}'\n(l{array.format(width=width, raw=ascii(numbers[: 8 * width]))}as"
        for name, width in entries
    )
    ((inputs, targets),) = read_file(packed(tmp_path / "old.pkl.bz2", f"(d{text}.".encode()))
    assert inputs.tolist() == [list(range(12))] and targets.tolist() == [list(range(7))]


def test_the_flags_of_old_types_are_no_booleans(tmp_path: Path):
    """Before numpy 1.20, a dtype was written with the numbers 0 and 1."""
    raw = pickle.dumps(content(1), protocol=2)
    assert raw.count(b"\x89\x88") == 1
    assert len(read_file(packed(tmp_path / "old.pkl.bz2", raw.replace(b"\x89\x88", b"K\x00K\x01")))) == 1


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("form", ["float32", "big-endian", "Fortran", "cut from a larger array"])
def test_arrays_are_the_same_in_every_memory_layout(protocol: int, form: str, tmp_path: Path):
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=(5, width)).astype(np.float32) for width in (12, 7, 7)]
    change = {
        "float32": lambda array: array,
        "big-endian": lambda array: array.astype(">f8"),
        "Fortran": np.asfortranarray,
        "cut from a larger array": lambda array: np.repeat(array, 2, axis=0)[::2],
    }[form]
    what = {name: [change(array)] for name, array in zip(("X", "ygen", "ycand"), arrays, strict=True)}
    ((inputs, targets),) = read_file(save(tmp_path / "one.pkl.bz2", what, protocol))
    assert np.array_equal(inputs, arrays[0]) and np.array_equal(targets, arrays[1])


@pytest.mark.parametrize("protocol", range(6))
def test_an_event_may_be_empty(protocol: int, tmp_path: Path):
    what = {name: [np.zeros((0, width))] for name, width in (("X", 12), ("ygen", 7), ("ycand", 7))}
    ((inputs, targets),) = read_file(save(tmp_path / "one.pkl.bz2", what, protocol))
    assert inputs.shape == (0, 12) and targets.shape == (0, 7)


@pytest.mark.parametrize("protocol", range(6))
def test_further_entries_are_left_out(protocol: int, tmp_path: Path):
    more = {
        "run": 1,
        "weights": [np.float64(0.5)],
        "names": np.array(["a", "bc"]),
        "flags": (None, {1: True}),
    }
    assert len(read_file(save(tmp_path / "one.pkl.bz2", {**content(2), **more}, protocol))) == 2


def test_candidates_need_not_be_finite(tmp_path: Path):
    what = content(2)
    what["ycand"][0][0, 3], what["ycand"][1][2, 1] = np.nan, np.inf
    assert len(read_file(save(tmp_path / "one.pkl.bz2", what))) == 2


@pytest.mark.parametrize("name", ["one.pkl", "one.pkl.bz2"])
@pytest.mark.parametrize("compressed", [True, False])
def test_the_content_says_whether_a_file_is_compressed(name: str, compressed: bool, tmp_path: Path):
    raw = pickle.dumps(content(2))
    (tmp_path / name).write_bytes(bz2.compress(raw) if compressed else raw)
    assert len(read_file(tmp_path / name)) == 2


def test_a_file_that_is_not_compressed_is_named_when_damaged(tmp_path: Path):
    path = tmp_path / "one.pkl"
    for raw in (b"", pickle.dumps(content(2))[:-40]):
        path.write_bytes(raw)
        with pytest.raises(DataError, match=r"one\.pkl is (truncated|not a pickle of arrays)"):
            read_file(path)
    with pytest.raises(DataError, match=r"absent\.pkl cannot be read as a pickle: .*No such file"):
        read_file(tmp_path / "absent.pkl")


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (np.ndarray, ((1,), "O", b"12345678")),
        (np.ndarray, ((1,), "f8", b"12345678")),
        (np.dtype, ("O",)),
        (np.dtype, ([("x", "O")],)),
        (np.dtype, ("V8",)),
    ],
)
def test_no_array_is_built_whose_memory_a_pickle_makes_up(
    call: Any, arguments: tuple[Any, ...], tmp_path: Path
):
    """The bytes of an array of objects would be addresses that numpy follows."""
    path = save(tmp_path / "bad.pkl.bz2", {"X": [Hostile(call, *arguments)]})
    with pytest.raises(DataError, match=r"bad\.pkl\.bz2 is (a damaged pickle|not a pickle of arrays)"):
        read_file(path)


def test_a_shape_that_is_larger_than_its_bytes_is_refused(tmp_path: Path):
    raw = pickle.dumps({name: [np.zeros((3, 9))] for name in ("X", "ygen", "ycand")}, protocol=2)
    path = packed(tmp_path / "bad.pkl.bz2", raw.replace(b"K\x03K\x09\x86", b"K\x03K\xff\x86"))
    with pytest.raises(DataError, match=r"bad\.pkl\.bz2 is a damaged pickle: buffer is too small"):
        read_file(path)


def test_no_codec_but_that_of_bytes_is_called(tmp_path: Path):
    raw = pickle.dumps(content(1), protocol=2).replace(b"latin1", b"rot_13")
    with pytest.raises(DataError, match="it asks for the encoding 'rot_13', which no array needs"):
        read_file(packed(tmp_path / "bad.pkl.bz2", raw))
