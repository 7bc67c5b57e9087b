import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.errors import DataError
from datasets.trackml.archive import opened_events
from datasets.trackml.public import import_events
from tests.datasets.trackml.small import write_event, write_zip


def csv_folder(folder: Path) -> Path:
    """Writes two events into a folder."""
    return write_event(write_event(folder, 1), 2, packed=True)


def nested(source: Path, target: Path) -> Path:
    (target / "train_sample").mkdir(parents=True)
    source.rename(target / "train_sample" / "train_100_events")
    return target


def a_folder_for_each_file(source: Path, target: Path) -> Path:
    """Kaggle's client unpacks each file into a folder of its name."""
    for path in source.iterdir():
        (target / path.name).mkdir(parents=True)
        path.rename(target / path.name / path.name)
    return target


def backslashes_in_names(source: Path, target: Path) -> Path:
    """Programs that do not know Windows' separators unpack its zip files like this."""
    target.mkdir()
    for path in source.iterdir():
        path.rename(target / f"train\\{path.name}")
    return target


def links(source: Path, target: Path) -> Path:
    target.mkdir()
    (target / "train").symlink_to(source)
    (target / "again").symlink_to(target)
    return target


def unpacked_by_the_browser(source: Path, target: Path) -> Path:
    """Some browsers unpack a file and leave its name as it was."""
    for path in source.glob("*.gz"):
        path.write_bytes(gzip.decompress(path.read_bytes()))
    return source.rename(target)


def packed_by_the_server(source: Path, target: Path) -> Path:
    """Some servers send a packed file under the name of the other one."""
    for path in source.glob("*.csv"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return source.rename(target)


def with_leftovers(source: Path, target: Path) -> Path:
    """A snapshot, a checkpoint of a notebook, macOS' metadata and a download that was cut off."""
    for name in (".snapshot/event000000001-hits.csv", ".ipynb_checkpoints/event000000002-hits.csv"):
        (source / name).parent.mkdir()
        (source / name).write_text("older\n")
    (source / "._event000000001-hits.csv").write_bytes(b"\0\5\26\7")
    (source / "event000000003-hits.csv.part").write_text("hit_id,")
    return source.rename(target)


def zip_with(prefix: str) -> Callable[[Path, Path], Path]:
    def pack(source: Path, target: Path) -> Path:
        return write_zip(target, {f"{prefix}{path.name}": path.read_bytes() for path in source.iterdir()})

    return pack


def zip_of_macos(source: Path, target: Path) -> Path:
    files = {f"train/{path.name}": path.read_bytes() for path in source.iterdir()}
    return write_zip(target, files | {f"__MACOSX/train/._{path.name}": b"\0\5" for path in source.iterdir()})


def zip_of_zips(kind: int, levels: int = 1) -> Callable[[Path, Path], Path]:
    """As the challenge is downloaded: samples that repeat events, test events, and files beside them."""

    def pack(source: Path, target: Path) -> Path:
        first = zip_with("train_1/")(source, target.with_suffix(".1")).read_bytes()
        sample = [path for path in source.iterdir() if "event000000001" in path.name]
        again = {f"train_100_events/{path.name}": path.read_bytes() for path in sample}
        inner = {
            "train_1.zip": first,
            "train_sample.zip": write_zip(target.with_suffix(".2"), again).read_bytes(),
            "__MACOSX/._train_1.zip": b"\0\5",
        }
        for _ in range(levels):
            with zipfile.ZipFile(target, "w", kind) as archive:
                for name, content in {**inner, "detectors.csv": b"volume_id\n"}.items():
                    archive.writestr(name, content)
            inner = {"all.zip": target.read_bytes()}
        return target

    return pack


def folder_of_zips(source: Path, target: Path) -> Path:
    """The download, of which only the outer zip file has been unpacked."""
    target.mkdir()
    zip_with("train_1/")(source, target / "train_1.zip")
    (target / "detectors.csv").write_text("volume_id\n")
    return target


def unpacked_beside_its_zip(source: Path, target: Path) -> Path:
    target.mkdir()
    zip_with("train_1/")(source, target / "train_1.zip")
    source.rename(target / "train_1")
    return target


FORMS = {
    "nested folders": nested,
    "a folder for each file": a_folder_for_each_file,
    "backslashes in names": backslashes_in_names,
    "links": links,
    "unpacked by the browser": unpacked_by_the_browser,
    "packed by the server": packed_by_the_server,
    "with leftovers": with_leftovers,
    "zip": zip_with(""),
    "zip with a folder": zip_with("train/"),
    "zip with folders in folders": zip_with("a/b/c d/"),
    "zip of Windows": zip_with("train\\"),
    "zip of Windows with a drive": zip_with("C:\\data\\train\\"),
    "zip of macOS": zip_of_macos,
    "zip of zips": zip_of_zips(zipfile.ZIP_STORED),
    "zip of compressed zips": zip_of_zips(zipfile.ZIP_DEFLATED),
    "zip of a zip of zips": zip_of_zips(zipfile.ZIP_STORED, levels=2),
    "folder of zips": folder_of_zips,
    "unpacked beside its zip": unpacked_beside_its_zip,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_the_same_events_give_the_same_data_set_in_every_form(
    form: Callable[[Path, Path], Path], tmp_path: Path
):
    first = import_events(csv_folder(tmp_path / "plain"), tmp_path / "first")
    second = import_events(form(csv_folder(tmp_path / "csv"), tmp_path / "form"), tmp_path / "second")
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()


def refuse(source: Path, message: str) -> None:
    with pytest.raises(DataError, match=message), opened_events(source):
        pass


def test_a_folder_without_events_is_refused_with_what_it_holds(tmp_path: Path):
    refuse(tmp_path, r"expected files like event000001000-hits\.csv or \.csv\.gz, got none; found nothing")
    for number in range(5):
        (tmp_path / f"event00000100{number}-hits.csv.bz2").write_bytes(b"BZh")
    refuse(tmp_path, r"got none; found event000001000-hits\.csv\.bz2, .*1002-hits\.csv\.bz2 and 2 more")


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_file_inside_is_named(kind: int, tmp_path: Path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("train_sample.zip", b"PK")
    line = r"all\.zip/train_sample\.zip: expected a zip file, got: File is not a zip file$"
    refuse(path, line)
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "train_a.zip").write_bytes(b"PK")
    refuse(
        tmp_path / "csv", r"csv/train_a\.zip: expected a folder or a zip file of TrackML events; File is not"
    )


def test_zip_files_that_disagree_about_an_event_are_refused(tmp_path: Path):
    source = csv_folder(tmp_path / "csv")
    target = tmp_path / "both"
    target.mkdir()
    zip_with("")(source, target / "a.zip")
    (source / "event000000001-hits.csv").write_text("hit_id\n")
    zip_with("")(source, target / "b.zip")
    refuse(target, r"both: expected one file, got both .*a\.zip/event0\S*-hits\.csv and .*b\.zip/event0\S*")


@pytest.mark.parametrize("name", ["measurements", "particles_initial", "simhits", "measurement-simhit-map"])
def test_files_of_acts_are_refused_by_the_name_of_the_format(name: str, tmp_path: Path):
    (tmp_path / f"event000000000-{name}.csv").write_text("measurement_id\n")
    refuse(tmp_path, rf"got CSV of ACTS, which has other files: event000000000-{name}\.csv")


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path):
    source = csv_folder(tmp_path / "csv")
    write_event(source / "more", 1)
    refuse(source, r"csv: expected one file, got both .*/event0\S*-hits\.csv and .*/more/event0\S*-hits\.csv")


def test_an_empty_folder_in_place_of_a_file_is_named(tmp_path: Path):
    source = csv_folder(tmp_path / "csv")
    (source / "event000000003-hits.csv").mkdir()
    refuse(source, r"event000000003-hits\.csv: expected a file, got an empty folder")


def test_something_else_is_named(tmp_path: Path):
    path = tmp_path / "train.tar.gz"
    path.write_bytes(gzip.compress(b"ustar"))
    refuse(path, r"train\.tar\.gz: expected a folder or a zip file of TrackML events; File is not a zip file")
    refuse(tmp_path / "none.zip", "No such file or directory")


def test_an_encrypted_zip_file_is_named(tmp_path: Path):
    path = zip_with("")(csv_folder(tmp_path / "csv"), tmp_path / "secret.zip")
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            raw[member.header_offset + 6] |= 1
    for place in range(len(raw) - 4):
        if raw[place : place + 4] == b"PK\1\2":
            raw[place + 8] |= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match=r"-hits\.csv is damaged or cannot be read: .* is encrypted"):
        import_events(path, tmp_path / "data")
