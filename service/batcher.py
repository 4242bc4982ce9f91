"""Joins waiting calls into batches: list -> list. Knows nothing of models."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.errors import DeadlineExceeded, Failed, RequestError, Unavailable
from service.fair import Turns
from service.types import Stages

RETRY = 1  # seconds
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)  # compared by identity: arrays have no one truth value
class Entry(Generic[Item, Result]):
    item: Item
    future: "asyncio.Future[Result]"
    stages: Stages
    deadline: float  # of time.perf_counter
    entered: float
    owner: str | None = None


class Batcher(Generic[Item, Result]):
    """A batch is what is waiting when the engine is free, up to `size`; there is no window.

    With an `engine` (an executor) batches run there, at most `lanes` at once, and calls that arrive meanwhile are the
    next batch. Without one they run on the event loop, on what arrived in this turn of it: a hand-off between threads
    costs more than a tiny graph. A call that has the engine to itself is given to `alone`, if there is such a thing: a
    run that takes all cores, which would only fight with others. A batch that fails is run again item by item, so that
    only the guilty one fails. Calls that are `patient` run while nobody else waits: they delay others by one batch.
    If it is `fair`, the owners of calls are served in turn, however many calls each of them has.
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result | Exception]],
        *,
        size: int = 16,
        engine: Executor | None = None,
        lanes: int = 1,
        alone: Callable[[list[Item]], Sequence[Result | Exception]] | None = None,
        observe: Callable[[int], None] = lambda size: None,
        joined: Callable[[Sequence[Stages], float], None] | None = None,
        fair: bool = False,
    ) -> None:
        self.size = size
        self.engine = engine
        self.lanes = lanes
        self.alone = alone
        self._run = run
        self._observe = observe  # told the size of each batch
        self._joined = joined  # told whose stages shared one, and its seconds
        self._waiting: deque[Entry[Item, Result]] | Turns[Entry[Item, Result]] = Turns() if fair else deque()
        self._patient: deque[Entry[Item, Result]] = deque()
        self._running: list[list[Entry[Item, Result]]] = []  # batches in the engine
        self._woken = False
        self._over = ""  # why nobody is served any more
        self.failures = 0  # batches in a row of which nothing came out
        self.usual = 0.0  # seconds of a long run, of late

    def __len__(self) -> int:
        """Calls that wait for a batch."""
        return len(self._waiting)

    @property
    def waiting(self) -> Iterator[Item]:
        return (entry.item for entry in self._waiting)

    async def __call__(
        self,
        item: Item,
        stages: Stages,
        *,
        deadline: float = float("inf"),
        owner: str | None = None,
        patient: bool = False,
    ) -> Result:
        """Adds seconds of `queue` and `run` to `stages`. Raises DeadlineExceeded, Failed, or what `run` raised.

        A cancelled call leaves the queue.
        """
        if self._over:
            raise Unavailable(self._over, retry_after=RETRY)
        loop = asyncio.get_running_loop()
        entry = Entry(item, loop.create_future(), stages, deadline, time.perf_counter(), owner)
        queue = self._patient if patient else self._waiting
        queue.append(entry)
        self._wake(loop)
        try:
            result: Result = await entry.future
            return result
        except asyncio.CancelledError:
            with suppress(ValueError):  # it was not waiting any more
                queue.remove(entry)
            raise

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Batches form at the end of this turn of the loop, when all that arrived in it has been queued."""
        if not self._woken and (self._waiting or self._patient) and len(self._running) < self.lanes:
            self._woken = True
            loop.call_soon(self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._woken = False
        batch = self._take()
        if not batch:
            self._wake(loop)
            return
        if self.engine is None:
            self._deliver(batch, self._attempt(self._run, [entry.item for entry in batch]))
        else:
            single = len(batch) == 1 and not self._running and not self._waiting
            run = self.alone if single and self.alone else self._run
            self._running.append(batch)
            job = loop.run_in_executor(self.engine, self._attempt, run, [entry.item for entry in batch])
            job.add_done_callback(lambda done: self._finish(loop, batch, done))
        self._wake(loop)

    def _take(self) -> list[Entry[Item, Result]]:
        """The next batch, without calls that were cancelled or are too late."""
        now = time.perf_counter()
        batch: list[Entry[Item, Result]] = []
        queue = self._waiting or self._patient
        while queue and len(batch) < self.size:
            entry = queue.popleft()
            if entry.future.done():
                continue
            if entry.deadline < now:
                refuse(entry, DeadlineExceeded("the deadline passed while the request waited"))
                continue
            entry.stages["queue"] = now - entry.entered
            batch.append(entry)
        return batch

    def _attempt(
        self, run: Callable[[list[Item]], Sequence[Result | Exception]], items: list[Item]
    ) -> tuple[Sequence[Result | Exception], float]:
        """Results or errors, one an item, and the seconds taken. The only place that catches every exception."""
        start = time.perf_counter()
        results: Sequence[Result | Exception]
        try:
            results = run(items)
            if len(results) != len(items):
                raise ValueError(f"{len(items)} items, {len(results)} results")
        except Exception as error:
            results = [failed(error)] if len(items) == 1 else [self._attempt(run, [item])[0][0] for item in items]
        self._observe(len(items))
        return results, time.perf_counter() - start

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: list[Entry[Item, Result]],
        done: "asyncio.Future[tuple[Sequence[Result | Exception], float]]",
    ) -> None:
        self._running.remove(batch)
        fault = done.exception()
        if fault is None:
            self._deliver(batch, done.result())
        else:  # not an error of the run, which would be a result: its thread was told to end
            self._deliver(batch, ([failed(fault)] * len(batch), 0.0))
        self._wake(loop)

    def expire(self) -> None:
        """Tells those that wait and are too late, while the engine takes nobody."""
        now = time.perf_counter()
        for entry in [entry for entry in self._waiting if entry.deadline < now]:
            self._waiting.remove(entry)
            refuse(entry, DeadlineExceeded("the deadline passed while the request waited"))

    def give_up(self, why: str) -> None:
        """Tells all that wait or are being run, and all that come."""
        self._over = why
        for entry in [entry for batch in self._running for entry in batch] + [*self._waiting, *self._patient]:
            refuse(entry, Unavailable(why, retry_after=RETRY))

    def _deliver(self, batch: list[Entry[Item, Result]], done: tuple[Sequence[Result | Exception], float]) -> None:
        results, seconds = done
        self.usual = max(seconds, 0.9 * self.usual)
        if isinstance(results[0], Failed) and all(isinstance(result, Failed) for result in results):
            self.failures += 1
        else:
            self.failures = 0
        if self._joined:
            self._joined([entry.stages for entry in batch], seconds)
        for entry, result in zip(batch, results, strict=True):
            entry.stages["run"] = seconds
            if entry.future.done():  # the caller is gone
                continue
            if isinstance(result, Exception):
                entry.future.set_exception(result)
            else:
                entry.future.set_result(result)


def refuse(entry: Entry[Item, Result], error: RequestError) -> None:
    if not entry.future.done():
        entry.future.set_exception(error)


def failed(cause: BaseException) -> Failed:
    """What the client is told; the cause travels along for the log."""
    error = Failed("the model failed on this input")
    error.__cause__ = cause
    return error
