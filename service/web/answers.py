"""Status and header fields to the bytes of an answer's head; a refusal to a whole answer."""

import http

import orjson

from service.errors import RequestError
from service.web import problems
from service.web.asgi import Headers

CRLF = b"\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"connection: close"
CHUNKED = b"transfer-encoding: chunked"
STATUS = {status.value: b"HTTP/1.1 %d %b" % (status.value, status.phrase.encode()) for status in http.HTTPStatus}
DRESS = {  # what an answer gets unless it says otherwise: a page has a policy of its own
    name: b"%b: %b" % (name, value)
    for name, value in (
        (b"cache-control", b"no-store"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
    )
}


def begun(status: int, date: bytes, fields: Headers) -> tuple[list[bytes], int | None, bool]:
    """Lines so far, the Content-Length if there is one, and whether the application wants the connection closed."""
    length, close = None, False
    lines = [STATUS[status], date]
    bare = DRESS.copy()
    for field in fields:
        name = field[0]
        if name == b"content-length":
            length = int(field[1])
        elif name == b"connection":
            close = field[1].lower() == b"close"
            continue
        elif name in bare:
            del bare[name]
        lines.append(b": ".join(field))
    lines += bare.values()
    return lines, length, close


def ended(lines: list[bytes]) -> bytes:
    """Raises RuntimeError if one of them is more than a line."""
    lines.append(CRLF)
    head = CRLF.join(lines)
    if not head.count(b"\r") == head.count(b"\n") == len(lines):
        raise RuntimeError("a header of the answer is more than one line")
    return head


def refusal(error: RequestError, date: bytes) -> bytes:
    """After which the connection is closed."""
    body = orjson.dumps(problems.problem(error))
    fields = [(b"content-type", problems.KIND), (b"content-length", b"%d" % len(body)), *problems.headers(error)]
    lines, _, _ = begun(error.status, date, fields)
    return ended([*lines, CLOSE]) + body
