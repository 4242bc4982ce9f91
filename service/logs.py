"""One JSON line an event, to standard error: time, level, event, and what the event says of itself.

Written directly: a line costs 1 us, through logging 11 us, and the server is not the place to spend CPU.
Nothing of an upload is ever given to this module: names of parts and sizes are.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson

OFTEN = 10.0  # seconds between two lines that a library logs at one place: one a dropped span would be thousands
LEVELS = {"info": 0, "warning": 1, "off": 2}


class Log:
    def __init__(self, level: str = "info") -> None:
        self._least = LEVELS[level]
        self.verbose = self._least == 0

    def info(self, event: str, said: Mapping[str, Any]) -> None:
        if self.verbose:
            write("info", event, said)

    def warning(self, event: str, said: Mapping[str, Any]) -> None:
        if self._least <= 1:
            write("warning", event, said)


def write(level: str, event: str, said: Mapping[str, Any]) -> None:
    line = orjson.dumps(
        {"time": round(time.time(), 6), "level": level, "event": event, **said}, option=orjson.OPT_APPEND_NEWLINE
    )
    with suppress(OSError):  # a full disk, a reader that left: no reason to fail a request
        os.write(sys.stderr.fileno(), line)


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
        write(record.levelname.lower(), "library", said)


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
