"""What a worker does as its supervisor says: prepares models, swaps them in, lets them go. And what it asks of it."""

import asyncio
import gc
import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from service.errors import BundleError, StartError
from service.folders import taken
from service.messages import (
    Abort,
    Answer,
    Asked,
    Commit,
    Committed,
    Count,
    Order,
    Outcome,
    Place,
    Prepare,
    Prepared,
    Wish,
)
from service.metrics import Metrics
from service.registry import Registry, Served
from service.settings import Settings
from service.workers import Worker

SWEEP = 5.0  # seconds; what was swapped out may hang on a refused request's traceback, which only the collector finds
T = TypeVar("T")


class Orders:
    """`renew` reads again what is read only once, such as certificates."""

    def __init__(
        self, registry: Registry, worker: Worker, settings: Settings, metrics: Metrics, renew: Callable[[], None]
    ) -> None:
        self.worker = worker
        self._registry, self._settings, self._metrics, self._renew = registry, settings, metrics, renew
        self._number = 0  # of the change that is being prepared
        self._prepared: dict[str, Served] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._calibrating: asyncio.Task[None] | None = None
        self._asked: dict[int, asyncio.Future[Outcome]] = {}
        self._numbers = itertools.count()

    async def wish(self, wish: Wish) -> Outcome:
        """Of a client: what became of it in all workers."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self.worker.tell(Asked(number, wish))
            return await self._asked[number]
        finally:
            del self._asked[number]

    def hear(self) -> bool:
        """Reads an order and follows it. False: there is no supervisor any more."""
        try:
            order: Order = self.worker.supervisor.recv()
        except (EOFError, OSError):
            return False
        match order:
            case Prepare():
                self._number = order.number
                task = asyncio.create_task(self._prepare(order))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case Commit():
                self._commit(order)
            case Abort():
                self._abort()
            case Answer():
                if (future := self._asked.get(order.number)) and not future.done():
                    future.set_result(order.outcome)
            case Count():
                self._metrics.changed(order.change, done=order.done)
            case _:
                self._renew()
        return True

    async def load(self) -> None:
        """At the start, all. Raises StartError."""
        await in_thread(self._registry.load)

    def calibrate(self) -> asyncio.Task[None]:
        """Anew: what was being measured may be gone."""
        if self._calibrating:
            self._calibrating.cancel()
        self._calibrating = asyncio.create_task(self._registry.calibrate())
        return self._calibrating

    async def _prepare(self, order: Prepare) -> None:
        prepared: dict[str, Served] = {}
        error = ""
        try:
            prepared = await in_thread(partial(self._loaded, order.places))
        except StartError as refusal:
            error = str(refusal)
            for place in order.places:
                error = error.replace(place.folder, Path(place.folder).name)
        except Exception as failure:  # whatever it is, the others must not wait for it
            error = f"loading failed: {failure!r}"
        if order.number == self._number:
            self._prepared = prepared
        else:
            self._let_go(prepared)
        self.worker.tell(Prepared(order.number, error))

    def _loaded(self, places: Sequence[Place]) -> dict[str, Served]:
        found = {}
        for place in places:
            bundle = taken(self._settings, Path(place.folder))
            if bundle.digest != place.digest:
                raise BundleError(f"{place.folder}: changed while it was being loaded; try again")
            found[bundle.manifest.name] = self._registry.prepare(bundle)
        return found

    def _commit(self, order: Commit) -> None:
        prepared, self._prepared = self._prepared, {}
        self._registry.swap(prepared, order.names)
        self.worker.tell(Committed(order.number))
        self.calibrate()
        asyncio.get_running_loop().call_later(SWEEP, self._sweep)

    def _abort(self) -> None:
        self._number = 0
        self._let_go(self._prepared)
        self._prepared = {}

    def _let_go(self, prepared: dict[str, Served]) -> None:
        for served in prepared.values():
            served.retire(lambda: None)

    def _sweep(self) -> None:
        if self._registry.leaving:
            gc.collect()
            asyncio.get_running_loop().call_later(SWEEP, self._sweep)


async def in_thread(work: Callable[[], T]) -> T:
    """Like asyncio.to_thread, but a thread that never comes back keeps no process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def told(tell: Callable[[], None]) -> None:
        if not future.done():
            tell()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            tell = partial(future.set_exception, error)
        else:
            tell = partial(future.set_result, result)
        with suppress(RuntimeError):  # the loop is gone, and so is whoever waited
            loop.call_soon_threadsafe(told, tell)

    threading.Thread(target=run, name="load", daemon=True).start()
    return await future
