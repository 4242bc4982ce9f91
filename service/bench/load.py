"""Requests to answers: in a closed loop (a connection sends when it was answered) or an open one (at a fixed rate)."""

import asyncio
import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from service.bench.connection import Answer, Connection, Outcome
from service.bench.requests import Request
from service.bench.target import Target, unreachable

AGAIN = 0.1  # seconds between attempts to connect again
TICK = 0.1  # seconds between looks at deadlines and at the progress
PAUSE = 0.01  # seconds between looks whether the last answers are there


@dataclass(frozen=True, slots=True)
class Plan:
    connections: int = 32
    rate: float | None = None  # requests a second of an open loop; None: a closed one
    warmup: float = 1.0
    seconds: float = 10.0
    timeout: float = 30.0


class Load:
    """One run. `answers` holds the warm-up's too; what is measured starts at `start` and ends at `end`.

    In an open loop a request's clock starts when it was due, whether or not a connection was free to send it: a server
    that stalls cannot slow down the questions it is asked (no coordinated omission).
    """

    def __init__(self, target: Target, plan: Plan, requests: Iterator[Request]) -> None:
        self.plan = plan
        self.answers: list[Answer] = []
        self.said: dict[Outcome, bytes] = {}  # the first body of each status that is an error
        self.sent = 0  # within the measured time
        self.late: list[float] = []  # seconds, by how much this client itself missed the schedule
        self.start = self.end = 0.0
        self._target, self._requests = target, requests
        self._tls = target.tls
        self._open: set[Connection] = set()
        self._idle: deque[Connection] = deque()  # taken in turn, so that all workers behind one port have their share
        self._due: deque[float] = deque()  # open loop: due and not yet sent
        self._to_come = 0  # open loop: not yet due
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = threading.Event()

    async def run(self, progress: Callable[[], None] = lambda: None) -> None:
        """Raises BraidError if the server cannot be reached at the beginning."""
        gc.disable()  # a collection over all answers would be a pause that looks like the server's
        try:
            self._begin(await self._connect_all())
            while time.perf_counter() < self.end or self._unanswered():
                await asyncio.sleep(min(TICK, max(PAUSE, self.end - time.perf_counter())))
                self._expire(time.perf_counter() - self.plan.timeout)
                progress()
        finally:
            gc.enable()
            await self._leave()

    def made(self, connection: Connection) -> None:
        self._open.add(connection)

    def answered(self, answer: Answer, said: bytes) -> None:
        self.answers.append(answer)
        if said:
            self.said.setdefault(answer.outcome, said)

    def free(self, connection: Connection) -> None:
        """Gives it the next request, if there is one."""
        if self.plan.rate is None:
            now = time.perf_counter()
            if now < self.end:
                self._send(connection, now)
        elif self._due:
            self._send(connection, self._due.popleft())
        else:
            self._idle.append(connection)

    def gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._over.is_set():
            task = asyncio.create_task(self._reconnect())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _begin(self, connections: Sequence[Connection]) -> None:
        begin = time.perf_counter()
        self.start = begin + self.plan.warmup
        self.end = self.start + self.plan.seconds
        if self.plan.rate is None:
            for connection in connections:
                self.free(connection)
        else:
            self._idle.extend(connections)
            self._to_come = round(self.plan.rate * (self.plan.warmup + self.plan.seconds))
            pace = (asyncio.get_running_loop(), begin, self.plan.rate, self._to_come)
            threading.Thread(target=self._pace, args=pace, daemon=True).start()

    def _pace(self, loop: asyncio.AbstractEventLoop, begin: float, rate: float, count: int) -> None:
        """A thread of its own, since timers of event loops are only exact to a millisecond."""
        for number in range(count):
            due = begin + number / rate
            delay = due - time.perf_counter()
            if delay > 0:
                time.sleep(delay)
            if self._over.is_set():
                return
            loop.call_soon_threadsafe(self._fall_due, due)

    def _fall_due(self, due: float) -> None:
        self._to_come -= 1
        if due >= self.start:
            self.late.append(time.perf_counter() - due)
        self._due.append(due)
        if self._idle:
            self.free(self._idle.popleft())

    def _send(self, connection: Connection, start: float) -> None:
        self.sent += start >= self.start
        connection.send(next(self._requests), start)

    def _unanswered(self) -> bool:
        return self._to_come > 0 or bool(self._due) or any(connection.busy for connection in self._open)

    def _expire(self, oldest: float) -> None:
        """Gives up on what started before `oldest`."""
        for connection in list(self._open):
            if connection.busy and connection.start < oldest:
                connection.close("timeout")
        while self._due and self._due[0] < oldest:
            self._fail(self._due.popleft(), "timeout")

    def _fail(self, start: float, outcome: Outcome) -> None:
        """A request that was never sent."""
        self.sent += start >= self.start
        self.answers.append(Answer(start, time.perf_counter(), outcome, next(self._requests).subset))

    async def _connect_all(self) -> list[Connection]:
        tries = (self._connect() for _ in range(self.plan.connections))
        made = await asyncio.gather(*tries, return_exceptions=True)
        for each in made:
            if isinstance(each, OSError):
                raise unreachable(self._target, each) from each
        return [each for each in made if isinstance(each, Connection) and each in self._open]

    async def _connect(self) -> Connection:
        connect = asyncio.get_running_loop().create_connection(
            lambda: Connection(self), self._target.host, self._target.port, ssl=self._tls
        )
        async with asyncio.timeout(self.plan.timeout):  # TimeoutError is an OSError
            return (await connect)[1]

    async def _reconnect(self) -> None:
        """In a closed loop each failure is a request that was refused; in an open one what is due waits."""
        while not self._over.is_set() and (time.perf_counter() < self.end or self._due):
            try:
                self.free(await self._connect())
                return
            except OSError:
                if self.plan.rate is None:
                    self._fail(time.perf_counter(), "refused")
            await asyncio.sleep(AGAIN)

    async def _leave(self) -> None:
        """Nothing may be half-open at the end: uvloop would wait for it for ever (0.23, loop.close)."""
        self._over.set()
        while self._tasks or self._open:
            for connection in list(self._open):
                connection.close()
            await asyncio.sleep(PAUSE)
