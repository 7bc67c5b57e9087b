"""The server and its clients as programs, each for a network namespace of its own.

``server FOLDER`` prints the port at which the namespace's address leads to the server on its loopback, and
ends with its standard input. ``clients ADDRESS FOLDER COUNT THINK`` prints the figures of a load.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from pathlib import Path

from benchmarks.serving.server import remote_server
from tests.benchmarks.sonic.stand_in import measure, replay, served, triton

VALUES = 62_500  # of a request, which are 250 kB
SERVICE = 0.001  # seconds, little beside the link


def copy(source: socket.socket, target: socket.socket) -> None:
    """Hands on what comes, to the end of the stream."""
    while data := source.recv(1 << 16):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def relay(listener: socket.socket, address: tuple[str, int]) -> None:
    """Connects whoever comes with the server, which listens on loopback only."""
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(address)
        for pair in ((near, far), (far, near)):
            threading.Thread(target=copy, args=pair, daemon=True).start()


def serve(folder: Path) -> None:
    with triton(folder, VALUES, SERVICE) as server, socket.create_server(("", 0)) as listener:
        host, _, port = server.address.partition(":")
        threading.Thread(target=relay, args=(listener, (host, int(port))), daemon=True).start()
        print(listener.getsockname()[1], flush=True)
        sys.stdin.read()


def put_load(address: str, folder: Path, count: int, think: float) -> None:
    server = remote_server(address, served(VALUES))
    figures = measure(server, replay(folder, VALUES), VALUES, count, think)
    keys = ("event_seconds", "patches_per_second", "bytes_per_event")
    print(json.dumps({key: figures[key] for key in keys}))


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    if role == "server":
        serve(Path(arguments[0]))
    else:
        put_load(arguments[0], Path(arguments[1]), int(arguments[2]), float(arguments[3]))
