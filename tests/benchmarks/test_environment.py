"""What a site has in its environment for other programs, and hepbench must live with."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.command import ROOT, environment, hepbench, names, refused, run_line
from tests.conftest import tiny


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A folder with another package called ``datasets``, such as that of Hugging Face."""
    package = tmp_path / "stack" / "datasets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "2.14.0"\n', encoding="utf-8")
    return package.parent


@pytest.fixture(scope="module")
def line_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a workload that takes no time."""
    folder = tmp_path_factory.mktemp("line") / "run"
    assert run_line(folder).returncode == 0
    return folder


def test_another_package_called_datasets_on_the_path_is_passed_over(stranger: Path, tmp_path: Path) -> None:
    answer = hepbench("list", env={"PYTHONPATH": f"{stranger}:{ROOT}"}, cwd=tmp_path)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("mlpf: ")


def test_another_package_called_datasets_in_the_working_folder_is_passed_over(stranger: Path) -> None:
    answer = hepbench("list", cwd=stranger)
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    """A folder with other packages that are called as ours."""
    for name in ("benchmarks", "datasets"):
        package = tmp_path / "stack" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text('__version__ = "2.14.0"\n', encoding="utf-8")
    return tmp_path / "stack"


def console_script(name: str, program: str, folder: Path) -> Path:
    """Makes the program that pip makes of a line in ``[project.scripts]``."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        module, _, function = tomllib.load(file)["project"]["scripts"][program].partition(":")
    path = folder / name
    lines = (f"#!{sys.executable}", "import sys", f"from {module} import {function}")
    path.write_text("\n".join([*lines, f"if __name__ == '__main__':\n    sys.exit({function}())\n"]), "utf-8")
    path.chmod(0o700)
    return path


def test_other_packages_that_are_called_as_ours_are_passed_over(strangers: Path, tmp_path: Path) -> None:
    path = environment({"PYTHONPATH": f"{strangers}:{ROOT}"})
    script = console_script("hepbench", "hepbench", tmp_path)
    for program in ([str(script)], [sys.executable, "-m", "hepscore_adapter.programs"]):
        answer = subprocess.run([*program, "list"], env=path, cwd=strangers, capture_output=True, text=True)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert answer.stdout.startswith("mlpf: ")
    script = console_script("hepbench-entrypoint", "hepbench-entrypoint", tmp_path)
    answer = subprocess.run([script, "--help"], env=path, cwd=strangers, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_processes_of_the_command_pass_them_over_too(strangers: Path, tmp_path: Path) -> None:
    """These are the workers that make events. They import the main program again, each for itself."""
    pytest.importorskip("pythia8mc", reason="events are made with Pythia")
    script = console_script("hepbench", "hepbench", tmp_path)
    settings = ("--set=train_events=4", "--set=validation_events=4", "--set=pileup=0", "--set=pool_events=1")
    call = [script, "data", "generate", "mlpf", *settings, "--output", tmp_path / "events"]
    path = environment({"PYTHONPATH": f"{strangers}:{ROOT}"})
    answer = subprocess.run(call, env=path, cwd=strangers, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.horovod
@pytest.mark.slow
def test_ranks_that_the_command_starts_pass_them_over_too(
    strangers: Path, mlpf_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("horovod", reason="several ranks need Horovod")
    assert mlpf_data.is_dir()
    script = console_script("hepbench", "hepbench", tmp_path)
    call = [script, "run", *tiny(), "--ranks=2", "--batch-size=2", "--output", tmp_path / "run"]
    path = environment({"PYTHONPATH": f"{strangers}:{ROOT}"})
    answer = subprocess.run(call, env=path, cwd=strangers, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_workers_find_our_datasets_too(stranger: Path, mlpf_data: Path, tmp_path: Path) -> None:
    settings = ("--set=train_events=8", "--set=validation_events=4", "--set=pileup=0", "--set=pool_events=1")
    answer = hepbench(
        "data",
        "generate",
        "mlpf",
        *settings,
        "--output",
        tmp_path / "events",
        env={"PYTHONPATH": f"{stranger}:{ROOT}", "PYTHIA8DATA": str(tmp_path / "somebody" / "xmldoc")},
        cwd=tmp_path,
    )
    assert answer.returncode == 0, answer.stderr
    first, second = (folder / "manifest.json" for folder in (tmp_path / "events", mlpf_data))
    assert first.read_bytes() == second.read_bytes()


def test_the_stranger_is_still_there_for_other_programs(stranger: Path, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; before = list(sys.path); import benchmarks, datasets\n"
    code += "print(sys.path == before, Path(datasets.__file__).parents[1])"
    script = tmp_path / "program.py"
    script.write_text(code, encoding="utf-8")
    answer = hepbench(program="program", env={"PYTHONPATH": f"{stranger}:{ROOT}"}, cwd=tmp_path)
    assert answer.stdout.split() == ["True", str(ROOT)], answer.stderr


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "Qt4Agg", "TkAgg"])
def test_a_figure_is_drawn_whatever_backend_the_notebook_has(
    backend: str, line_run: Path, tmp_path: Path
) -> None:
    pytest.importorskip("mplhep", reason="plots are drawn with matplotlib and mplhep")
    picture = tmp_path / "run.png"
    answer = hepbench("report", line_run, "--plot", picture, env={"MPLBACKEND": backend})
    assert answer.returncode == 0, answer.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_tilde_that_the_shell_left_is_the_home_folder(tmp_path: Path) -> None:
    assert run_line(Path("~/run"), env={"HOME": str(tmp_path)}, cwd=ROOT).returncode == 0
    assert (tmp_path / "run" / "result.json").is_file()
    answer = hepbench("report", "~/run", env={"HOME": str(tmp_path)})
    assert answer.returncode == 0, answer.stderr


def test_a_data_set_below_the_home_folder_is_found(mlpf_data: Path) -> None:
    env = {"HOME": str(mlpf_data.parent)}
    answer = hepbench("data", "verify", f"~/{mlpf_data.name}", env=env)
    assert answer.returncode == 0, answer.stderr


def test_an_unknown_home_folder_is_refused() -> None:
    line = refused(hepbench("data", "verify", "~nobody-of-this-name/events"), 2)
    assert line.endswith("~nobody-of-this-name/events: there is no such home folder; write the whole path")
    line = refused(hepbench("doctor", env={"HEPBENCH_DATA": "~nobody-of-this-name/cache"}), 1)
    assert line == (
        "HEPBENCH_DATA=~nobody-of-this-name/cache: there is no such home folder; write the whole path"
    )


@pytest.mark.parametrize(
    ("variable", "settings"),
    [
        ("HOME", '{"floatx": "bfloat16"}'),
        (
            "HOME",
            '{"floatx": "float16", "epsilon": 0.1, "backend": "x", "image_data_format": "channels_first"}',
        ),
        ("KERAS_HOME", "[]"),
    ],
    ids=["unknown type", "other values", "no mapping"],
)
def test_the_settings_of_keras_for_other_work_are_passed_over(
    variable: str, settings: str, tmp_path: Path
) -> None:
    pytest.importorskip("keras", reason="models are written in Keras")
    folder = tmp_path if variable == "KERAS_HOME" else tmp_path / ".keras"
    folder.mkdir(exist_ok=True)
    (folder / "keras.json").write_text(settings, encoding="utf-8")
    program = "from benchmarks import backends; backends.load(); from keras import config as c; "
    program += "print(c.backend(), c.floatx(), c.epsilon(), c.image_data_format())"
    others = {"KERAS_NNX_ENABLED": "1", "TF_USE_LEGACY_KERAS": "1", "KERAS_BACKEND": ""}
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=environment({variable: str(tmp_path), **others}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "tensorflow float32 1e-07 channels_last\n", answer.stderr
    assert (folder / "keras.json").read_text(encoding="utf-8") == settings


def test_a_framework_that_cannot_be_loaded_says_why_in_one_line(tmp_path: Path) -> None:
    words = "/lib64/libstdc++.so.6: version `GLIBCXX_3.4.32' not found"
    (tmp_path / "tensorflow.py").write_text(f"raise ImportError({words!r})\n", encoding="utf-8")
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "KERAS_BACKEND": "tensorflow"}
    line = refused(run_line(tmp_path / "run", env=path), 2)
    assert line == f"tensorflow is installed but cannot be loaded: {words}"
    assert not (tmp_path / "run").exists()


def test_a_framework_that_a_limit_keeps_out_is_told_with_the_limit(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('cannot map segment')\n", encoding="utf-8")
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}", "KERAS_BACKEND": "tensorflow"}
    limit = 3 << 30
    answer = run_line(
        tmp_path / "run", env=path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    )
    assert refused(answer, 2) == (
        "tensorflow is installed but cannot be loaded: cannot map segment"
        " (the address space is limited to 3072 MiB: raise ulimit -v)"
    )


@pytest.mark.parametrize(
    ("variable", "options"), [("XLA_FLAGS", ["--xla"]), ("TF_XLA_FLAGS", [])], ids=["xla", "tensorflow"]
)
@pytest.mark.slow
def test_flags_that_would_abort_the_framework_are_refused_by_the_name_of_their_variable(
    variable: str, options: list[str], mlpf_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorflow", reason="this is TensorFlow's backend")
    assert mlpf_data.is_dir()
    answer = hepbench(
        "run", *tiny(), *options, "--output", tmp_path / "run", env={variable: "--no_such_flag=1"}
    )
    line = refused(answer, 2)
    assert line == f"{variable}: TensorFlow refuses it: Unknown flag in {variable}: --no_such_flag=1"
    assert names(tmp_path) == []


def test_make_refuses_an_old_python_before_it_makes_anything(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python3.9"
    program = 'import sys; sys.version_info, sys.version = (3, 9, 18), "3.9.18 (old)"; exec(sys.argv[2])'
    python.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{program}' \"$@\"\n", encoding="utf-8")
    python.chmod(0o700)
    answer = subprocess.run(
        ["make", "setup", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    line = answer.stderr.splitlines()[0]
    assert line == "hepbench needs Python 3.11 to 3.13, got 3.9.18; call make PYTHON=python3.11"
    assert names(tmp_path) == ["Makefile", "pyproject.toml", "python3.9"]
