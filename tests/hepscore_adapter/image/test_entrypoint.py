"""Tests how a run of an image ends, with the entry point as a process: failures, signals, and its reports.

The cases that any image must pass are in ``conformance``. These tests need a workload, or a program in place
of ``hepbench run``, that goes wrong on purpose.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.command import ROOT, names, read, until
from tests.hepscore_adapter.image.conformance import Outcome, failed, run, scored, summaries
from tests.hepscore_adapter.image.process import LineImage, Process

# Every stand-in begins with the folder and the number of its copy.
STAND_IN = """
import os, signal, subprocess, sys, time
from pathlib import Path
folder = Path(next(a for a in sys.argv if a.startswith("--output=")).removeprefix("--output="))
number = int(folder.name.removeprefix("proc_"))
(folder / "pid").write_text(str(os.getpid()))
"""


@pytest.fixture
def image(tmp_path: Path) -> Iterator[LineImage]:
    """Yields an image, and checks that its folder for temporary files is empty in the end."""
    image = LineImage(tmp_path / "image")
    yield image
    if image.temporary.exists():
        assert names(image.temporary) == []


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def standing_in(image: LineImage, source: str) -> LineImage:
    """Returns the image with ``source`` as its program in place of ``hepbench run``."""
    image.folder.mkdir(exist_ok=True)
    program = image.folder / "stand_in.py"
    program.write_text(STAND_IN + source, encoding="utf-8")
    image.env = {"STAND_IN": str(program)}
    return image


def lives(file: Path) -> bool:
    """Checks whether the process whose number is in a file still runs."""
    return psutil.pid_exists(int(file.read_text(encoding="ascii")))


def last_line(outcome: Outcome) -> str:
    return outcome.stderr.decode().splitlines()[-1]


@pytest.mark.parametrize(
    ("preset", "reason"),
    [
        ("nan", "did not train: the loss is nan from step 1 of epoch 1"),
        ("floor", "did not train: accuracy: expected at least 1.0, got 0.0"),
    ],
)
def test_a_training_that_fails_has_no_score_and_says_why(
    image: LineImage, results: Path, preset: str, reason: str
) -> None:
    outcome = failed(image, results, "-W", "--preset", preset, "--mop", "all")
    assert outcome.code == 1
    assert f"hepbench: failed: {reason}" in outcome.stdout.decode()
    assert last_line(outcome) == (
        f"hepbench: copy 1 of 1 failed with exit code 1; no score (its output: {results}/proc_1/out_1.log)"
    )
    assert names(results) == ["archive_processes_logs.tgz", "inputs.log", "result.json"]
    result = read(results / "result.json")
    assert (result["status"], result["reason"]) == ("failed", reason)


def test_missing_data_are_the_runs_own_words(image: LineImage, results: Path) -> None:
    image.env = {"HEPBENCH_IMAGE_DATA": "/nowhere"}
    outcome = failed(image, results, "-W")
    assert outcome.code == 1
    assert "hepbench: failed: /nowhere/eight has no manifest.json" in outcome.text()


def test_the_first_copy_that_fails_ends_the_others_and_its_exit_code_is_passed_on(
    image: LineImage, results: Path
) -> None:
    standing_in(
        image,
        """
if number == 2:
    while not (folder.parent / "proc_1" / "pid").exists():
        time.sleep(0.01)
    sys.exit(7)
time.sleep(600)
""",
    )
    outcome = failed(image, results, "-W", "-c2", "-t1")
    assert outcome.code == 7
    assert "copy 2 of 2 failed with exit code 7" in last_line(outcome)
    assert not lives(results / "proc_1" / "pid")


def test_a_copy_that_was_killed_is_named_with_its_signal(image: LineImage, results: Path) -> None:
    outcome = failed(standing_in(image, "os.kill(os.getpid(), signal.SIGKILL)"), results, "-W")
    assert outcome.code == 137
    assert "copy 1 of 1 failed with SIGKILL" in last_line(outcome)


def test_a_copy_that_leaves_no_result_has_no_score(image: LineImage, results: Path) -> None:
    outcome = failed(standing_in(image, ""), results, "-W")
    assert outcome.code == 1
    assert last_line(outcome) == (
        f"hepbench: no score: [Errno 2] No such file or directory: '{results}/proc_1/result.json'"
    )


def test_stray_bytes_become_text(image: LineImage, results: Path) -> None:
    """Prints bytes that are not UTF-8, a single one of which would end hep-score itself."""
    source = "sys.stdout.buffer.write(b'a\\xff\\n'); sys.stderr.buffer.write(b'\\xc3\\nb'); sys.exit(1)"
    outcome = failed(standing_in(image, source), results, "-W")
    assert sorted(outcome.stdout.decode().splitlines()) == ["\\xc3", "a\\xff", "b"]
    log = (results / "proc_1" / "out_1.log").read_text(encoding="utf-8")
    assert sorted(log.splitlines()) == ["\\xc3", "a\\xff", "b"]


@pytest.mark.slow
def test_what_a_copy_left_behind_is_ended_with_it(image: LineImage, results: Path) -> None:
    """Starts a grandchild that ignores SIGTERM in a session of its own, and whose parent has ended."""
    standing_in(
        image,
        """
orphan = (
    "import os, signal, sys, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setsid();"
    "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
)
subprocess.Popen(["sh", "-c", '"$0" -c "$1" "$2" &', sys.executable, orphan, folder / "orphan"]).wait()
while not (folder / "orphan").exists():
    time.sleep(0.01)
sys.exit(3)
""",
    )
    assert failed(image, results, "-W").code == 3
    assert not lives(results / "proc_1" / "orphan")


def test_what_a_copy_left_behind_and_is_done_is_no_zombie(image: LineImage, results: Path) -> None:
    """Ends the stand-in with 5 once the entry point, by now the parent of its orphans, has collected them."""
    standing_in(
        image,
        """
import psutil
subprocess.run(["sh", "-c", "for i in 1 2 3; do (sleep 0.1 &) ; done"])
orphans = []
while len(orphans) < 3:
    orphans = [p for p in psutil.Process(os.getppid()).children() if p.pid != os.getpid()]
while any(p.is_running() for p in orphans):
    time.sleep(0.01)
sys.exit(5)
""",
    )
    assert failed(image, results, "-W", "--timeout", "60").code == 5


@pytest.mark.slow
def test_a_copy_that_ignores_sigterm_is_killed(image: LineImage, results: Path) -> None:
    standing_in(
        image, "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    )
    running = image.start("-W", results=results)
    assert running.popen.stdout is not None
    assert running.popen.stdout.readline() == b"deaf\n"
    running.signal(signal.SIGTERM)
    outcome = running.finish(60)
    assert (outcome.code, last_line(outcome)) == (143, "hepbench: stopped by SIGTERM")
    assert not lives(results / "proc_1" / "pid")


@pytest.mark.slow
def test_a_run_that_is_stopped_keeps_its_record(image: LineImage, results: Path) -> None:
    """Sends the signal again and again until the run is over, as batch systems may."""
    running = image.start("-W", *image.long, results=results)
    assert running.popen.stdout is not None
    assert running.popen.stdout.readline().startswith(b"epoch 1/100")
    running.signal(signal.SIGTERM)
    while running.popen.poll() is None:
        running.signal(signal.SIGTERM)
        time.sleep(0.001)
    outcome = running.finish(60)
    assert (outcome.code, outcome.stderr) == (143, b"hepbench: stopped by SIGTERM\n")
    result = read(results / "result.json")
    assert (result["status"], result["reason"], len(result["epochs"])) == ("interrupted", "SIGTERM", 1)


def test_the_time_limit_says_that_it_was_that(image: LineImage, results: Path) -> None:
    outcome = failed(standing_in(image, "time.sleep(600)"), results, "-W", "--timeout", "1")
    assert (outcome.code, last_line(outcome)) == (124, "hepbench: stopped at its time limit")
    assert not lives(results / "proc_1" / "pid")


def test_the_gpu_mode_without_a_gpu_has_no_score(image: LineImage, results: Path) -> None:
    """Shows it in a folder where an earlier run left a score."""
    image.env = {"CUDA_VISIBLE_DEVICES": ""}  # hides the GPUs of the machine that runs the tests
    scored(image, results, "-W")
    for arguments in (["-M", "gpu"], ["--device", "cuda"], ["-x", "-M gpu --n-gpus 2"]):
        outcome = failed(image, results, "-W", *arguments)
        assert (outcome.code, outcome.stdout) == (1, b"")
        assert last_line(outcome).startswith(
            f"hepbench: no score: expected {1 + ('2' in arguments[-1])} GPU(s)"
        )


def test_the_cpu_mode_hides_the_gpus_from_the_copies(image: LineImage, results: Path) -> None:
    standing_in(image, "print(repr(os.environ.get('CUDA_VISIBLE_DEVICES')), sys.argv[1:]); sys.exit(1)")
    image.env = {**image.env, "CUDA_VISIBLE_DEVICES": "0"}
    outcome = failed(image, results, "-W", "-M", "cpu")
    assert outcome.stdout.decode().startswith("'' [")
    assert "--gpus" not in outcome.stdout.decode()


def test_each_copy_has_a_home_and_cores_of_its_own(image: LineImage, results: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("needs two cores")
    homes = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "CUDA_CACHE_PATH", "TRITON_CACHE_DIR")
    standing_in(
        image,
        f"""
print(sorted(os.sched_getaffinity(0)), {{os.environ[name] for name in {homes}}}, flush=True)
Path.home().joinpath("cache").touch()
(folder / "ready").touch()
while not (folder.parent / "proc_1" / "ready").exists():
    time.sleep(0.01)
sys.exit(1 if number == 2 else 0)
""",
    )
    outcome = failed(image, results, "-W", "-c2", "-t1")
    assert outcome.code == 1
    outputs = [(results / f"proc_{n}" / f"out_{n}.log").read_text(encoding="utf-8") for n in (1, 2)]
    share = len(cores) // 2
    for line, bound in zip(outputs, (cores[:share], cores[share : 2 * share]), strict=True):
        assert line.startswith(str(bound))
        assert line.count(str(image.temporary)) == 1  # one folder for all variables
    assert outputs[0] != outputs[1]


def test_a_folder_called_datasets_where_one_stands_is_not_taken_for_ours(
    image: LineImage, results: Path, tmp_path: Path
) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("raise SystemExit('theirs')", encoding="utf-8")
    standing_in(image, "from benchmarks import cli; import datasets; print(datasets.__file__); sys.exit(1)")
    outcome = image.start("-W", results=results, cwd=tmp_path).finish(60)
    assert str(ROOT / "datasets") in outcome.stdout.decode()


def test_a_person_without_name_home_or_locale_gets_the_same(image: LineImage, results: Path) -> None:
    image.env = {"HOME": "/nonexistent", "LANG": "C", "LC_ALL": "POSIX", "USER": "", "LOGNAME": ""}
    info = scored(image, results, "-W")["run_info"]
    assert info["copies"] == 1


def as_first_process(image: LineImage) -> LineImage:
    image.prefix = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*image.prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make a process namespace (unshare --pid)")
    return image


@pytest.mark.slow
def test_copies_measure_at_the_same_time(image: LineImage, results: Path) -> None:
    """Each epoch takes a second, whatever the time that a copy needs to start."""
    steady = dataclasses.replace(image, presets="steady")
    report = scored(steady, results, "-W", "--copies", "2")["report"]
    assert report["overlap"] > 0.8

    # A pass over the validation events takes a second, too, and three would not be long enough.
    for number in (1, 2):
        passes = read(results / f"proc_{number}" / "result.json")["inference"]["batch"]["pass_seconds"]
        assert sum(passes[:-1]) < 3.5 <= sum(passes)


@pytest.mark.slow
def test_a_copy_that_hangs_ends_the_run_within_a_minute(image: LineImage, results: Path) -> None:
    running = image.start("-W", "--copies", "2", *image.long, results=results)
    until(lambda: all((results / f"proc_{number}" / "run.log").exists() for number in (1, 2)))
    stopped = psutil.Process(running.popen.pid).children()[1]
    stopped.suspend()
    outcome = running.finish(60)
    assert outcome.code == 1
    assert "copy 2 of 2 hangs: the others wait for it" in last_line(outcome)
    assert summaries(results) == []
    assert not stopped.is_running()


def test_as_process_1_it_runs(image: LineImage, results: Path) -> None:
    scored(as_first_process(image), results, "-W")


def test_as_process_1_it_ends_at_sigterm(image: LineImage, results: Path) -> None:
    """Shows that there is a handler, because process 1 ignores a signal without one."""
    running = as_first_process(image).start("-W", *image.long, results=results)
    until(lambda: any(results.glob("proc_1/run.log")))
    [first] = psutil.Process(running.popen.pid).children()
    first.send_signal(signal.SIGTERM)
    assert running.finish(60).code == 143
    assert summaries(results) == []


def test_a_reader_that_goes_away_makes_no_failure(image: LineImage, results: Path) -> None:
    running: Process = image.start("-W", results=results)
    assert running.popen.stdout is not None
    running.popen.stdout.close()
    assert running.popen.wait(60) == 0
    assert summaries(results) == ["line_summary.json"]
    assert running.popen.stderr is not None
    assert running.popen.stderr.read() == b""
    running.popen.stderr.close()


def test_a_results_folder_below_a_file_is_refused(image: LineImage, results: Path) -> None:
    (results / "file").touch()
    for straight in (["-W"], []):
        outcome = failed(image, results / "file" / "x", *straight)
        assert (outcome.code, outcome.stdout) == (1, b"")
        assert outcome.stderr.decode() == (
            f"hepbench: no score: expected a folder to write to, {results}/file/x, got: Not a directory; "
            "mount one there or name another with -w\n"
        )


def test_a_full_results_folder_has_no_score(image: LineImage, small_disk: Path) -> None:
    scored(image, small_disk, "-W")
    (small_disk / "filler").write_bytes(b"x" * (4 << 20))
    outcome = failed(image, small_disk, "-W")
    assert outcome.code == 2
    assert "expected 4 MiB of free disk" in outcome.text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "hepbench: no score: [Errno 28] No space left on device"),
        ("done", "hepbench: no score: cannot write "),
    ],
)
def test_a_results_folder_that_fills_up_in_the_last_second_has_no_score(
    image: LineImage, small_disk: Path, words: str, message: str
) -> None:
    """Lets the copy end well, and leaves no room for the scores, or for its last words."""
    source = f"""
import shutil
for name in ("result.json", "run.log", "line_summary.json"):
    shutil.copy(Path({str(small_disk)!r}) / "kept" / name, folder)
with (folder.parent / "filler").open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        pass
print({words!r}, end="")
"""
    scored(image, small_disk, "-W")
    shutil.copytree(small_disk / "proc_1", small_disk / "kept")
    outcome = failed(standing_in(image, source), small_disk, "-W")
    assert outcome.code == 1
    assert last_line(outcome).startswith(message)
    assert "No space left on device" in last_line(outcome)


def test_the_archive_holds_what_the_copies_left(image: LineImage, results: Path) -> None:
    assert run(image, results, "-W", "-c2", "-t1").code == 0
    with tarfile.open(results / "archive_processes_logs.tgz") as archive:
        archived = set(archive.getnames())
    assert archived == {
        f"proc_{n}{name}"
        for n in (1, 2)
        for name in ("", f"/out_{n}.log", "/run.log", "/result.json", "/line_summary.json")
    }
    assert not (results / "result.json").exists()  # there are two


def test_the_help_names_the_presets_and_needs_no_image(image: LineImage, results: Path) -> None:
    outcome = run(image, results, "-h")
    assert outcome.code == 0
    assert outcome.stdout.decode().rstrip().endswith("Presets of this image: eight, slow, nan, floor.")
    image.env = {"HEPBENCH_WORKLOAD": "", "HEPBENCH_PRESETS": ""}
    assert run(image, results, "--help").code == 0
    assert run(image, results, "-W").stderr.decode().startswith("hepbench: expected HEPBENCH_WORKLOAD and ")


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_streams_that_take_nothing_cost_no_score(streams: str, tmp_path: Path) -> None:
    image = LineImage(tmp_path, prefix=("bash", "-c", f'"$@" {streams}', "bash"))
    assert image.start("-W", results=tmp_path / "out").finish(120).code == 0
    assert (tmp_path / "out" / "line_summary.json").is_file()


def test_the_results_may_be_below_the_home_folder(tmp_path: Path) -> None:
    image = LineImage(tmp_path, env={"HOME": str(tmp_path)})
    outcome = image.start("-W", results=Path("~/out")).finish(120)
    assert outcome.code == 0, outcome.stderr
    assert (tmp_path / "out" / "line_summary.json").is_file()
