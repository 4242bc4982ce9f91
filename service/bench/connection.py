"""One keep-alive HTTP/1.1 connection: requests out, answers in, one at a time."""

import asyncio
import time
from typing import Literal, NamedTuple, Protocol, cast

import httptools

from service.bench.requests import Request

Outcome = int | Literal["lost", "refused", "timeout"]  # an HTTP status, or why there is none
REFUSED = 300  # statuses from here on are errors to us: predict never redirects
SAID = 10_000  # bytes kept of what an error says


class Answer(NamedTuple):
    start: float  # time.perf_counter; in an open loop when it was due
    end: float
    outcome: Outcome
    subset: int
    timing: bytes = b""  # the Server-Timing header


class Owner(Protocol):
    def made(self, connection: "Connection") -> None:
        """It is open, and not yet free."""

    def answered(self, answer: Answer, said: bytes) -> None:
        """What became of a request; `said` is the body of a refusal."""

    def free(self, connection: "Connection") -> None:
        """It can take the next request."""

    def gone(self, connection: "Connection") -> None:
        """It is closed, by whichever side."""


class Connection(asyncio.Protocol):
    """`start` and `subset` belong to the request on its way, if `busy`."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = httptools.HttpResponseParser(self)
        self._timing, self._said = b"", b""
        self._why: Outcome = "lost"
        self.busy = False
        self.start = 0.0
        self.subset = 0

    def send(self, request: Request, start: float) -> None:
        self.busy, self.start, self.subset = True, start, request.subset
        self._timing, self._said = b"", b""
        self._transport.writelines(request.pieces)

    def close(self, why: Outcome = "lost") -> None:
        """At once; a request on its way is answered with this outcome."""
        self._why = why
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its base class
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"server-timing":
            self._timing = value

    def on_body(self, body: bytes) -> None:
        if self._parser.get_status_code() >= REFUSED and len(self._said) < SAID:
            self._said += body

    def on_message_complete(self) -> None:
        if self.busy:
            self._finish(self._parser.get_status_code())
            if self._parser.should_keep_alive():
                self._owner.free(self)
                return
        self._transport.abort()  # the server wants it closed, or answered what nobody asked

    def connection_lost(self, error: Exception | None) -> None:
        if self.busy:
            self._finish(self._why)
        self._owner.gone(self)

    def _finish(self, outcome: Outcome) -> None:
        self.busy = False
        self._owner.answered(Answer(self.start, time.perf_counter(), outcome, self.subset, self._timing), self._said)
