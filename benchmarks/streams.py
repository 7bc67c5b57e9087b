"""The standard streams of a program, which may be closed, break or know few characters.

A terminal that hangs up, a reader that goes away, a full disk and a locale without UTF-8 must not cost what
was measured.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

import click


def say(text: str, *, err: bool = False) -> None:
    """Prints a text on standard output, or nothing where the stream takes no more.

    Args:
        text: Text to print.
        err: Print on standard error instead.
    """
    with suppress(OSError):
        click.echo(text, err=err)


def error_terminal() -> TextIO | None:
    """Returns standard error if it is a terminal, on which a line can be written again."""
    return sys.stderr if sys.stderr.isatty() else None


def prepare_streams() -> None:
    """Opens streams that were closed, and lets them print characters that their encoding lacks."""
    # Otherwise, the next files that the process opens get the numbers of the closed streams, and libraries
    # print into them. A new descriptor has the lowest number that is free.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)

    # Python has no object for a stream that was closed when it started.
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def settle_streams() -> None:
    """Empties the streams, because Python changes the exit code of a program that cannot."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
