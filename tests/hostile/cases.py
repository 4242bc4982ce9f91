"""What a hostile request is: how it is sent, and with which statuses it may be refused."""

import base64
import json
from typing import NamedTuple

BOUNDARY = "x-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
JSON = "application/json"


class Case(NamedTuple):
    name: str
    statuses: tuple[int, ...]
    kind: str  # Content-Type
    body: bytes


def form(*parts: tuple[str, bytes]) -> bytes:
    """Parts as (what stands in their headers, content)."""
    made = b"".join(b"--%s\r\n%s\r\n\r\n%s\r\n" % (BOUNDARY.encode(), head.encode(), data) for head, data in parts)
    return made + b"--%s--\r\n" % BOUNDARY.encode()


def field(name: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"'


def file(name: str, filename: str = "x.bin") -> str:
    return f'{field(name)}; filename="{filename}"\r\nContent-Type: application/octet-stream'


def upload(name: str, part: str, data: bytes, *statuses: int) -> Case:
    """One part as a file of a form."""
    return Case(f"{part}: {name}", statuses or (422,), FORM, form((file(part), data)))


def inputs(**parts: bytes) -> bytes:
    """As a JSON body."""
    return json.dumps({"inputs": {k: {"base64": base64.b64encode(v).decode()} for k, v in parts.items()}}).encode()
