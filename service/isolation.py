"""Parts of a request to tensors, in processes of their own: what an upload breaks there costs its sender a 422.

A model has one process that forks children (service.decoder), which is cheap, and as many children as there are cores.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import LifoQueue
from threading import Lock, Thread
from typing import Any

from service import frames
from service.errors import BundleError, InvalidInput, OverLimit, Unavailable, UnsupportedType
from service.limits import Limits
from service.types import Array, Encode, Row

PATIENCE = 60.0  # seconds in which a decoder must be ready
CLOCK = 3  # seconds by the clock that a second of the processor may take
REFUSALS = {error.code: error for error in (InvalidInput, OverLimit, UnsupportedType)}
WORDS = 300  # characters of a refusal


@dataclass(frozen=True)
class Confinement:
    """How far decoding may go."""

    processes: int
    seconds: int  # of the processor, a part
    bytes: int  # of memory, beyond what the process has at the start
    lost: Callable[[], None] = lambda: None  # is called when a process was lost to an upload


class Child:
    """One part at a time."""

    def __init__(self, connection: socket.socket, handle: int) -> None:
        self._connection, self._handle = connection, handle

    @property
    def alive(self) -> bool:
        """It says nothing unasked, so a readable socket is one that it no longer holds."""
        return not select.select([self._connection], [], [], 0)[0]

    def ask(self, work: str, data: bytes, confinement: Confinement) -> Row:
        """Raises Broken, and what the decoder raises."""
        deadline = time.monotonic() + CLOCK * confinement.seconds
        self._connection.settimeout(CLOCK * confinement.seconds)
        frames.send(self._connection, {"work": work}, data)
        said, body = frames.receive(self._connection, confinement.bytes, deadline)
        if not isinstance(said, dict):
            raise frames.Broken
        if "refused" in said:
            raise REFUSALS.get(said["refused"], InvalidInput)(str(said.get("detail"))[:WORDS], limit=said.get("limit"))
        if "failed" in said:
            raise InvalidInput("cannot be decoded")
        return frames.row(said, body)

    def end(self) -> None:
        """Whatever it is doing."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        os.close(self._handle)
        self._connection.close()


class Decoders:
    """May be called from any thread; `confinement.processes` at a time, others wait."""

    def __init__(
        self,
        inputs: Mapping[str, Any],
        folder: Path,
        limits: Limits,
        intact: Callable[[], None],
        confinement: Confinement,
    ) -> None:
        """`inputs`: name -> spec. `intact` raises unless the folder is still what it was. Raises BundleError."""
        self._about = {
            "inputs": {name: spec.model_dump(mode="json", by_alias=True) for name, spec in inputs.items()},
            "limits": {name: getattr(limits, name) for name in Limits.model_fields},
            "folder": str(folder.absolute()), "seconds": confinement.seconds, "bytes": confinement.bytes,
        }  # fmt: skip
        self._intact, self._confinement = intact, confinement
        self._starting = Lock()
        self._free: LifoQueue[Child | None] = LifoQueue()
        for _ in range(confinement.processes):
            self._free.put(None)  # forked when it is needed
        self._source = [self._start()]
        # what runs holds `self`: when this is called, all children are free
        weakref.finalize(self, over, self._source, self._free).atexit = False

    def encoder(self, part: str) -> Encode:
        return partial(self._work, f"encode.{part}")

    def bare(self, part: str, data: bytes) -> Array:
        return self._work(f"bare.{part}", data)["bare"]

    def _work(self, work: str, data: bytes) -> Row:
        child = self._free.get()
        try:
            if child is None or not child.alive:
                if child is not None:
                    child.end()
                child = None
                child = self._fork()
            return child.ask(work, data, self._confinement)
        except frames.Broken as error:
            if child is not None:
                child.end()
                child = None
            self._confinement.lost()
            raise InvalidInput("cannot be decoded within the bounds on memory and time, or at all") from error
        finally:
            self._free.put(child)

    def _fork(self) -> Child:
        """Raises Unavailable."""
        with self._starting:
            if child := self._source[0].fork():
                return child
            self._source[0].end()  # somebody else has
            with suppress(BundleError):
                self._source[0] = self._start()
                if child := self._source[0].fork():
                    return child
        raise Unavailable("no process to decode in", retry_after=1)

    def _start(self) -> "Source":
        """What it needs of the bundle is read now. Raises BundleError."""
        self._intact()
        source = Source()
        try:
            source.load(self._about)
        except frames.Broken as error:
            source.end()
            raise BundleError(f"{self._about['folder']}: the process that decodes did not start") from error
        return source


class Source:
    """The process that forks children (service.decoder)."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BRAID_")}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-P", "-m", "service.decoder", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, env=environment, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        self._control.settimeout(PATIENCE)

    def load(self, about: Mapping[str, Any]) -> None:
        """Raises Broken."""
        frames.send(self._control, about)
        frames.receive(self._control, 0, time.monotonic() + PATIENCE)

    def fork(self) -> Child | None:
        with suppress(OSError):
            self._control.sendall(b"f")
            _, found, _, _ = socket.recv_fds(self._control, 1, 2)
            if len(found) == 2:
                return Child(socket.socket(fileno=found[0]), found[1])
        return None

    def end(self) -> None:
        """It ends with its control socket, and its children end with it."""
        self._control.close()
        Thread(target=self._process.wait, daemon=True).start()  # it takes a few milliseconds, of whichever thread


def over(source: list[Source], free: "LifoQueue[Child | None]") -> None:
    source[0].end()
    while not free.empty():
        if child := free.get():
            child.end()
