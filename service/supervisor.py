"""The worker processes: started, replaced when they die, changed as one, stopped as one."""

import math
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ctypes import c_double, c_int
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess

from service import forks
from service.bundle import Bundle
from service.changes import Changes
from service.errors import StartError
from service.forks import FORK, SIGNALS
from service.logs import Log
from service.messages import Order, Renew, Report, Wish
from service.settings import Settings
from service.trial import Closable
from service.workers import Worker, bind, listen

LAST = 5.0  # seconds for a worker that was told to stop, beyond those that it has been given
HURRY = 1.0  # seconds; a worker that lives no longer than this is not replaced at once
TICK = 0.1  # seconds; while something is changing, deadlines are looked at this often


@dataclass
class Life:
    """A worker's, as the supervisor sees it."""

    process: ForkProcess
    pipe: Connection
    started: float  # of time.monotonic
    pulse: c_double  # when it last moved, likewise
    ready: bool = False
    given_up: bool = False  # about to be buried


class Supervisor:
    """Loads no model. Starts with one worker, and adds the others when the first serves: it says how many are worth it,
    lends them its weights, and no client meets a worker that still loads beside one that is ready."""

    def __init__(
        self, work: Callable[[Worker, Sequence[Bundle]], None], settings: Settings, log: Log, changes: Changes
    ) -> None:
        self._work, self._settings, self._log, self._changes = work, settings, log, changes
        self._sockets = [listen(settings)]
        self._address: tuple[str, int] = self._sockets[0].getsockname()[:2]
        self._count = forks.shared(c_int)
        self._count.value = settings.workers or 1
        self._living: dict[int, Life] = {}
        self._rest: dict[int, float] = {}  # index -> when it may be started again, of time.monotonic
        self._family = secrets.token_hex(8)
        self._served = False  # by any worker, ever
        self._stopping = False
        self._looked = time.monotonic()
        self._trusted = 0.0  # until when no worker is held to hang, of time.monotonic
        self._leave = math.inf  # when who has not stopped is killed, likewise
        self._terminal = os.isatty(2)

    def run(self) -> None:
        """Until a signal. Raises StartError if the models cannot be loaded at the start."""
        heard, woken = socket.socketpair()  # signals are read, never handled amid a start: no new worker is forgotten
        woken.setblocking(False)
        signal.set_wakeup_fd(woken.fileno())
        for sig in SIGNALS:
            signal.signal(sig, lambda sig, frame: None)
        scheme = "https" if self._settings.tls_cert else "http"
        self._log.info("listening", {"url": "{}://{}:{}".format(scheme, *self._address)})
        failure = None
        self._fill()
        while self._living or not self._stopping:
            lives = self._living.values()
            news: list[int | Connection | socket.socket] = [heard, *(life.process.sentinel for life in lives)]
            news += [*(life.pipe for life in lives if not life.pipe.closed), *self._changes.waits]
            if heard in wait(news, TICK if self._changes.busy or self._rest else HURRY):
                for number in heard.recv(len(SIGNALS)):
                    self._signalled(number)
            for index, life in list(self._living.items()):
                if not life.pipe.closed and life.pipe.poll():
                    failure = self._heard(index, life) or failure
                failure = self._late(index, life) or failure
                self._hung(index, life)
                if time.monotonic() > self._leave:
                    life.process.kill()
                if not life.process.is_alive():
                    self._bury(index)
            if not self._stopping:
                self._changes.go(self)
            self._fill()
        if failure:
            raise StartError(failure)

    def ready(self) -> dict[int, int]:
        return {index: life.process.pid or 0 for index, life in self._living.items() if life.ready}

    def loading(self) -> bool:
        return not all(life.ready or life.given_up for life in self._living.values())

    def tell(self, index: int, order: Order) -> None:
        with suppress(OSError):  # it is dying, and will be buried
            self._living[index].pipe.send(order)

    def inherited(self) -> list[Closable]:
        return [*self._sockets, *(life.pipe for life in self._living.values())]

    def _fill(self) -> None:
        """Starts who is missing, but for those that must rest."""
        if self._stopping or self._changes.settling:
            return
        now = time.monotonic()
        self._rest = {index: until for index, until in self._rest.items() if until > now}
        for index in range(self._count.value if self._served else 1):
            if index not in self._living and index not in self._rest:
                self._start(index)

    def _start(self, index: int) -> None:
        while len(self._sockets) <= index:
            self._sockets.append(self._bound())
        ours, theirs = FORK.Pipe()
        pulse = forks.shared(c_double)
        worker = Worker(index, self._sockets[index], self._family, self._count, theirs, not self._living, pulse)
        process = forks.start(self._child, worker, ours)
        theirs.close()
        self._living[index] = Life(process, ours, time.monotonic(), pulse)

    def _bound(self) -> socket.socket:
        return bind(self._address, shared=True)

    def _child(self, worker: Worker, ours: Connection) -> None:
        """Ends without waiting for threads: one of them may be why it ends."""
        ours.close()
        self._work(worker, self._changes.served)
        os._exit(0)

    def _signalled(self, sig: int) -> None:
        if sig != signal.SIGHUP:
            self._stop(sig)
        elif self._terminal and not os.isatty(2):  # the terminal is closed: nobody asks for a reload
            self._stop(signal.SIGINT)
        else:
            self._changes.wish(Wish("reload"))
            for index in self._living:
                self.tell(index, Renew())

    def _heard(self, index: int, life: Life) -> str | None:
        """A failure that ends all, if that is what was said."""
        try:
            said: int | str | Report = life.pipe.recv()
        except (EOFError, OSError):
            life.pipe.close()
            return None
        if isinstance(said, str):
            return self._failed(index, life, said)
        if not isinstance(said, int):
            self._changes.heard(index, life.process.pid or 0, said, self)
            return None
        life.ready = self._served = True
        if self._settings.workers is None:
            self._count.value = max(self._count.value, said)
        return None

    def _late(self, index: int, life: Life) -> str | None:
        """A failure that ends all, if it is the first start that takes too long."""
        most = self._settings.load_seconds * max(1, len(self._changes.served))
        if life.ready or life.given_up or time.monotonic() < life.started + most:
            return None
        seconds = f"{self._settings.load_seconds:g}"
        return self._failed(index, life, f"loading took longer than BRAID_LOAD_SECONDS ({seconds} a model)")

    def _hung(self, index: int, life: Life) -> None:
        """A worker that does not move is replaced; unless nobody could move, as when a machine was suspended."""
        now = time.monotonic()
        if now - self._looked > 2 * HURRY:
            self._trusted = now + self._settings.hang_seconds
        self._looked = now
        moved = life.pulse.value
        if life.ready and not life.given_up and now > max(moved + self._settings.hang_seconds, self._trusted):
            life.given_up = True
            self._log.warning("worker hung", {"worker": index, "seconds": round(now - moved, 1)})
            life.process.kill()

    def _failed(self, index: int, life: Life, why: str) -> str | None:
        """Of the first start that is the end. Later, others serve; or what the folders hold now is tried."""
        life.given_up = True
        life.process.kill()
        if not self._served:
            self._stop(signal.SIGINT)
            return why
        self._log.warning("worker failed", {"error": why})
        if self.ready():  # connections that wait for this one would wait in vain; the next start gets a socket anew
            self._sockets.pop(index).close()
            self._sockets.insert(index, self._bound())
        else:
            self._changes.wish(Wish("reload"))
        return None

    def _bury(self, index: int) -> None:
        life = self._living.pop(index)
        life.pipe.close()
        if not self._stopping:
            self._log.warning("worker died", {"worker": index, "exit_code": life.process.exitcode})
            self._rest[index] = life.started + HURRY

    def _stop(self, sig: int) -> None:
        if not self._stopping:
            self._stopping = True
            self._leave = time.monotonic() + self._settings.drain + self._settings.grace + LAST
            self._changes.stop(self)
        for life in list(self._living.values()):
            if life.process.pid and life.process.is_alive():
                os.kill(life.process.pid, sig)
