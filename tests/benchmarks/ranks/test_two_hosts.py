"""Ranks on two hosts: network namespaces with a cable between them, one rank in each, as srun starts them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import LINE, command, environment, names, read

pytestmark = [pytest.mark.horovod, pytest.mark.slow]

LIMIT_SECONDS = 60  # from the cut of the cable to the end of the last process
ADDRESSES = ("10.97.83.1", "10.97.83.2")
FIRST = "first-host"
MESSAGE = 4 << 20  # bytes, the largest all-reduce that a run times


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Hosts:
    """Two hosts and the ranks on them. Rank r is on host r."""

    def __init__(self) -> None:
        self.names = [f"hepbench-{os.getpid()}-{rank}" for rank in (0, 1)]
        for name in self.names:
            ip("netns", "add", name)
        ends = [("netns", name, "name", "eth0") for name in self.names]
        ip("link", "add", *ends[0][2:], *ends[0][:2], "type", "veth", "peer", *ends[1][2:], *ends[1][:2])
        for name, address in zip(self.names, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", name, "link", "set", device, "up")
            # What `ip netns exec` puts in place of /etc/hosts. As on many machines, a host's own name leads
            # to its loopback, and only others arrive with it at the host.
            folder = Path("/etc/netns", name)
            folder.mkdir(parents=True)
            loopback = f"127.0.0.1 localhost {socket.gethostname()}\n"
            first = "127.0.1.1" if address == ADDRESSES[0] else ADDRESSES[0]
            folder.joinpath("hosts").write_text(f"{loopback}{first} {FIRST}\n", encoding="ascii")

    def start(self, folder: Path, *arguments: object) -> list[subprocess.Popen[str]]:
        call = command("run", "line", "--ranks", 2, "--output", folder, *arguments, program=LINE)
        return [
            subprocess.Popen(
                ["ip", "netns", "exec", name, *call],
                env=environment(self._slurm(rank)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank, name in enumerate(self.names)
        ]

    def _slurm(self, rank: int) -> dict[str, str]:
        step = {"STEP_ID": os.getpid(), "STEP_NUM_TASKS": 2, "STEP_TASKS_PER_NODE": "1(x2)", "JOB_ID": 1}
        step |= {"STEP_NODELIST": f"{FIRST},{ADDRESSES[1]}", "NODEID": rank, "PROCID": rank, "LOCALID": 0}
        return {f"SLURM_{name}": str(value) for name, value in step.items()}

    def slow_down(self, rate: str) -> None:
        """Limits the rate of the cable in each direction, such as ``100mbit``."""
        for name in self.names:
            limit = ("rate", rate, "burst", "64kb", "latency", "200ms")
            tc = ["tc", "-n", name, "qdisc", "add", "dev", "eth0", "root", "tbf", *limit]
            subprocess.run(tc, check=True, capture_output=True)

    def cut(self) -> None:
        ip("-n", self.names[0], "link", "set", "eth0", "down")

    def remove(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
            shutil.rmtree(Path("/etc/netns", name), ignore_errors=True)


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    pytest.importorskip("horovod", reason="several ranks need Horovod (make horovod)")
    if os.geteuid() or shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("network namespaces need root and iproute2")
    pair = Hosts()
    yield pair
    pair.remove()


def finish(ranks: list[subprocess.Popen[str]], seconds: float) -> list[tuple[str, str]]:
    try:
        return [rank.communicate(timeout=seconds) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()


def test_two_hosts_train_and_a_slow_cable_shows(hosts: Hosts, tmp_path: Path) -> None:
    """In a ring of two, each hands its 4 MB over once, which takes 0.34 s or more at 100 Mbit/s."""
    slowest = []
    for name in ("fast", "slow"):
        if name == "slow":
            hosts.slow_down("100mbit")
        ranks = hosts.start(tmp_path / name, "--set", "train_events=4")
        answers = finish(ranks, 4 * LIMIT_SECONDS)
        assert [rank.returncode for rank in ranks] == [0, 0], answers
        result = read(tmp_path / name / "result.json")
        assert (result["world_size"], result["distributed"]["nodes"]) == (2, 2)
        measured = {each["bytes"]: each["seconds"] for each in result["distributed"]["all_reduce"]}
        slowest.append(measured[MESSAGE])
    fast, slow = slowest
    assert slow > MESSAGE * 8 / 100e6
    assert fast < slow


def test_a_cut_cable_ends_the_run(hosts: Hosts, tmp_path: Path) -> None:
    forever = ("--set", "wait=0.2", "--set", "epochs=1000", "--set", "train_events=8")
    ranks = hosts.start(tmp_path / "run", *forever)
    assert ranks[0].stderr is not None
    for line in ranks[0].stderr:
        if line.startswith("epoch 1/"):
            break
    hosts.cut()
    since = time.monotonic()
    answers = finish(ranks, LIMIT_SECONDS)
    assert time.monotonic() - since < LIMIT_SECONDS
    assert all(rank.returncode == 1 for rank in ranks), answers
    assert [name for name in names(tmp_path / "run") if name.endswith("_summary.json")] == []
    result = read(tmp_path / "run" / "result.json")
    assert result["status"] == "failed"
    assert "(rank 1, " in result["reason"]
