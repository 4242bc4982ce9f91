"""Bytes to requests: llhttp's parser, the limits of a head and of chunks, and where in a request a client is."""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import httptools

from service.errors import HeadTooLarge, Malformed, RequestError, SlowBody, SlowHead, TargetTooLong
from service.settings import Settings
from service.web import heads
from service.web.asgi import Headers, Scope
from service.web.exchange import Exchange

ASGI = {"version": "3.0", "spec_version": "2.3"}


class Phase(IntEnum):
    """What is expected of the client."""

    IDLE = 0  # its next request
    HEAD = 1  # the rest of a head
    BODY = 2  # the rest of a body
    DONE = 3  # nothing: it waits for its answer
    OVER = 4  # to leave; what it still sends is thrown away


IDLE, HEAD, BODY, DONE, OVER = Phase


Address = tuple[str, int] | None


class Ends(NamedTuple):
    """Of a connection."""

    scheme: str
    server: Address
    client: Address


class Head(NamedTuple):
    version: str
    method: bytes
    target: heads.Target
    fields: Headers
    keep: bool  # the connection, if it is for the client
    expects: bool  # it waits for 100 Continue

    def scope(self, ends: Ends) -> Scope:
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": self.version,
            "method": self.method.decode("ascii"),
            "scheme": ends.scheme,
            "path": self.target.path,
            "raw_path": self.target.raw,
            "query_string": self.target.query,
            "root_path": "",
            "headers": self.fields,
            "server": ends.server,
            "client": ends.client,
        }


class Reader:
    """`take` is given each head, and returns what its body goes to; it may raise RequestError."""

    def __init__(self, limits: Settings, take: Callable[[Head], Exchange]) -> None:
        self.phase = IDLE
        self.since = 0.0  # when the phase began; 0: nobody has looked since
        self.incoming: Exchange | None = None  # its body is being received
        self._limits, self._take = limits, take
        self._parser = httptools.HttpRequestParser(self)
        self._fed = 0  # bytes in this phase; 0: it began in the midst of a piece
        self._url, self._fields = b"", list[tuple[bytes, bytes]]()
        self._trailers = 0

    def feed(self, data: bytes) -> None:
        """Raises RequestError; then nothing may follow."""
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._as_is(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            told = error.__context__  # what a method below has raised
            raise told if isinstance(told, RequestError) else Malformed("this is not HTTP/1.1") from error
        if self.phase is not DONE:
            self._unfinished()

    def end(self) -> None:
        """The connection is lost. The parser, which holds methods of ours, lets go of them."""
        self.phase, self.incoming = OVER, None
        del self._parser, self._take

    def _unfinished(self) -> None:
        """What has arrived is not a whole request; is it too much already?"""
        limits, exchange = self._limits, self.incoming
        if exchange is not None:
            if self._fed - 2 * exchange.received > limits.body_overhead:
                raise Malformed("the chunks are mostly not content", limit=limits.body_overhead)
            return
        if self.phase is IDLE and self._fed:  # ends of lines, which may stand before a request
            self.phase = HEAD
        if self.phase is HEAD:
            if self._fed > limits.head_bytes:
                raise HeadTooLarge("the header fields are too large", limit=limits.head_bytes)
            self._fed = self._fed or heads.measured(self._url, self._fields, limits)

    def _as_is(self, rest: bytes) -> None:
        """The request again, without its wish for another protocol, which HTTP lets a server ignore."""
        line = b"%b %b HTTP/%b" % (self._parser.get_method(), self._url, self._parser.get_http_version().encode())
        fields = [b": ".join(field) for field in self._fields if field[0] != b"upgrade"]
        self._parser, self._fed = httptools.HttpRequestParser(self), 0
        self.feed(b"\r\n".join([line, *fields, b"\r\n"]) + rest)

    def slow(self, waited: float) -> RequestError | None:
        """What a client is told that has been `waited` for too long, in seconds."""
        limits, exchange = self._limits, self.incoming
        if self.phase is HEAD and waited > limits.head_seconds:
            return SlowHead("the head of the request did not arrive in time", limit=limits.head_seconds)
        if exchange is not None and waited > limits.body_seconds:
            return SlowBody("the body did not arrive in time", limit=limits.body_seconds)
        if exchange is not None and exchange.received < limits.body_rate * (waited - limits.body_grace):
            return SlowBody("the body arrives too slowly, in bytes a second", limit=limits.body_rate)
        return None

    # -- from the parser ----------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.phase, self.since = HEAD, 0.0
        self._url, self._fields = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.target_bytes:
            raise TargetTooLong("the URL is too long", limit=self._limits.target_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is HEAD:
            self._fields.append((name.lower(), value.rstrip(b" \t")))
            return
        self._trailers += 1  # their bytes count with the body; they are thrown away
        if self._trailers > self._limits.head_fields:
            raise Malformed("too many trailers", limit=self._limits.head_fields)

    def on_headers_complete(self) -> None:
        fields, limits, parser = self._fields, self._limits, self._parser
        if not 0 < self._fed <= limits.head_bytes or len(fields) > limits.head_fields:
            heads.measured(self._url, fields, limits)
        version, method = parser.get_http_version(), parser.get_method()
        found = heads.check(version, fields)
        if parser.should_upgrade() and method != b"CONNECT":
            return
        keep, expects = parser.should_keep_alive(), found.get(b"expect", b"").lower() == b"100-continue"
        if version == "1.0":  # as if it asked for neither: each would need an answer of its own form
            keep = expects = False
        self.incoming = self._take(Head(version, method, heads.target(method, self._url), fields, keep, expects))
        self.phase, self.since, self._fed, self._trailers = BODY, 0.0, 0, 0

    def on_body(self, body: bytes) -> None:
        assert self.incoming
        self.incoming.feed(body)

    def on_message_complete(self) -> None:
        exchange, self.incoming = self.incoming, None
        if exchange is not None:  # else it wanted an upgrade
            exchange.end()
            self.phase, self.since, self._fed = IDLE if exchange.answered else DONE, 0.0, 0


def address(name: tuple[str, int] | None) -> Address:
    return (name[0], name[1]) if name else None
