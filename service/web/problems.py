"""Errors to application/problem+json (RFC 9457). The only place that turns errors into statuses."""

from typing import Any

import orjson

from service.errors import RequestError
from service.web.asgi import Headers, Send, answer

KIND = b"application/problem+json"


def problem(error: RequestError) -> dict[str, Any]:
    """Part, limit and detail as far as they apply; never a library's sentence, a path or the client's own bytes."""
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": f"part {error.part!r}: {error.detail}" if error.part else error.detail,
    }
    if error.part:
        document["part"] = error.part
    if error.limit is not None:
        document["limit"] = error.limit
    return document


def headers(error: RequestError) -> Headers:
    return [] if error.retry_after is None else [(b"retry-after", b"%d" % error.retry_after)]


async def refuse(send: Send, error: RequestError, more: Headers) -> None:
    await answer(send, error.status, orjson.dumps(problem(error)), [*headers(error), *more], KIND)
