"""Worker processes that share the port: started, replaced when they die, stopped as one, scraped as one."""

import asyncio
import multiprocessing
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from multiprocessing.sharedctypes import Synchronized

from service.errors import StartError
from service.logs import Log
from service.settings import Settings

FORK = multiprocessing.get_context("fork")  # imports are paid for once, and their pages shared
HURRY = 1.0  # seconds; a worker that lives no longer than this is not replaced at once
PATIENCE = 0.5  # seconds a worker waits for what another says
FAILED = 2  # exit code
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class Worker:
    """One process's place among its siblings."""

    index: int
    bound: socket.socket
    family: str  # random: containers that share a network share the names below, and process ids
    count: "Synchronized[int]"
    supervisor: Connection
    first: bool  # there is no other: answers probes while it loads; later ones listen when they can serve

    def tell(self, said: int | str) -> None:
        """How many workers the models are worth, or why they cannot be loaded."""
        self.supervisor.send(said)

    async def answer_siblings(self, say: Callable[[], bytes]) -> asyncio.AbstractServer:
        """Serves `say()` to the others, on a socket that has no place in the file system, while the result lives."""

        async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(say())
            await writer.drain()
            writer.close()

        return await asyncio.start_unix_server(reply, self._address(self.index))

    async def ask_siblings(self) -> list[bytes]:
        """What the others say now; one that is just being replaced says nothing."""
        others = [index for index in range(self.count.value) if index != self.index]
        answers = await asyncio.gather(*map(self._ask, others))
        return [answer for answer in answers if answer]

    async def _ask(self, index: int) -> bytes:
        sibling = socket.socket(socket.AF_UNIX)
        sibling.setblocking(False)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_connect(sibling, self._address(index))
                reader, writer = await asyncio.open_unix_connection(sock=sibling)
                answer = await reader.read()
                writer.close()
                return answer
        except (OSError, TimeoutError):
            sibling.close()
            return b""

    def _address(self, index: int) -> str:
        return f"\0braid-{self.family}-{index}"  # Linux: a leading NUL is the abstract namespace


class Supervisor:
    """Loads no model. Starts with one worker, and adds the others when the first has said how many are worth it."""

    def __init__(self, work: Callable[[Worker], None], settings: Settings, log: Log) -> None:
        self._work, self._log = work, log
        self._sockets = [listen(settings)]
        self._count = FORK.Value("i", settings.workers or 1)
        self._measured = settings.workers is None
        self._living: dict[int, tuple[ForkProcess, Connection, float]] = {}  # index -> process, its pipe, start
        self._family = secrets.token_hex(8)
        self._stopping = False
        self._scheme = "https" if settings.tls_cert else "http"

    def run(self) -> None:
        """Until a signal. Raises StartError if a worker's models cannot be loaded."""
        heard, woken = socket.socketpair()  # signals are read, never handled amid a start: no new worker is forgotten
        woken.setblocking(False)
        signal.set_wakeup_fd(woken.fileno())
        for sig in SIGNALS:
            signal.signal(sig, lambda sig, frame: None)
        host, port = self._sockets[0].getsockname()[:2]
        self._log.info("listening", {"url": f"{self._scheme}://{host}:{port}"})
        failure = None
        self._fill()
        while self._living:
            news: list[int | Connection | socket.socket] = [process.sentinel for process, _, _ in self._living.values()]
            news += [pipe for _, pipe, _ in self._living.values() if not pipe.closed]
            if heard in wait([heard, *news], HURRY):
                for number in heard.recv(len(SIGNALS)):
                    self._stop(number)
            for index, (process, pipe, _) in list(self._living.items()):
                if not pipe.closed and pipe.poll():
                    failure = self._heard(pipe) or failure
                if not process.is_alive():
                    self._bury(index)
            self._fill()
        if failure:
            raise StartError(failure)

    def _fill(self) -> None:
        for index in range(self._count.value):
            if index not in self._living and not self._stopping:
                self._start(index)

    def _start(self, index: int) -> None:
        while len(self._sockets) <= index:
            self._sockets.append(bind(self._sockets[0].getsockname()[:2], shared=True))
        ours, theirs = FORK.Pipe()
        worker = Worker(index, self._sockets[index], self._family, self._count, theirs, not self._living)
        process = FORK.Process(target=self._child, args=(worker, ours))
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child has handlers of its own
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()
        self._living[index] = process, ours, time.monotonic()

    def _child(self, worker: Worker, ours: Connection) -> None:
        os.setpgrp()  # a terminal's Ctrl-C reaches the supervisor alone, which passes it on
        ours.close()
        signal.set_wakeup_fd(-1)
        for sig in SIGNALS:
            signal.signal(sig, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        self._work(worker)

    def _heard(self, pipe: Connection) -> str | None:
        """A failure, if that is what was said."""
        try:
            said = pipe.recv()
        except EOFError:
            pipe.close()
            return None
        if isinstance(said, str):
            self._stop(signal.SIGINT)
            return said
        if self._measured:
            self._count.value = max(self._count.value, said)
        return None

    def _bury(self, index: int) -> None:
        process, pipe, started = self._living.pop(index)
        pipe.close()
        if not self._stopping:
            self._log.warning("worker died", {"worker": index, "exit_code": process.exitcode})
            time.sleep(max(0.0, HURRY - (time.monotonic() - started)))

    def _stop(self, sig: int) -> None:
        self._stopping = True
        for process, _, _ in list(self._living.values()):
            if process.pid and process.is_alive():
                os.kill(process.pid, sig)


def listen(settings: Settings) -> socket.socket:
    """The first socket, so that a taken port is known before anything is loaded. Raises StartError."""
    address = (settings.host, settings.port)
    try:
        with bind(address, shared=False) as free:  # a shared bind would join another server of ours on that port
            address = free.getsockname()[:2]
        return bind(address, shared=True)
    except OSError as error:
        where = f"{settings.host} port {settings.port}"
        raise StartError(f"cannot listen on {where}: {error.strerror}; try another --port, or 0 for any") from error


def bind(address: tuple[str, int], *, shared: bool) -> socket.socket:
    """`shared`: the kernel spreads connections over all sockets of one address. Kept open by the supervisor, a socket
    outlives its worker, and connections that wait in it are the next worker's."""
    bound = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
