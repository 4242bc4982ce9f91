"""All connections of a worker: how many there may be, which are overdue, and how they end when the worker stops."""

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Protocol

from service.descriptors import reserve
from service.logs import Log
from service.metrics import Metrics
from service.settings import Settings
from service.web.asgi import App

LINGER = 2.0  # seconds for which what a refused client still sends is thrown away: a reset could overtake the answer
MOMENT = 0.5  # seconds; without a request when the worker stops, or before a newer connection may take the place
SHARE = (
    20  # at the limit, one connection of so many gives way at once: who looks for each new one alone, does little else
)
OFTEN, SELDOM = 0.02, 0.5  # seconds between two looks at all connections
DOUBT = 0.05  # seconds between two looks at clients that may have left
STEP = 0.02  # seconds
REFUSALS = 500  # a second; connections that are refused more often rest, to leave a worker time for answers
BURST, REST = 0.1, 0.2  # seconds of refusals that may come at once; for which a connection rests at most
TURN = 0.05  # seconds between two looks at those that rest
LAST = 0.2  # seconds for the answers of those who were waited for in vain


class Connection(Protocol):
    """What a connection is from here."""

    def look(self, now: float) -> None: ...
    def silent(self) -> bool: ...
    def send_away(self) -> None: ...
    def idle(self, now: float) -> float: ...
    def doubtful(self) -> bool: ...
    def cut(self, reason: str) -> None: ...
    def last(self) -> None: ...
    def stop(self) -> None: ...
    def go_on(self) -> None: ...


class Connections:
    def __init__(self, app: App, limits: Settings, most: int, metrics: Metrics, log: Log, *, secure: bool) -> None:
        self.app, self.limits, self._log = app, limits, log
        self.scheme = "https" if secure else "http"
        self.draining = False  # answers end their connections
        self.closing = False  # who is idle has a moment left
        self.open: set[Connection] = set()  # that may still ask
        self.tasks: set[asyncio.Task[None]] = set()  # of clients that have left
        self._most, self._reserve = most, reserve(most)
        self._surplus: dict[Connection, None] = {}  # of those that are open; the oldest first
        self._leaving: dict[Connection, None] = {}  # have heard all that there is to say; the oldest first
        self._half: set[Connection] = set()
        self._doubting = self._looking = False
        self._crowded = 0.0  # when there was no room, the last time
        self._due = 0.0  # when the next refusal is
        self._resting: deque[tuple[float, Connection]] = deque()  # and until when
        self._second = 0
        self._date = b""
        self._pause = min(SELDOM, max(OFTEN, shortest(limits) / 8))
        self._refused = metrics.refused
        metrics.connections.set_function(lambda: len(self.open) + len(self._leaving))

    @property
    def date(self) -> bytes:
        """The header field."""
        if (now := int(time.time())) != self._second:
            self._second, self._date = now, b"date: " + formatdate(now, usegmt=True).encode()
        return self._date

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def failed(self, error: Exception) -> None:
        """The text of an error may hold an upload; its place cannot."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        self._log.warning("failed", {"error": type(error).__name__, "at": f"{frame.name}:{frame.lineno}"})

    # -- coming and going ---------------------------------------------------------------------------------------------

    def add(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it is one too many, although idle ones gave way: then it may only ask a probe."""
        if len(self.open) >= self._most:
            self._make_room(loop.time())
        surplus = len(self.open) >= self._most
        self.open.add(connection)
        if surplus:
            self._surplus[connection] = None
            self._thin_out()
        self._hurry()
        if not self._looking:
            self._looking = True
            loop.call_later(self._pause, self._look, loop)
        return surplus

    def leaves(self, connection: Connection) -> None:
        """It takes nobody's place any more."""
        if connection not in self.open:
            return
        self.open.remove(connection)
        self._surplus.pop(connection, None)
        self._leaving[connection] = None
        self._hurry()

    def forget(self, connection: Connection) -> None:
        self.open.discard(connection)
        self._half.discard(connection)
        self._surplus.pop(connection, None)
        self._leaving.pop(connection, None)

    def _everyone(self) -> list[Connection]:
        return [*self.open, *self._leaving]

    def _thin_out(self) -> None:
        """The newest may be a probe's, which is about to ask; who is silent although it is older, is none."""
        if len(self._surplus) > self._reserve:
            next(one for one in self._surplus if one.silent()).send_away()  # the newest is

    def _hurry(self) -> None:
        """Descriptors are bounded, too: who has been leaving for longest is cut off."""
        if self._leaving and len(self.open) + len(self._leaving) > self._most + 2 * self._reserve:
            self._give_way(next(iter(self._leaving)))

    def _make_room(self, now: float) -> None:
        """Silent ones, those that wait for their next request, those in the midst of a head: the longest first."""
        if now < self._crowded + OFTEN:  # all were looked at just now
            return
        self._crowded = now
        idle = {one: waited for one in self.open if (waited := one.idle(now)) > MOMENT}
        enough = len(self.open) - self._most + max(1, self._most // SHARE)
        for one in sorted(idle, key=lambda one: -idle[one])[:enough]:
            self._give_way(one)

    def _give_way(self, one: Connection) -> None:
        one.cut("crowded")
        self.forget(one)

    # -- the clock ----------------------------------------------------------------------------------------------------

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in self._everyone():
            connection.look(now)
        self._looking = bool(self.open or self._leaving)
        if self._looking:
            loop.call_later(self._pause, self._look, loop)

    def doubt(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> None:
        """It said that it sends no more: it may have left, or wait for its answer."""
        self._half.add(connection)
        if not self._doubting:
            self._doubting = True
            loop.call_later(DOUBT, self._ask, loop)

    def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        self._half = {connection for connection in list(self._half) if connection.doubtful()}
        self._doubting = bool(self._half)
        if self._doubting:
            loop.call_later(DOUBT, self._ask, loop)

    # -- a rest -------------------------------------------------------------------------------------------------------

    def rests(self, connection: Connection, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it is not read for a while, since its client was told to come back later and need not hurry.

        Where all ask again at once, they are refused at a rate that leaves time for answers, many in one turn.
        """
        now = loop.time()
        self._due = min(now + REST, max(self._due, now - BURST) + 1 / REFUSALS)
        if self._due <= now:
            return False
        if not self._resting:
            loop.call_later(TURN, self._wake, loop)
        self._resting.append((self._due, connection))
        return True

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._resting and self._resting[0][0] <= now:
            self._resting.popleft()[1].go_on()
        if self._resting:
            loop.call_later(TURN, self._wake, loop)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def close(self, grace: float, hurry: Callable[[], bool]) -> None:
        """Waits for answers, for `grace` seconds at most or until `hurry`; who then still waits is told 503."""
        self.draining = self.closing = True
        for connection in self._everyone():
            connection.last()
        end = time.monotonic() + grace
        await self._emptied(end, hurry)
        for connection in self._everyone():
            connection.stop()
        cancel(self.tasks)
        await self._emptied(time.monotonic() + LAST, hurry)
        for connection in self._everyone():
            connection.cut("stopped")

    async def _emptied(self, end: float, hurry: Callable[[], bool]) -> None:
        while (self.open or self._leaving or self.tasks) and time.monotonic() < end and not hurry():
            await asyncio.sleep(STEP)

    def orphan(self, task: asyncio.Task[None]) -> None:
        """Holds a task whose client has left; it notices by itself."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in list(tasks):
        task.cancel()


def shortest(limits: Settings) -> float:
    """Seconds."""
    return min(limits.head_seconds, limits.body_seconds, limits.keep_alive, limits.answer_seconds, MOMENT)
