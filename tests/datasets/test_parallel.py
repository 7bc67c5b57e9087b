import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from datasets.errors import DataError
from datasets.parallel import start_workers


def square(value: int) -> int:
    time.sleep(0.02 * (value == 0))  # the first is the last to be done
    return value * value


def die(_: int) -> None:
    os._exit(3)


def refuse(_: int) -> None:
    raise DataError("no such events")


def test_results_come_in_the_order_of_the_tasks():
    with start_workers(2) as workers:
        assert list(workers.map(square, range(20))) == [value * value for value in range(20)]


def test_tasks_are_taken_only_as_workers_get_to_them():
    tasks_taken = []

    def tasks() -> Iterator[int]:
        for value in range(100):
            tasks_taken.append(value)
            yield value

    with start_workers(1) as workers:
        results = workers.map(square, tasks())
        next(results)
        assert len(tasks_taken) == 3


def test_the_error_of_a_worker_reaches_the_caller():
    with pytest.raises(DataError, match="no such events"), start_workers(1) as workers:
        list(workers.map(refuse, range(3)))


def test_a_worker_that_dies_is_an_error():
    with pytest.raises(DataError, match="a worker process died"), start_workers(1) as workers:
        list(workers.map(die, range(3)))


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU, signal.SIGKILL],
)
def test_a_signal_ends_the_workers_and_removes_what_was_written(tmp_path: Path, number: signal.Signals):
    script = (
        "import sys, time, numpy as np; from pathlib import Path\n"
        "from datasets.parallel import start_workers; from datasets.store import Writer\n"
        "if __name__ == '__main__':\n"
        "    with Writer(Path(sys.argv[1])) as writer, start_workers(2) as workers:\n"
        "        writer.append('train', 'elements', [1], {'inputs': np.zeros((1, 2))})\n"
        "        results = workers.map(time.sleep, [0.01, 0.01, 100, 100])\n"
        "        next(results), next(results)\n"
        "        print('ready', flush=True)\n"
        "        list(results)\n"
    )
    program = tmp_path / "program.py"
    program.write_text(script)
    command = [sys.executable, program, tmp_path / "out" / "data"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(timeout=10) != 0
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=10)[1] == []
    if number != signal.SIGKILL:  # after that, nobody is left to clean up but the next writer
        assert list((tmp_path / "out").iterdir()) == []
