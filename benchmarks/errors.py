"""The ways in which a run ends badly, each with one line for the person who started it."""


class UsageError(Exception):
    """The call was wrong: says what was expected, what came and what to do. Exit code 2."""


class RunFailedError(Exception):
    """The run itself failed (NaN, does not fit, quality below the floor). Exit code 1."""


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. Exit code 143."""
