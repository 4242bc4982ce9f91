"""One JSON line an event, to standard error: time, level, event, and what the event says of itself.

Written directly: a line costs 1 us, through logging 11 us, and the server is not the place to spend CPU. To a pipe, as
containers have it, a write costs 10 to 20 us, so that lines of requests are written together where they are many.
Nothing of an upload is ever given to this module: names of parts and sizes are.
"""

import asyncio
import logging
import os
import select
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

OFTEN = 10.0  # seconds between two lines that a library logs at one place: one a dropped span would be thousands
TOGETHER = 0.05  # seconds for which a line of a request waits for others at most
LEVELS = {"info": 0, "warning": 1, "off": 2}


class Log:
    def __init__(self, level: str = "info") -> None:
        self._least = LEVELS[level]
        self.verbose = self._least == 0
        self._held = b""  # lines, less than a pipe takes at once: other processes write to it, too
        self._free = 0.0  # when a line need not wait

    def info(self, event: str, said: Mapping[str, Any]) -> None:
        if self.verbose:
            write(line("info", event, said))

    def warning(self, event: str, said: Mapping[str, Any]) -> None:
        if self._least <= 1:
            write(line("warning", event, said))

    def often(self, event: str, said: Mapping[str, Any]) -> None:
        """What there may be thousands of a second. To be called in the event loop."""
        if not self.verbose:
            return
        new = line("info", event, said)
        if self._held:
            if len(self._held) + len(new) > select.PIPE_BUF:
                self.flush()
            self._held += new  # `flush` is due already
        elif (now := time.monotonic()) >= self._free:
            write(new)
            self._free = now + TOGETHER
        else:
            self._held = new
            asyncio.get_running_loop().call_later(self._free - now, self.flush)

    def flush(self) -> None:
        if self._held:
            write(self._held)
            self._held, self._free = b"", time.monotonic() + TOGETHER


def line(level: str, event: str, said: Mapping[str, Any]) -> bytes:
    return orjson.dumps(
        {"time": round(time.time(), 6), "level": level, "event": event, **said}, option=orjson.OPT_APPEND_NEWLINE
    )


def write(lines: bytes) -> None:
    with suppress(OSError):  # a full disk, a reader that left: no reason to fail a request
        os.write(sys.stderr.fileno(), lines)


class Handler(logging.Handler):
    """Lines of libraries (uvicorn, asyncio), in the same form; what repeats is said once in a while."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, int], float] = {}  # logger and line of code -> when

    def emit(self, record: logging.LogRecord) -> None:
        place = record.name, record.lineno
        if record.created - self._said.get(place, 0.0) < OFTEN:
            return
        self._said[place] = record.created
        said: dict[str, Any] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0]:
            said["error"] = record.exc_info[0].__name__  # the text of an exception may hold an upload: its name cannot
        write(line(record.levelname.lower(), "library", said))


def adopt() -> None:
    """Sends what libraries log, from warnings on, through this module."""
    logging.basicConfig(level=logging.WARNING, handlers=[Handler()], force=True)


def silence() -> None:
    """From here on, what native libraries print goes nowhere: libmpg123 has words of its own for every broken MP3.

    What Python writes to standard error still arrives there.
    """
    kept = os.dup(sys.stderr.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)
    sys.stderr = open(kept, "w", buffering=1)  # noqa: SIM115  # as long as the process
