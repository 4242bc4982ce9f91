"""How much a JSON document may make of itself: a byte of it can become a hundred bytes of objects."""

import re
from itertools import islice

from service.errors import Malformed

SMALL = 64 * 1024  # bytes that cannot become much
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
VALUES = 10_000  # of a request that names parts


def bounded(data: bytes, *, values: int = VALUES, objects: int = VALUES) -> None:
    """Before it is parsed. Raises Malformed where there are more members and elements, or more lists, objects and
    strings."""
    if len(data) < SMALL or passed(data, values, objects) is None:  # few marks, wherever they are, are few values
        return
    many = sum(1 for _ in islice(STRING.finditer(data), objects + 1)) > objects
    limit = objects if many else passed(STRING.sub(b'""', data), values, objects)
    if limit is not None:
        raise Malformed("the JSON has more values than a request can need", limit=limit)


def passed(data: bytes, values: int, objects: int) -> int | None:
    """The limit that the marks in a document pass, if any."""
    if data.count(b",") + data.count(b":") > values:
        return values
    return objects if data.count(b'"') // 2 + data.count(b"[") + data.count(b"{") > objects else None
