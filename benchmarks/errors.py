"""The errors that end a run. Each has one line for the person who started it."""


class UsageError(Exception):
    """An error of the call. Says what was expected, what came and what to do. Exit code 2."""


class RunFailedError(Exception):
    """A failure of the run itself, such as NaN, a lack of memory, or a poor quality. Exit code 1."""


class Terminated(KeyboardInterrupt):
    """The arrival of SIGTERM. Exit code 143."""
