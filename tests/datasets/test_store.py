import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.store import Writer, check_version, open_store
from tests.command import names


def fill(writer: Writer) -> None:
    writer.append("train", "elements", [2, 1], {"inputs": np.arange(3)})


def write(folder: Path) -> Path:
    with Writer(folder) as writer:
        rows = np.arange(12, dtype=np.float32).reshape(6, 2)
        writer.append("train", "elements", [2, 0, 1], {"inputs": rows[:3]})
        writer.append("train", "elements", [3], {"inputs": rows[3:]})
        writer.append("train", "edges", [1, 1, 1, 1], {"ends": np.arange(4)})
        writer.append("test", "elements", [0], {"inputs": rows[:0]})
        return writer.finish({"generator": "by hand"})


def test_what_was_written_is_read(tmp_path: Path):
    store = open_store(write(tmp_path / "data"))
    assert store.manifest["generator"] == "by hand"
    train = store.split("train")
    assert len(train) == 4 and len(store.split("test")) == 1
    elements = train.table("elements")
    assert elements.offsets.tolist() == [0, 2, 2, 3, 6] and elements.offsets.dtype == np.int64
    assert isinstance(elements.columns["inputs"], np.memmap)
    assert elements.columns["inputs"].tolist() == np.arange(12).reshape(6, 2).tolist()
    assert train.table("edges").columns["ends"].tolist() == [0, 1, 2, 3]


def write_version(folder: Path, version: object) -> Path:
    with Writer(folder) as writer:
        fill(writer)
        return writer.finish({"generator_version": version})


def test_a_data_set_of_another_version_is_refused_with_both_versions(tmp_path: Path):
    store = open_store(write_version(tmp_path / "data", 1))
    check_version(store, "generator_version", 1)
    message = (
        f"{tmp_path}/data: expected generator_version 2, got 1, whose data differ; "
        "make the data set again with hepbench data generate"
    )
    with pytest.raises(DataError) as caught:
        check_version(store, "generator_version", 2)
    assert str(caught.value) == message


def test_a_data_set_without_a_version_has_none_to_compare(tmp_path: Path):
    for store in (write(tmp_path / "none"), write_version(tmp_path / "null", None)):
        check_version(open_store(store), "generator_version", 2)


def test_files_are_plain_npy(tmp_path: Path):
    folder = write(tmp_path / "data")
    assert np.load(folder / "train" / "elements" / "inputs.npy").shape == (6, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_equal_data_has_equal_bytes(tmp_path: Path):
    first, second = write(tmp_path / "one"), write(tmp_path / "two")
    assert open_store(first).sha256 == open_store(second).sha256
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()


def test_unknown_names_are_named(tmp_path: Path):
    store = open_store(write(tmp_path / "data"))
    with pytest.raises(DataError, match=r"no split 'validation'; it has \['test', 'train'\]"):
        store.split("validation")
    with pytest.raises(DataError, match=r"no table 'hits'; it has \['edges', 'elements'\]"):
        store.split("train").table("hits")


def test_a_damaged_file_is_named(tmp_path: Path):
    folder = write(tmp_path / "data")
    path = folder / "train" / "elements" / "inputs.npy"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"train/elements/inputs\.npy is damaged: expected SHA-256"):
        open_store(folder)
    open_store(folder, verify=False)


def test_a_truncated_file_is_named_without_verification(tmp_path: Path):
    folder = write(tmp_path / "data")
    path = folder / "train" / "edges" / "ends.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(DataError, match=r"edges/ends\.npy is damaged: expected 160 bytes, found 152"):
        open_store(folder, verify=False)


def test_a_missing_file_is_named(tmp_path: Path):
    folder = write(tmp_path / "data")
    (folder / "train" / "elements" / "offsets.npy").unlink()
    with pytest.raises(DataError, match=r"elements/offsets\.npy is missing"):
        open_store(folder, verify=False)


def test_a_folder_without_manifest_is_no_data_set(tmp_path: Path):
    folder = write(tmp_path / "data")
    (folder / "manifest.json").unlink()
    with pytest.raises(DataError, match="half-written or not a data set"):
        open_store(folder)
    with pytest.raises(DataError, match="there is no such folder"):
        open_store(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"text"'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str):
    folder = write(tmp_path / "data")
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json is damaged"):
        open_store(folder)


def test_another_format_is_refused(tmp_path: Path):
    folder = write(tmp_path / "data")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format_version": 99}))
    with pytest.raises(DataError, match="expected format hepbench-events 1, found hepbench-events 99"):
        open_store(folder)


def test_an_error_leaves_nothing(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), Writer(tmp_path / "data") as writer:
        writer.append("train", "elements", [1], {"inputs": np.zeros((1, 2))})
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept(tmp_path: Path):
    folder = write(tmp_path / "data")
    with pytest.raises(DataError, match="exists already"):
        Writer(folder)
    open_store(folder)


def test_an_empty_folder_is_taken(tmp_path: Path):
    (tmp_path / "data").mkdir()
    open_store(write(tmp_path / "data"))


def test_two_writers_do_not_mix(tmp_path: Path):
    with Writer(tmp_path / "data"), pytest.raises(DataError, match="another process is writing"):
        Writer(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_the_next_writer_sweeps_up_after_a_killed_one(tmp_path: Path):
    script = (
        "import os, sys, numpy as np; from pathlib import Path; from datasets.store import Writer\n"
        "writer = Writer(Path(sys.argv[1]))\n"
        "writer.append('train', 'elements', [1], {'leftover': np.zeros((1, 2))})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    folder = tmp_path / "data"
    assert subprocess.run([sys.executable, "-c", script, folder], check=False).returncode == -9
    assert not folder.exists() and len(list(tmp_path.iterdir())) == 1
    store = open_store(write(folder))
    assert set(store.split("train").table("elements").columns) == {"inputs"}
    assert list(tmp_path.iterdir()) == [folder]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path):
    """Limits the size of files, which makes writing fail as a full disk does."""
    script = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from datasets.errors import DataError; from datasets.store import Writer\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    with Writer(Path(sys.argv[1])) as writer:\n"
        "        for _ in range(100):\n"
        "            writer.append('train', 'elements', [1000], {'inputs': np.zeros((1000, 12))})\n"
        "except DataError as error:\n"
        "    sys.exit(str(error))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "data"], capture_output=True, text=True, check=False
    )
    assert process.stderr.strip() == f"cannot write {tmp_path / 'data'}: {os.strerror(27)}"
    assert list(tmp_path.iterdir()) == []


def test_columns_must_agree(tmp_path: Path):
    with Writer(tmp_path / "data") as writer:
        with pytest.raises(ValueError, match="expected 2 rows in every column"):
            writer.append("train", "elements", [2], {"inputs": np.zeros((3, 2))})
        writer.append("train", "elements", [2], {"inputs": np.zeros((2, 2))})
        with pytest.raises(ValueError, match="inputs: expected"):
            writer.append("train", "elements", [2], {"inputs": np.zeros((2, 3))})
        writer.append("train", "edges", [1, 1], {"ends": np.zeros(2)})
        with pytest.raises(ValueError, match="differ in their events"):
            writer.finish({})


def test_a_mount_point_or_a_folder_in_a_closed_one_takes_a_data_set(tmp_path: Path) -> None:
    """Nothing is made beside the folder, which stays the one that it was."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "lost+found").mkdir()
    number = folder.stat().st_ino
    with Writer(folder) as writer:
        fill(writer)
        assert names(tmp_path) == ["data"]
        assert names(folder) == [".partial", "lost+found"]
        with pytest.raises(DataError, match="another process is writing"):
            Writer(folder)
        writer.finish({})
    assert names(tmp_path) == ["data"]
    assert names(folder) == ["lost+found", "manifest.json", "train"]
    assert folder.stat().st_ino == number
    open_store(folder)


def test_a_link_to_a_folder_that_is_not_there_yet_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "data")
    with Writer(tmp_path / "link") as writer:
        fill(writer)
        writer.finish({})
    assert names(tmp_path / "disk") == ["data"]
    open_store(tmp_path / "link")


def test_a_file_system_without_locks_and_fsync_takes_two_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a hidden folder of its own, and the second one finds that the first one was quicker."""

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(os, "fsync", refuse)
    with (
        Writer(tmp_path / "data") as first,
        pytest.raises(DataError, match="cannot write"),
        Writer(tmp_path / "data") as second,
    ):
        fill(first)
        fill(second)
        first.finish({})
        second.finish({})
    assert names(tmp_path) == ["data"]
    open_store(tmp_path / "data")


def test_a_disk_that_loses_bytes_is_no_file_system_without_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", lose)
    with pytest.raises(DataError, match="Input/output error"), Writer(tmp_path / "data") as writer:
        fill(writer)
        writer.finish({})
    assert names(tmp_path) == []
