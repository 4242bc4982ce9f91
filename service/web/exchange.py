"""One request and its answer: what a connection hears becomes ASGI's messages, what the application sends, bytes."""

import asyncio
from typing import Protocol

from service.errors import Failed, QueueFull, RequestError, Unavailable
from service.web import answers
from service.web.asgi import App, Headers, Message, Scope, header

BODILESS = {204, 304}
REST = 64 * 1024  # bytes of a body that nobody wants, for which a connection is still kept
LEFT: Message = {"type": "http.disconnect"}


class Every(Protocol):
    @property
    def date(self) -> bytes: ...
    @property
    def draining(self) -> bool: ...
    def failed(self, error: Exception) -> None: ...


class Wire(Protocol):
    """What an exchange needs of its connection."""

    loop: asyncio.AbstractEventLoop
    paused: bool  # the client does not take what is written

    @property
    def every(self) -> Every: ...
    def write(self, data: bytes) -> None: ...
    def read(self) -> None: ...
    async def writable(self) -> None: ...
    def answered(self) -> None: ...
    def abort(self) -> None: ...


class Exchange:
    """`scope` is the request; the connection calls `feed`, `end`, `fail` and `leave`, a task runs `run`."""

    __slots__ = (
        "_chunked", "_chunks", "_expects", "_handed", "_head", "_rest", "_waiter", "_wire", "answered", "complete",
        "error", "gone", "held", "keep", "later", "received", "scope", "silent",
    )  # fmt: skip

    def __init__(self, wire: Wire, scope: Scope, *, keep: bool, expects: bool) -> None:
        self.scope = scope
        self.keep = keep  # the connection, after this answer
        self.complete = False  # the request is there
        self.silent = True  # nothing has been said
        self.answered = False
        self.later = False  # the client is told to come back later
        self.gone = False  # the client left
        self.error: RequestError | None = None  # what is wrong with the body
        self.held = 0  # bytes that wait for the application
        self.received = 0  # bytes of the body
        self._wire = wire
        self._expects = expects  # the client waits for 100 Continue before it sends the body
        self._chunks: list[bytes] = []
        self._handed = False  # the application has the whole body
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""  # of the answer, until its body comes
        self._chunked = False
        self._rest = 0  # bytes of the answer to come; below 0: not known

    # -- from the connection ------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        self.received += len(data)
        if not self.answered:
            self._chunks.append(data)
            self.held += len(data)
            self._wake()

    def end(self) -> None:
        self.complete = True
        self._wake()

    def fail(self, error: RequestError) -> None:
        """The body is not what it should be; the application is told so when it reads it."""
        self.error, self.keep = error, False
        self._wake()

    def leave(self) -> None:
        self.gone = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- from the application -----------------------------------------------------------------------------------------

    async def run(self, app: App) -> None:
        problem: RequestError | None = None
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            problem = Unavailable("the server stops", retry_after=1)
        except Exception as error:  # a bug of ours
            problem = Failed("this should not have happened")
            self._wire.every.failed(error)
        if self.answered or self.gone:
            return
        if not self.silent:
            self._wire.abort()  # half an answer must not look like a whole one
        else:
            self.keep = False
            self._wire.write(answers.refusal(problem or Failed("no answer was made"), self._wire.every.date))
            self._done()

    async def receive(self) -> Message:
        """Raises what `fail` was told."""
        if self._expects:
            self._expects = False
            self._wire.write(answers.CONTINUE)
        while not (self.gone or self.answered):
            if self.error:
                raise self.error
            if self._chunks or (self.complete and not self._handed):
                return self._next()
            self._waiter = self._wire.loop.create_future()
            await self._waiter
        return LEFT

    def _next(self) -> Message:
        chunks, self._chunks = self._chunks, []
        self.held, self._handed = 0, self.complete
        self._wire.read()
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def send(self, message: Message) -> None:
        """A head is written with the first of its body, in one system call. Raises RuntimeError where ASGI forbids."""
        if self._wire.paused and not self.gone:
            await self._wire.writable()
        if self.gone:
            return
        if message["type"] == "http.response.start" and self.silent:
            self._start(message["status"], message["headers"])
        elif message["type"] == "http.response.body" and not self.silent and not self.answered:
            self._write(message.get("body", b""), last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']} does not come now")

    def _start(self, status: int, headers: Headers) -> None:
        lines, length, close = answers.begun(status, self._wire.every.date, headers)
        if close or self._wire.every.draining or not (self.complete or self._short()):
            self.keep = False
        if status in BODILESS or self.scope["method"] == "HEAD":
            length = 0
        elif length is None:
            length = -1
            self._chunked = self.scope["http_version"] != "1.0"  # which ends its answer by closing
            self.keep = self.keep and self._chunked
            if self._chunked:
                lines.append(answers.CHUNKED)
        if not self.keep:
            lines.append(answers.CLOSE)
        self._head, self._rest = answers.ended(lines), length
        self.silent = self._expects = False
        self.later = status == QueueFull.status

    def _short(self) -> bool:
        """What is still to come of the body is known, and costs less than a new connection."""
        length = header(self.scope, b"content-length")
        return not (self._expects or self.error) and bool(length) and int(length) - self.received <= REST

    def _write(self, body: bytes, *, last: bool) -> None:
        if self.scope["method"] == "HEAD":
            body = b""
        if self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if last else b"")
        elif self._rest >= 0:
            self._rest -= len(body)
            if self._rest < 0 or (last and self._rest):
                raise RuntimeError("the answer is not as long as its Content-Length")
        if self._head:
            body, self._head = self._head + body, b""
        self._wire.write(body)
        if last:
            self._done()

    def _done(self) -> None:
        self.answered = True
        self._wake()
        self._wire.answered()
