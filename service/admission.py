"""How many requests and bytes a model holds at once; beyond that, 429 with the seconds after which to try again."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import QueueFull

MOST = 60  # seconds; a longer Retry-After helps nobody
SPAN = 16  # answers over which the rate is observed


class Admission:
    """Counts from the first byte of a request to its answer, so that reading, decoding and queueing are all bounded."""

    def __init__(self, items: int, size: int) -> None:
        self.items = 0
        self.bytes = 0
        self._most_items = items
        self._most_bytes = size
        self._interval = 0.0  # smoothed seconds between answers, while there is work
        self._last = 0.0

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Room for one request of `size` bytes. Raises QueueFull."""
        if self.items >= self._most_items or (self.items and self.bytes + size > self._most_bytes):
            raise QueueFull("the queue is full", limit=self._most_items, retry_after=self.retry_after())
        if self.items == 0:
            self._last = time.perf_counter()
        self.items += 1
        self.bytes += size
        try:
            yield
        finally:
            self.items -= 1
            self.bytes -= size
            now = time.perf_counter()
            self._interval += (now - self._last - self._interval) / SPAN
            self._last = now

    def retry_after(self) -> int:
        """Whole seconds until what is held now is answered, at the observed rate."""
        return min(MOST, max(1, math.ceil(self.items * self._interval)))
