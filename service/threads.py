"""A pool of threads that knows for how long each of them has been at its job."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Threads(Executor):
    """`pool` takes jobs that may last: they are not looked at."""

    def __init__(self, count: int, name: str) -> None:
        self.pool = ThreadPoolExecutor(count, name)
        self._since: dict[int, float] = {}  # thread -> when it began, of time.monotonic

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        return self.pool.submit(self._timed, fn, *args, **kwargs)

    def _timed(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        thread = threading.get_ident()
        self._since[thread] = time.monotonic()
        try:
            return fn(*args, **kwargs)
        finally:
            del self._since[thread]

    @property
    def longest(self) -> float:
        """Seconds of the job that has been running for longest."""
        since = list(self._since.values())
        return time.monotonic() - min(since) if since else 0.0

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.pool.shutdown(wait, cancel_futures=cancel_futures)
