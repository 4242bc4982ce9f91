"""One serving process: live at once, ready when all models are proven, drained and gone with exit code 0."""

import asyncio
import gc
import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from itertools import count
from socket import IPPROTO_TCP, SHUT_RDWR, SO_SNDBUF, SOL_SOCKET, TCP_USER_TIMEOUT, socket
from types import FrameType

import uvicorn

from service import descriptors, logs, memory, tls
from service.bundle import Bundle
from service.errors import SettingsError, StartError
from service.lending import Lending
from service.metrics import Metrics
from service.orders import Orders
from service.registry import Registry
from service.settings import Settings
from service.tracing import Tracer
from service.web import access
from service.web.app import App
from service.web.calls import Calls
from service.web.connections import LINGER, MOMENT, Connections
from service.web.protocol import Connection
from service.workers import Worker

EVERY = 0.2  # seconds between two looks at the engines
SEEN = 10.0  # seconds for which probes see that this process fails; then it ends, and the supervisor replaces it
FAILED = 1  # exit code
BACKLOG = 2048  # connections that may wait to be accepted
ACCEPTS = 32  # connections that are taken in a turn of the loop at most
PORTION = 4  # of those that are open, one in so many: workers that share a port get about as many
SEND = 2**18  # bytes; the 4 MiB that the kernel would hold for a client that does not read are charged to our container


def serve(settings: Settings, worker: Worker, bundles: Sequence[Bundle]) -> None:
    """Runs in a worker process until it is told to stop."""
    logs.adopt()
    logs.silence()
    memory.keep_little()
    memory.no_dumps()
    log, metrics = logs.Log(settings.log), Metrics()
    registry = Registry(bundles, settings, metrics, log, Lending(worker.family))
    with traces(settings.traces) as tracer:
        Server(Calls(registry, settings, metrics, log, tracer), log, worker).run(sockets=[worker.bound])
    log.flush()


def traces(share: float) -> AbstractContextManager[Tracer | None]:
    if not share:
        return nullcontext()
    from service.spans import sending  # only here: who traces nothing never pays for it

    return sending(share)


class Server(uvicorn.Server):
    def __init__(self, calls: Calls, log: logs.Log, worker: Worker) -> None:
        settings = calls.settings
        self._secure = tls.context(settings)
        self._orders = Orders(calls.registry, worker, settings, calls.metrics, self._renew)
        app = access.guarded(App(calls, self._orders), settings, calls.metrics, log)
        super().__init__(
            uvicorn.Config(app, http=Connection, ws="none", loop="uvloop", lifespan="off", log_config=None)
        )
        most = descriptors.enough(settings.connections)
        self._connections = Connections(app, settings, most, calls.metrics, log, secure=self._secure is not None)
        self._registry, self._settings, self._metrics = calls.registry, settings, calls.metrics
        self._log, self._worker = log, worker
        if most < settings.connections:
            self._log.warning("few file descriptors", {"connections": most, "wanted": settings.connections})
        self._failing = self._accepting = False
        self._made = set[asyncio.Task[object]]()  # connections that are being made
        self._loop: asyncio.AbstractEventLoop | None = None  # until it runs

    async def startup(self, sockets: list[socket] | None = None) -> None:
        self._loop = loop = asyncio.get_running_loop()
        loop.add_reader(self._worker.supervisor.fileno(), self._told, loop)
        self._look(loop)
        if self._worker.first:
            await self._listen(loop, sockets or [])
            self._loading = asyncio.create_task(self._load())
        elif await self._load():
            await self._listen(loop, sockets or [])
        self._siblings = await self._worker.answer_siblings(self._metrics.render)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Again and again: this worker moves, and its engines do."""
        self._worker.moves()
        health = self._registry.health
        health.look()
        if health.failing and not self._failing:
            self._failing = self._connections.draining = True
            loop.call_later(SEEN, os._exit, FAILED)
        loop.call_later(EVERY, self._look, loop)

    async def _listen(self, loop: asyncio.AbstractEventLoop, sockets: Sequence[socket]) -> None:
        for bound in sockets:  # inherited by the connections
            bound.setsockopt(SOL_SOCKET, SO_SNDBUF, SEND)
            bound.setsockopt(IPPROTO_TCP, TCP_USER_TIMEOUT, math.ceil(2000 * self._settings.answer_seconds))
        shaking = self._settings.head_seconds if self._secure else None
        self.servers = [
            await loop.create_server(
                partial(self._taken, bound, loop),
                sock=bound,
                ssl=self._secure,
                backlog=BACKLOG,
                ssl_handshake_timeout=shaking,
                ssl_shutdown_timeout=shaking and LINGER,
            )
            for bound in sockets
        ]
        self.started = True

    def _taken(self, bound: socket, loop: asyncio.AbstractEventLoop) -> Connection:
        """libuv takes one in a turn. Where turns are full of work, the last of hundreds would wait for seconds."""
        if not (self._accepting or self._secure):
            self._accepting = True
            loop.call_soon(self._take_more, bound, loop)
        return Connection(self._connections, loop)

    def _take_more(self, bound: socket, loop: asyncio.AbstractEventLoop) -> None:
        for one in arrived(bound, min(ACCEPTS, len(self._connections.open) // PORTION)):
            self._connect(one, loop)
        self._accepting = False

    def _connect(self, one: socket, loop: asyncio.AbstractEventLoop) -> asyncio.Task[object]:
        """A connection that no server of the loop has accepted."""
        made = loop.create_task(
            loop.connect_accepted_socket(lambda: Connection(self._connections, loop), one, ssl=self._secure)
        )
        self._made.add(made)
        made.add_done_callback(self._made.discard)
        return made

    async def _load(self) -> bool:
        """Whether the models are there."""
        try:
            await self._orders.load()
        except Exception as error:  # whatever it is, a server that never becomes ready must say why
            self._worker.tell(str(error) if isinstance(error, StartError) else f"loading failed: {error!r}")
            return False
        self._log.info(
            "ready", {"models": list(self._registry.served), "worker": self._worker.index, "pid": os.getpid()}
        )
        self._worker.tell(self._registry.workers)
        self._settling = asyncio.create_task(self._settle())
        return True

    async def _settle(self) -> None:
        with suppress(asyncio.CancelledError):  # a change has come in between, and has started it again
            await self._orders.calibrate()
        gc.collect()
        memory.trim()
        gc.freeze()  # what is loaded stays: the collector need not look at it again and again

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Refuses new connections from here on; the supervisor's copy of the socket would still take them.

        Who has connected while this worker was busy is taken first: the kernel resets what waits at a socket that ends.
        """
        loop = asyncio.get_running_loop()
        made = [self._connect(one, loop) for bound in sockets or [] for one in arrived(bound)]
        for bound in sockets or []:
            bound.shutdown(SHUT_RDWR)
        for server in self.servers:
            server.close()
        if made:
            await asyncio.wait(made, timeout=MOMENT)  # for handshakes of TLS
        await self._connections.close(self._settings.grace, lambda: self.force_exit)

    def _told(self, loop: asyncio.AbstractEventLoop) -> None:
        """Without a supervisor there is no worker."""
        if not self._orders.hear():
            loop.remove_reader(self._worker.supervisor.fileno())
            self.handle_exit(signal.SIGINT, None)

    def _renew(self) -> None:
        """A pair of files that does not fit, as amid a renewal, changes nothing."""
        if self._secure and self._settings.tls_cert and self._settings.tls_key:
            try:
                tls.renew(self._secure, self._settings.tls_cert, self._settings.tls_key)
            except SettingsError as error:
                self._log.warning("certificate not renewed", {"error": str(error)})

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: not ready at once, still accepting for `drain` seconds. SIGINT, or a second signal: no waiting."""
        if self._registry.draining or not self._loop:
            self.force_exit = self.should_exit
            self.should_exit = True
            return
        self._registry.draining = self._connections.draining = True
        wait = self._settings.drain if sig == signal.SIGTERM else 0.0
        self._loop.call_soon_threadsafe(self._loop.call_later, wait, setattr, self, "should_exit", True)


def arrived(bound: socket, most: int | None = None) -> Iterator[socket]:
    """The connections that wait to be accepted; so many of them at most."""
    with suppress(OSError):  # none is left, there are no descriptors, or another worker has ended the listening
        for _ in range(most) if most is not None else count():
            one, _ = bound.accept()
            one.setblocking(False)
            yield one
