"""Loads the backend that carries out the operations of the models, where its framework is installed."""

from __future__ import annotations

from contextlib import suppress

import pytest

from benchmarks import backends
from benchmarks.errors import UsageError

with suppress(UsageError), pytest.MonkeyPatch.context() as patch:
    patch.setenv("KERAS_BACKEND", "tensorflow")  # other tests must not find what this leaves there
    backends.load()
