"""Batches prepared in a thread while the device works, and how long the device had to wait for them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from benchmarks.timing import clock
from benchmarks.workload import Batch

DEPTH = 2  # batches ready ahead of the device
PATIENCE_SECONDS = 5.0


class Feed:
    """Iterates over (batch, inputs on the device, targets on the device or None for inference).

    Attributes:
        wait_seconds: Time the loop found no batch ready. On a device that works asynchronously this
            is an upper bound of the time that the device had nothing to do.
    """

    def __init__(self, batches: Iterator[Batch], put: Callable[[Any], Any]) -> None:
        self.wait_seconds = 0.0
        self._batches = batches
        self._put = put
        self._queue: queue.Queue[Any] = queue.Queue(DEPTH)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, name="feed", daemon=True)

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        # After an error nobody wants the batch under way, which may wait for ranks that are gone.
        self._thread.join(None if kind is None else PATIENCE_SECONDS)

    def __iter__(self) -> Iterator[tuple[Batch, Any, Any]]:
        while True:
            start = clock()
            item = self._queue.get()
            self.wait_seconds += clock() - start
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _fill(self) -> None:
        try:
            for batch in self._batches:
                inputs = self._put(batch.inputs)
                targets = None if batch.targets is None else self._put(batch.targets)
                if not self._offer((batch, inputs, targets)):
                    return
            self._offer(None)
        except BaseException as error:  # raised again where the loop takes the next batch
            self._offer(error)

    def _offer(self, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
