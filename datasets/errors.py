"""The exception of the readers, the generators and the store, and the reason why a library is missing."""


class DataError(Exception):
    """Events are missing, damaged or cannot be made. The text is one line that says what to do."""


def explain_import_error(error: ImportError, extra: str) -> str:
    """Returns whether a library is not installed or cannot be loaded, as the end of a line.

    A library that is installed fails to load where the system's own libraries are too old for it. Its own
    words name the cause then, and installing it again would not help.

    Args:
        error: Exception of the import.
        extra: Optional dependencies of ``hepbench`` that hold the library, such as "data".
    """
    if isinstance(error, ModuleNotFoundError):
        return f"not installed: pip install '.[{extra}]'"
    return f"installed but cannot be loaded: {' '.join(str(error).split())}"
