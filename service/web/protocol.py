"""A connection: one request after the other is read, answered and ended in time. HTTP/1.1 as RFC 9112 has it.

No clock is read for a request that comes in one piece and is answered: `Connections` looks at all of them now and then,
and `look` ends what is overdue.
"""

import asyncio
import socket
from contextvars import Context
from typing import cast

from service.errors import Malformed, RequestError, Unavailable
from service.web import answers
from service.web.connections import LINGER, MOMENT, Connections
from service.web.exchange import Exchange
from service.web.reader import BODY, DONE, HEAD, IDLE, OVER, Ends, Head, Reader, address

HIGH = 64 * 1024  # bytes of a body that wait for the application; then the connection is not read
RETRY = 1  # seconds
CROWD = "too many connections"
PROBES = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics"}
CLOSED = 7  # TCP_CLOSE of Linux: a reset came


class Connection(asyncio.Protocol):
    def __init__(self, every: Connections, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.paused = False  # the client does not take what is written
        self.every = every
        self._served = self._surplus = self._half = self._asked = False
        self._current: Exchange | None = None  # it is being answered
        self._waiting: list[Exchange] = []  # sent ahead
        self._later = b""  # what came while an answer was being made
        self._refusal: RequestError | None = None  # comes after the answers
        self._reading = True
        self._unread = 0.0  # since when the client has not been taking its answer
        self._until = 0.0  # when it is cut off, whatever it still sends; 0: never
        self._writable: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._ends: Ends | None = None

    # -- from the transport -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._reader = Reader(self.every.limits, self._take)
        self._surplus = self.every.add(self, self.loop)

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        if reader.phase is OVER:
            reader.since = 0.0  # it is still sending
            return
        if reader.phase is DONE:
            self._later += data
            self._pause()
            return
        try:
            reader.feed(data)
        except RequestError as error:
            self._break(error)
        else:
            if reader.incoming is not None and reader.incoming.held > HIGH:
                self._pause()

    def eof_received(self) -> bool:
        """Whether there is still something to say."""
        self._half = True
        if self.every.scheme == "https" or (self._current is None and self._reader.phase in (IDLE, OVER)):
            return False
        if self._reader.phase in (HEAD, BODY):
            self._break(Malformed("the request ends too early"))
        if self._current is not None:
            self.every.doubt(self, self.loop)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.every.forget(self)
        self._reader.end()
        self._waiting.clear()
        if self._current is not None:
            self._current.leave()
        if self._task is not None and not self._task.done():
            self.every.orphan(self._task)
        self.resume_writing()

    def pause_writing(self) -> None:
        self.paused, self._unread = True, 0.0

    def resume_writing(self) -> None:
        self.paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        if self._current is None and self._waiting:
            self._next()

    # -- from the reader ----------------------------------------------------------------------------------------------

    def _take(self, head: Head) -> Exchange:
        if self._surplus and head.target.path not in PROBES:
            raise Unavailable(CROWD, retry_after=RETRY)
        if self._ends is None:
            about = self._transport.get_extra_info
            self._ends = Ends(self.every.scheme, address(about("sockname")), address(about("peername")))
        exchange = Exchange(self, head.scope(self._ends), keep=head.keep, expects=head.expects)
        if self._current is None and not self._waiting:
            self._begin(exchange)
        elif len(self._waiting) + 1 < self.every.limits.pipeline:
            self._waiting.append(exchange)
        else:
            raise Unavailable("too many requests ahead of their answers", retry_after=RETRY)
        return exchange

    # -- from the exchange --------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    async def writable(self) -> None:
        while self.paused:
            self._writable = self.loop.create_future()
            await self._writable

    def read(self) -> None:
        if not self._reading and not self._later and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    def answered(self) -> None:
        assert self._current
        if self._current.later and self._current.keep and self.every.rests(self, self.loop):
            self._pause()
        else:
            self.go_on()

    def go_on(self) -> None:
        """To the next request."""
        exchange, self._current = self._current, None
        assert exchange
        if self._transport.is_closing():  # lost while it rested
            return
        self._served = True
        reader = self._reader
        if not exchange.keep:
            self._waiting.clear()
            self._leave(clean=exchange.complete and reader.phase is DONE and not self._later)
        elif self._waiting:
            if not self.paused:
                self._next()
        elif self._refusal:
            self._refuse(self._refusal)
        elif self._half:
            self._leave(clean=True)
        else:
            reader.since = 0.0
            if reader.phase is DONE:
                reader.phase = IDLE
            if self._later:
                later, self._later = self._later, b""
                Context().run(self.data_received, later)
            self.read()

    def abort(self) -> None:
        self._transport.abort()

    # -- from the clock -----------------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Ends what is overdue."""
        reader, limits = self._reader, self.every.limits
        if 0 < self._until < now:
            self.abort()
        elif self.paused:
            self._unread = self._unread or now
            if now - self._unread > limits.answer_seconds:
                self.cut("unread")
        elif self._works():
            return
        elif not reader.since:
            reader.since = now
        elif self._transport.get_write_buffer_size():
            if now - reader.since > limits.answer_seconds:
                self.cut("unread")
        elif reader.phase is OVER:
            if now - reader.since > LINGER:
                self.abort()
        elif reader.phase is IDLE:
            if now - reader.since > self._patience():
                self._leave(clean=True)
        elif error := reader.slow(now - reader.since):
            self._break(error)

    def _works(self) -> bool:
        """The client waits for us, not we for it."""
        return self._current is not None and self._current is not self._reader.incoming

    def _patience(self) -> float:
        """Seconds for the first byte of a request."""
        if self.every.closing:
            return MOMENT
        return self.every.limits.keep_alive if self._served else self.every.limits.head_seconds

    def silent(self) -> bool:
        """It has asked nothing yet."""
        return self._current is None and self._reader.phase in (IDLE, HEAD)

    def send_away(self) -> None:
        if self._served and self._reader.phase is IDLE:
            self._leave(clean=True)
        else:
            self._break(Unavailable(CROWD, retry_after=RETRY))

    def idle(self, now: float) -> float:
        """Seconds for which another could have used the place better. Under pressure a body is fast, or over soon."""
        reader, limits = self._reader, self.every.limits
        if not reader.since or self._works():
            return 0.0
        waited = now - reader.since
        fast = reader.incoming is not None and reader.incoming.received >= limits.body_rate * waited
        return 0.0 if fast and waited < limits.body_grace else waited

    def doubtful(self) -> bool:
        """Whether it is not yet known if a client that sends no more is there for its answer.

        An interim answer, which HTTP/1.1 allows at any time, is its question: if it has left, a reset comes back.
        """
        exchange = self._current
        if exchange is None or self._transport.is_closing():
            return False
        if not self._asked and exchange.silent and exchange.scope["http_version"] == "1.1":
            self._asked = True
            self.write(answers.CONTINUE)
        elif self._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSED:
            self.abort()
            return False
        return True

    def cut(self, reason: str) -> None:
        self.every.refused(reason)
        self.abort()

    def last(self) -> None:
        """The worker stops: who has no request has a moment."""
        if self._reader.phase is IDLE:
            self._reader.since = 0.0
        elif self._until:
            self._until = min(self._until, self.loop.time() + MOMENT)

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # -- steps --------------------------------------------------------------------------------------------------------

    def _begin(self, exchange: Exchange, context: Context | None = None) -> None:
        self._current = exchange
        self._task = self.loop.create_task(exchange.run(self.every.app), context=context)

    def _next(self) -> None:
        self._begin(self._waiting.pop(0), Context())

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _break(self, error: RequestError) -> None:
        """The rest cannot be understood, or is not waited for. What came before is answered."""
        reader = self._reader
        exchange, reader.incoming = reader.incoming, None
        reader.phase, reader.since = OVER, 0.0
        if exchange is None:
            self._refusal = error
        elif not exchange.answered:
            exchange.fail(error)
        if self._current is not None:
            return
        if self._refusal:
            self._refuse(self._refusal)
        else:
            self._leave(clean=False)

    def _refuse(self, error: RequestError) -> None:
        self.every.refused(error.code)
        self.write(answers.refusal(error, self.every.date))
        self._leave(clean=False)

    def _leave(self, *, clean: bool) -> None:
        """Unless all that was sent has been read, a reset could overtake the answer: so read on for a while."""
        reader = self._reader
        reader.phase, reader.since, self._later = OVER, 0.0, b""
        self.every.leaves(self)
        if clean or self._half:
            self._transport.close()
            return
        self._until = self.loop.time() + (MOMENT if self.every.closing else self.every.limits.answer_seconds)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.read()
