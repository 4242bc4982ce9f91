"""One serving process: live at once, ready when all models are proven, drained and gone with exit code 0."""

import asyncio
import signal
import socket
from types import FrameType

import uvicorn

from service import logs
from service.errors import StartError
from service.metrics import Metrics
from service.registry import Registry
from service.settings import Settings
from service.web.app import App

BACKLOG = 2048  # connections that may wait to be accepted


def listen(settings: Settings) -> socket.socket:
    """A bound socket, so that a taken port is known before anything is loaded. Raises StartError."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
    except OSError as error:
        bound.close()
        raise StartError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; try --port 0"
        ) from error
    return bound


class Server(uvicorn.Server):
    """`failure` is set if the models could not be loaded."""

    def __init__(self, registry: Registry, settings: Settings, metrics: Metrics, log: logs.Log) -> None:
        config = uvicorn.Config(
            App(registry, settings, metrics, log),
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=int(settings.grace),
        )
        super().__init__(config)
        self.failure: StartError | None = None
        self._registry, self._settings, self._log = registry, settings, log
        self._loading: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        for bound in sockets or []:
            host, port = bound.getsockname()[:2]
            self._log.info("listening", {"url": f"http://{host}:{port}"})
        self._loading = asyncio.create_task(self._load())

    async def _load(self) -> None:
        try:
            await asyncio.to_thread(self._registry.load)
            self._log.info("ready", {"models": list(self._registry.served)})
        except StartError as error:
            self.failure = error
            self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM: not ready at once, still accepting for `drain` seconds. SIGINT, or a second signal: no waiting."""
        if self._registry.draining:
            self.force_exit = self.should_exit
            self.should_exit = True
            return
        self._registry.draining = True
        wait = self._settings.drain if sig == signal.SIGTERM else 0.0
        self._loop.call_soon_threadsafe(self._loop.call_later, wait, setattr, self, "should_exit", True)
