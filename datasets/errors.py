"""What the readers, generators and the store raise."""


class DataError(Exception):
    """Events are missing, damaged or cannot be made; one line naming the file and what to do."""
