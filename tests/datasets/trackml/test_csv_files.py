import io
import re
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from datasets.errors import DataError
from datasets.trackml.columns import HIT_COLUMNS, PARTICLE_COLUMNS, HitEvent
from datasets.trackml.csv_files import check_format, has_no_hits, read_files, write_files
from datasets.trackml.csv_table import File
from tests.datasets.trackml.small import HITS, PARTICLES, TEXTS, TRUTH


def files_of(**texts: str | bytes) -> dict[str, File]:
    contents = {
        kind: text if isinstance(text, bytes) else text.encode() for kind, text in {**TEXTS, **texts}.items()
    }
    return {kind: File(f"{kind}.csv", partial(io.BytesIO, contents[kind])) for kind in contents}


def read(**texts: str | bytes) -> HitEvent:
    return read_files(files_of(**texts))


def test_an_event_is_read_in_the_order_of_hit_id():
    event = read()
    for columns, layout in ((event.hits, HIT_COLUMNS), (event.particles, PARTICLE_COLUMNS)):
        assert list(columns) == list(layout)
        for name, (kind, shape) in layout.items():
            assert (columns[name].dtype, columns[name].shape[1:]) == (np.dtype(kind), shape), name
    hits, particles = event.hits, event.particles
    assert hits["hit_id"].tolist() == [1, 2, 3]
    assert hits["position"].tolist() == [
        [32.5, np.float32(0.1), -12.25],
        [-60.25, 4.5, -1502.5],
        [72.5, 1.25, -30.5],
    ]
    assert [hits[f"{name}_id"].tolist() for name in ("volume", "layer", "module")] == [
        [8, 7, 8],
        [2, 2, 4],
        [5, 1, 17],
    ]
    assert hits["particle_id"].tolist() == [4505867370102785, 0, 4505867370102785]
    assert hits["true_position"][:, 2].tolist() == [-12, -1502.5, -30]
    assert hits["true_momentum"][1].tolist() == [-536408, np.float32(16491.7), -843797]
    assert hits["weight"].tolist() == [0.75, 0, 0.25]
    assert particles["particle_id"].tolist() == [4505867370102785, 4505867370102784]
    assert particles["particle_type"].tolist() == [-211, 13]
    assert particles["vertex"][:, 2].tolist() == [2.5, 0]
    assert particles["momentum"].tolist() == [[1.5, 0.25, -0.5], [0, 2, 1]]
    assert particles["charge"].tolist() == [-1, -1] and particles["nhits"].tolist() == [2, 0]


def test_large_particle_ids_are_exact():
    largest = str(2**63 - 1)
    event = read(
        truth=TRUTH.replace("4505867370102785", largest),
        particles=PARTICLES.replace("4505867370102785", largest),
    )
    assert event.hits["particle_id"][0] == event.particles["particle_id"][0] == 2**63 - 1


def test_columns_may_be_shuffled_and_others_are_passed_over():
    lines = [line.split(",") for line in HITS.split()]
    shuffled = "\r\n".join(",".join(["junk", *reversed(line)]) for line in lines)
    assert np.array_equal(read(hits=shuffled).hits["position"], read().hits["position"])


def test_without_a_particle_type_it_is_zero():
    lines = [line.split(",") for line in PARTICLES.split()]
    event = read(particles="\n".join(",".join(line[:1] + line[2:]) for line in lines))
    assert event.particles["particle_type"].tolist() == [0, 0]
    assert event.particles["charge"].tolist() == [-1, -1]


def test_an_event_of_noise_needs_no_particles():
    noise = TRUTH.replace("4505867370102785", "0")
    assert len(read(truth=noise, particles=PARTICLES.split()[0]).particles["nhits"]) == 0


DAMAGED = {
    "no column": (
        {"hits": HITS.replace("module_id", "module")},
        "hits.csv: expected columns hit_id, x, y, z, volume_id, layer_id, module_id; "
        "got 'hit_id,x,y,z,volume_id,layer_id,module'",
    ),
    "empty file": ({"truth": ""}, r"truth.csv: expected columns hit_id, particle_id, .*; got ''"),
    "word": (
        {"hits": HITS.replace("1.25", "abc")},
        "hits.csv: expected numbers below the header, got: could not convert string 'abc' to float32 .*",
    ),
    "broken integer": (
        {"truth": TRUTH.replace("4505867370102785", "4.5e15")},
        "truth.csv: expected numbers below the header, got: could not convert string '4.5e15' to int64 .* "
        r"\(rounded: write whole numbers with all their digits\)",
    ),
    "too large an integer": (
        {"hits": HITS.replace(",17", ",99999999999")},
        "hits.csv: expected numbers below the header, got: could not convert string '99999999999' .*",
    ),
    "lines with semicolons": (
        {"hits": HITS.replace(",", ";")},
        "hits.csv: expected columns hit_id, .*; got 'hit_id;x;y;z;volume_id;layer_id;module_id'",
    ),
    "comment": (
        {"hits": "# made by a script\n" + HITS},
        "hits.csv: expected columns hit_id, .*; got '# made by a script'",
    ),
    "no header": (
        {"hits": HITS.partition("\n")[2]},
        "hits.csv: expected columns hit_id, .*; got '3,72.5,1.25,-30.5,8,4,17'",
    ),
    "web page": (
        {"truth": "<!doctype html>" + "<p>Sign in</p>" * 900},
        r"truth.csv: expected columns hit_id, .*; got '<!doctype html>.{105}\.\.\.'",
    ),
    "pointer of Git LFS": (
        {"hits": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n"},
        "hits.csv: expected columns hit_id, .*; got 'version https://git-lfs.github.com/spec/v1'",
    ),
    "CSV of ACTS": (
        {"hits": "particle_id,geometry_id,tx,ty,tz,tt,tpx,tpy,tpz,te,deltapx,deltapy,deltapz,deltae,index\n"},
        "hits.csv: expected CSV of TrackML, got CSV of ACTS, which has other columns",
    ),
    "CSV of ACTS 44": (
        {"particles": "particle_id_pv,particle_id_sv,particle_id_part,particle_type,vx,vy,vz,px,py,pz\n"},
        "particles.csv: expected CSV of TrackML, got CSV of ACTS 44 or later, which has other columns",
    ),
    "short line": (
        {"particles": PARTICLES.replace(",-1,0", "")},
        "particles.csv: expected numbers below the header, got: invalid column index 8 .*",
    ),
    "half a value": (
        {"truth": TRUTH[:-5]},
        r"truth.csv: expected numbers below the header, got: could not convert string '' to float32 .*",
    ),
    "bytes": (
        {"hits": b"\xff\xfe\x00"},
        r"hits.csv: expected text, got bytes that are none: b'\\xff\\xfe\\x00'",
    ),
    "no hits": ({"hits": HITS.split()[0]}, "hits.csv: expected hits, got none"),
    "hit without truth": (
        {"truth": TRUTH.replace("\n3,", "\n1000003,")},
        "truth.csv: expected a line for each hit of hits.csv; got no hit_id 3",
    ),
    "hits without truth": (
        {"truth": TRUTH.split()[0]},
        "truth.csv: expected a line for each hit of hits.csv; got no hit_id 1 nor 2 others",
    ),
    "truth without hit": (
        {"truth": TRUTH + "9,0,0,0,0,0,0,0,0\n"},
        "hits.csv: expected each hit of truth.csv; got no hit_id 9",
    ),
    "hit twice": (
        {"hits": HITS.replace("\n2,", "\n1,")},
        "hits.csv: expected each hit_id once, got 1 more than once",
    ),
    "truth twice": (
        {"truth": TRUTH.replace("\n2,", "\n1,")},
        "truth.csv: expected each hit_id once, got 1 more than once",
    ),
    "particle twice": (
        {"particles": PARTICLES.replace("102784", "102785")},
        "particles.csv: expected each particle_id once, got 4505867370102785 more than once",
    ),
    "unknown particle": (
        {"particles": PARTICLES.replace("102785", "102786")},
        "particles.csv: expected each particle of truth.csv; got no particle_id 4505867370102785",
    ),
    "unknown volume": (
        {"hits": HITS.replace(",7,2,1", ",10,2,1")},
        "hits.csv: expected volume_id one of 7, 8, 9, 12, 13, 14, 16, 17, 18; got 10",
    ),
    "unknown layer": (
        {"hits": HITS.replace(",8,4,17", ",8,3,17")},
        "hits.csv: expected layer_id one of 2, 4, 6, 8 in volume 8; got 3",
    ),
    "not a number": (
        {"hits": HITS.replace("1.25", "nan")},
        r"hits.csv: expected finite numbers, got \[72.5, nan, -30.5\] as position of hit_id 3",
    ),
    "too large a number": (
        {"particles": PARTICLES.replace("2,1,-1,0", "1e40,1,-1,0")},
        r"particles.csv: expected finite numbers, got \[0.0, inf, 1.0\] as momentum of particle_id \d+784",
    ),
}


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r", "\n\n"])
def test_an_event_with_a_header_alone_has_no_hits(end: str):
    empty = {kind: TEXTS[kind].split()[0] + end for kind in ("hits", "truth")}
    assert has_no_hits(files_of(**empty))
    assert has_no_hits(files_of(**empty, particles=TEXTS["particles"].split()[0]))


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"hits": HITS.split()[0]},
        {"truth": TRUTH.split()[0]},
        {"hits": "", "truth": ""},
        {"hits": "<html></html>", "truth": "<html></html>"},
    ],
)
def test_an_event_with_rows_or_damage_is_not_empty(texts: dict[str, str]):
    assert not has_no_hits(files_of(**texts))


def test_a_file_that_cannot_be_read_says_nothing_of_its_format(tmp_path: Path):
    check_format(File.at(tmp_path / "absent.csv"))
    check_format(files_of()["hits"])
    with pytest.raises(DataError, match="got CSV of ACTS"):
        check_format(files_of(hits="geometry_id,tx\n")["hits"])


@pytest.mark.parametrize(("texts", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_told_in_one_line(texts: dict[str, str | bytes], message: str):
    with pytest.raises(DataError) as caught:
        read(**texts)
    assert re.fullmatch(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def large_event(hits: int, particles: int) -> HitEvent:
    rng = np.random.default_rng(1)
    ids = rng.integers(1, 2**62, particles)
    row = rng.integers(particles, size=hits)
    draw = {
        np.float32: lambda size: rng.normal(0, 1e3, size),
        np.int32: lambda size: rng.integers(-300, 300, size),
    }
    columns = [
        {
            name: draw[kind]((rows, *shape)).astype(kind)
            for name, (kind, shape) in layout.items()
            if kind in draw
        }
        for rows, layout in ((hits, HIT_COLUMNS), (particles, PARTICLE_COLUMNS))
    ]
    columns[0] |= {"hit_id": np.arange(1, hits + 1, dtype=np.int32), "particle_id": ids[row]}
    columns[0] |= {"volume_id": np.full(hits, 8, np.int32), "layer_id": np.full(hits, 2, np.int32)}
    columns[1] |= {"particle_id": ids}
    return HitEvent(columns[0], columns[1])


def test_what_is_written_is_read_again_to_the_last_bit(tmp_path: Path):
    event = large_event(10_000, 1000)
    write_files(event, tmp_path, 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "event000000012-hits.csv", "event000000012-particles.csv", "event000000012-truth.csv"
    ]  # fmt: skip
    files = {kind: tmp_path / f"event000000012-{kind}.csv" for kind in TEXTS}
    assert all(path.read_text().split("\n")[0] == TEXTS[kind].split("\n")[0] for kind, path in files.items())
    again = read_files({kind: File.at(path) for kind, path in files.items()})
    for columns, read_columns in ((event.hits, again.hits), (event.particles, again.particles)):
        assert all(np.array_equal(columns[name], read_columns[name]) for name in columns)
        assert columns.keys() == read_columns.keys()


@pytest.mark.slow
def test_a_full_event_is_read_in_seconds(tmp_path: Path):
    write_files(large_event(100_000, 10_000), tmp_path, 1)
    files = {kind: File.at(tmp_path / f"event000000001-{kind}.csv") for kind in TEXTS}
    start = time.perf_counter()
    assert len(read_files(files).hits["hit_id"]) == 100_000
    assert time.perf_counter() - start < 10  # well under a second on a quiet core
