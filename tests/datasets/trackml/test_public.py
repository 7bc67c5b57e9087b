import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.cli import cli
from datasets.errors import DataError
from datasets.store import Writer, open_store
from datasets.trackml.columns import append_events, read_event
from datasets.trackml.public import export_events, import_events
from datasets.trackml.weights import hit_weights
from tests.datasets.trackml.small import CELLS, TEXTS, write_event, write_zip

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "trackml-sample"


def numbered(folder: Path, *numbers: int) -> Path:
    """Write events whose first particle's nhits is their number."""
    for number in numbers:
        particles = TEXTS["particles"].replace("-1,2\n", f"-1,{number}\n")
        write_event(folder, number, packed=number % 2 == 0, particles=particles, cells=CELLS)
    return folder


def events_of(folder: Path) -> dict[str, list[int]]:
    store = open_store(folder)
    return {
        name: [read_event(split, index).particles["nhits"][0] for index in range(len(split))]
        for name, split in store.splits.items()
    }


def test_events_go_to_the_splits_in_the_order_of_their_names(tmp_path: Path):
    source = numbered(tmp_path / "csv", 12, 3, 4, 7, 11)
    (source / "detectors.csv").write_text("volume_id\n")
    calls: list[tuple[int, int]] = []
    made = import_events(source, tmp_path / "data", progress=lambda *call: calls.append(call))
    assert events_of(made) == {"train": [3, 4, 7, 11], "validation": [12]}
    assert calls == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    about = open_store(made).manifest
    assert about["source"] == "imported"
    assert about["source_events"]["validation"] == ["000000012"]
    assert str(tmp_path) not in (made / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("train", "validation", "expected"),
    [
        (2, None, {"train": [1, 2], "validation": [4]}),
        (None, 3, {"train": [1], "validation": [2, 3, 4]}),
        (1, 2, {"train": [1], "validation": [3, 4]}),
    ],
)
def test_counts_choose_the_first_and_the_last(
    train: int | None, validation: int | None, expected: dict[str, list[int]], tmp_path: Path
):
    source = numbered(tmp_path / "csv", 1, 2, 3, 4)
    assert events_of(import_events(source, tmp_path / "data", train, validation)) == expected


def test_a_single_event_is_for_training(tmp_path: Path):
    source = numbered(tmp_path / "csv", 1)
    assert events_of(import_events(source, tmp_path / "data")) == {"train": [1]}
    with pytest.raises(DataError, match="expected at least 2 events, 1 to train and 1 to validate on; got 1"):
        import_events(source, tmp_path / "other", validation_events=1)


def test_too_few_events_are_refused(tmp_path: Path):
    source = numbered(tmp_path / "csv", 1, 2)
    with pytest.raises(DataError, match="expected at least 5 events, 3 to train and 2 to validate on; got 2"):
        import_events(source, tmp_path / "data", 3, 2)
    assert list(tmp_path.iterdir()) == [source]


def zip_of(source: Path) -> Path:
    contents = {f"train/{path.name}": path.read_bytes() for path in source.iterdir()}
    return write_zip(source.with_suffix(".zip"), contents)


def test_a_zip_file_gives_the_same_as_a_folder(tmp_path: Path):
    source = numbered(tmp_path / "csv", 1, 2)
    first, second = import_events(source, tmp_path / "a"), import_events(zip_of(source), tmp_path / "b")
    assert (first / "manifest.json").read_bytes() == (second / "manifest.json").read_bytes()


def test_a_damaged_zip_file_is_told(tmp_path: Path):
    path = zip_of(numbered(tmp_path / "csv", 1))
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("train/event000000001-hits.csv")
    start = member.header_offset + 30 + len(member.filename)
    harmed = whole[: start + 20] + bytes(8) + whole[start + 28 :]
    for content, message in (
        (whole[: len(whole) // 2], r"csv\.zip: expected a folder or a zip file of TrackML events; "),
        (harmed, r"csv\.zip/train/event000000001-hits\.csv is damaged or cannot be read: "),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            import_events(path, tmp_path / "data")
    with pytest.raises(DataError, match="No such file or directory"):
        import_events(tmp_path / "none.zip", tmp_path / "data")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(TEXTS["truth"].encode())[:-9], "Compressed file ended"),
        (gzip.compress(TEXTS["truth"].encode())[:10] + b"\xff" * 40, "Error -3"),
    ],
    ids=["cut", "garbled"],
)
def test_a_damaged_gzip_file_is_told_and_nothing_is_left(content: bytes, message: str, tmp_path: Path):
    source = write_event(tmp_path / "csv", 1, packed=True)
    (source / "event000000001-truth.csv.gz").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"event000000001-truth.csv.gz is damaged or cannot be read: {message}"
    ):
        import_events(source, tmp_path / "data")
    assert list(tmp_path.iterdir()) == [source]


def test_a_missing_file_is_named(tmp_path: Path):
    source = write_event(write_event(tmp_path / "csv", 1), 2, truth=None, hits=None)
    with pytest.raises(
        DataError, match="csv: expected hits, truth, particles of event 000000002, got no hits and no truth"
    ):
        import_events(source, tmp_path / "data")


def header_only(kind: str) -> str:
    return TEXTS[kind].split()[0] + "\n"


def test_events_without_truth_or_hits_are_left_out_with_a_line(tmp_path: Path):
    expected = import_events(numbered(tmp_path / "plain", 3, 4, 5), tmp_path / "expected")
    source = numbered(tmp_path / "csv", 3, 4, 5)
    for number in (0, 1):
        write_event(source, number, packed=True, truth=None, particles=None, cells=CELLS)
    write_event(source, 6, hits=header_only("hits"), truth=header_only("truth"))
    lines: list[str] = []
    data = import_events(source, tmp_path / "data", tell=lines.append)
    assert (data / "manifest.json").read_bytes() == (expected / "manifest.json").read_bytes()
    assert lines == [
        "left out 2 of 6 events without truth, such as 000000000",
        "left out 1 of 6 events without hits, such as 000000006",
    ]


def test_counts_are_those_of_the_events_that_are_used(tmp_path: Path):
    source = numbered(tmp_path / "csv", 2, 4, 5)
    write_event(source, 1, truth=None, particles=None)
    write_event(source, 3, hits=header_only("hits"), truth=header_only("truth"))
    assert events_of(import_events(source, tmp_path / "data", 2, 1)) == {"train": [2, 4], "validation": [5]}


def test_only_events_without_truth_are_refused(tmp_path: Path):
    source = write_event(tmp_path / "csv", 1, truth=None, particles=None)
    with pytest.raises(DataError, match=r"got 1 events without truth and 0 without hits, and no others"):
        import_events(source, tmp_path / "data")
    assert list(tmp_path.iterdir()) == [source]


def test_hits_without_truth_in_the_format_of_acts_are_refused(tmp_path: Path):
    hits = "geometry_id,particle_id_pv,particle_id_sv,tx,ty,tz\n1,1,0,2.5,3,4\n"
    source = write_event(tmp_path / "csv", 1, hits=hits, truth=None, particles=None)
    (source / "event000000001-measurements.csv").write_text("measurement_id\n")
    with pytest.raises(DataError, match=r"-hits\.csv: .* got CSV of ACTS 44 or later"):
        import_events(source, tmp_path / "data")


def test_an_event_that_is_not_chosen_may_be_incomplete(tmp_path: Path):
    source = write_event(numbered(tmp_path / "csv", 1, 3), 2, hits=None)
    assert events_of(import_events(source, tmp_path / "data", 1, 1)) == {"train": [1], "validation": [3]}
    with pytest.raises(DataError, match="of event 000000002, got no hits"):
        import_events(source, tmp_path / "all")


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path):
    source = write_event(write_event(tmp_path / "csv", 1), 1, packed=True)
    with pytest.raises(DataError, match=r"expected one file, got both .*-hits.csv and .*-hits.csv.gz"):
        import_events(source, tmp_path / "data")


def test_a_folder_without_events_is_refused(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"expected files like event000001000-hits\.csv or \.csv\.gz, got none"
    ):
        import_events(tmp_path, tmp_path / "data")


def test_what_is_exported_is_imported_again_as_it_was(tmp_path: Path):
    first = import_events(numbered(tmp_path / "csv", 1, 2, 3), tmp_path / "first", 1, 2)
    calls: list[tuple[int, int]] = []
    out = export_events(first, tmp_path / "deep" / "out", progress=lambda *call: calls.append(call))
    assert calls == [(1, 3), (2, 3), (3, 3)] and len(list(out.iterdir())) == 9
    again = import_events(out, tmp_path / "again", 1, 2)
    assert open_store(first).manifest["files"] == open_store(again).manifest["files"]


def test_an_export_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = import_events(numbered(tmp_path / "csv", 1, 2), tmp_path / "data")
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("numpy.savetxt", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(DataError, match=r"cannot write .*out: No space left"):
            export_events(data, out)
    assert not out.exists() and not (tmp_path / ".out.partial").exists()
    out.mkdir()
    with pytest.raises(DataError, match="out exists already; remove it or choose another folder"):
        export_events(data, out)


def test_only_tracking_events_are_exported(tmp_path: Path):
    with Writer(tmp_path / "data") as writer:
        writer.append("train", "elements", [1], {"inputs": np.zeros((1, 12))})
        writer.finish({})
    with pytest.raises(DataError, match="split 'train' has no table 'hits'; it has \\['elements'\\]"):
        export_events(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the TrackML sample is not beside the repository")
def test_the_real_sample_is_read_whole(tmp_path: Path):
    data = import_events(SAMPLE, tmp_path / "data")
    event = read_event(open_store(data).split("train"), 0)
    hits, particles = event.hits, event.particles
    assert (len(hits["hit_id"]), len(particles["particle_id"])) == (5527, 548)
    assert hits["hit_id"][:3].tolist() == [6, 9, 31]
    assert (hits["particle_id"] == 0).sum() == 829
    assert hits["weight"].sum() == pytest.approx(0.0513, abs=1e-4)
    assert particles["particle_id"].max() > 2**53
    ids, counts = np.unique(hits["particle_id"][hits["particle_id"] > 0], return_counts=True)
    assert len(ids) == 468
    listed = dict(zip(particles["particle_id"].tolist(), particles["nhits"].tolist(), strict=True))
    assert [listed[number] for number in ids.tolist()] == counts.tolist()


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the TrackML sample is not beside the repository")
def test_our_weights_are_those_of_the_real_sample(tmp_path: Path):
    """Up to the sum over the whole event, which the sample is cut from; secondaries have none there."""
    event = read_event(open_store(import_events(SAMPLE, tmp_path / "data")).split("train"), 0)
    hits, particles = event.hits, event.particles
    order = np.argsort(particles["particle_id"])
    row = order[np.minimum(np.searchsorted(particles["particle_id"], hits["particle_id"], sorter=order), 547)]
    distance = np.abs(hits["true_position"][:, 2].astype(float) - particles["vertex"][row, 2])
    row = np.where(hits["particle_id"] == 0, -1, row)
    ours = hit_weights(row, distance, np.hypot(*particles["momentum"][:, :2].T.astype(float)))
    counted = hits["weight"] > 0
    ratio = ours[counted] / hits["weight"][counted]
    assert counted.sum() > 4000 and ratio == pytest.approx(np.median(ratio), rel=2e-5)


def test_events_of_one_split_may_be_appended_in_pieces(tmp_path: Path):
    data = import_events(numbered(tmp_path / "csv", 1, 2, 3), tmp_path / "data", 2, 1)
    train = open_store(data).split("train")
    with Writer(tmp_path / "copy") as writer:
        for index in range(2):
            append_events(writer, "train", [read_event(train, index)])
        writer.finish({})
    files, others = (open_store(folder).manifest["files"] for folder in (data, tmp_path / "copy"))
    assert all(files[name] == entry for name, entry in others.items())


def test_the_commands_import_and_export(tmp_path: Path):
    source, data, out = numbered(tmp_path / "csv", 1, 2), tmp_path / "data", tmp_path / "out"
    calls = [
        (["import", "trackml", str(source), "--output", str(data), "--validation-events", "1"], data),
        (["export", "trackml", str(data), "--output", str(out)], out),
    ]
    for arguments, folder in calls:
        answer = CliRunner().invoke(cli, ["data", *arguments])
        assert (answer.exit_code, answer.stdout) == (0, f"{folder}\n"), answer.output
    assert answer.stderr == "wrote 1 of 2 events\nwrote 2 of 2 events\n"
    assert events_of(data) == {"train": [1], "validation": [2]}


def test_the_command_says_which_events_are_left_out(tmp_path: Path):
    source = write_event(numbered(tmp_path / "csv", 1, 2), 3, truth=None, particles=None)
    arguments = ["data", "import", "trackml", str(source), "--output", str(tmp_path / "data")]
    answer = CliRunner().invoke(cli, arguments)
    assert answer.exit_code == 0, answer.output
    assert answer.stderr.splitlines()[0] == "left out 1 of 3 events without truth, such as 000000003"
