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
    if len(data) < SMALL:
        return
    strings = sum(1 for _ in islice(STRING.finditer(data), objects + 1))
    if strings <= objects:
        bare = STRING.sub(b"", data)
        if strings + bare.count(b"[") + bare.count(b"{") <= objects and bare.count(b",") + bare.count(b":") <= values:
            return
    raise Malformed("the JSON has more values than a request can need", limit=values)
