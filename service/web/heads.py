"""The head of a request, checked after llhttp: what another HTTP parser could read in another way is refused.

RFC 9112, 3 (request line, Host) and 6 (transfer coding, length). llhttp itself, which is strict, refuses white space
and control characters where they do not belong, folded lines, lines without CR, and lengths beside chunks.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from service.errors import HeadTooLarge, Malformed, MethodNotAllowed, TargetTooLong
from service.limits import Wire
from service.web.asgi import Headers

SINGLE = (  # two of them would be two meanings
    b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"authorization",
    b"x-api-key", b"braid-timeout",
)  # fmt: skip
HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]*")
SCHEMES = (b"http", b"https")
EACH = 4  # bytes of a field beside its name and value


class Target(NamedTuple):
    path: str  # decoded
    raw: bytes
    query: bytes


def measured(url: bytes, fields: Headers, limits: Wire) -> int:
    """Bytes of the head as far as it is there. Raises TargetTooLong, HeadTooLarge."""
    if len(url) > limits.target_bytes:
        raise TargetTooLong("the URL is too long", limit=limits.target_bytes)
    if len(fields) > limits.head_fields:
        raise HeadTooLarge("too many header fields", limit=limits.head_fields)
    size = len(url) + sum(len(name) + len(value) + EACH for name, value in fields)
    if size > limits.head_bytes:
        raise HeadTooLarge("the header fields are too large", limit=limits.head_bytes)
    return size


def check(version: str, fields: Headers) -> dict[bytes, bytes]:
    """The last field of each name. Raises Malformed."""
    found = dict(fields)
    if len(found) < len(fields):
        once(name for name, _ in fields)
    if version == "1.1":
        if b"host" not in found:
            raise Malformed("HTTP/1.1 wants a Host header")
    elif version != "1.0":
        raise Malformed("HTTP/1.1 is spoken here")
    if not HOST.fullmatch(found.get(b"host", b"")):
        raise Malformed("Host is not a host")
    coding = found.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0" or b"content-length" in found):
        raise Malformed("Transfer-Encoding can only be chunked, in HTTP/1.1, without a Content-Length")
    return found


def once(names: Iterable[bytes]) -> None:
    seen = set()
    for name in names:
        if name in SINGLE and name in seen:
            raise Malformed(f"{name.decode()} stands more than once")
        seen.add(name)


def target(method: bytes, url: bytes) -> Target:
    """Of a path, of a whole URL (which proxies are sent), or `*`. Raises Malformed, MethodNotAllowed."""
    if method == b"CONNECT":
        raise MethodNotAllowed("this is no proxy")
    if b"#" in url:
        raise Malformed("a fragment does not belong into a request")
    if url.startswith(b"/"):
        raw, _, query = url.partition(b"?")
    elif method == b"OPTIONS" and url == b"*":
        raw, query = url, b""
    else:
        raw, query = absolute(url)
    path = raw.decode("ascii")  # llhttp takes nothing else
    return Target(unquote(path) if "%" in path else path, raw, query)


def absolute(url: bytes) -> tuple[bytes, bytes]:
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserError as error:
        raise Malformed("not a URL") from error
    if parsed.schema is None or parsed.schema.lower() not in SCHEMES:
        raise Malformed("not a URL of http")
    return parsed.path or b"/", parsed.query or b""
