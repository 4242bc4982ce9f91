"""What a serving process and its decoders tell each other: a header in JSON and bytes, over a socket, by a deadline.

Nothing that is received is believed: sizes are bounded, types are of a short list, nothing is unpickled.
"""

import math
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from service.types import Row

HEAD = struct.Struct("<IQ")  # bytes of the header, bytes of the body
HEADER = 2**20  # bytes at most; a manifest's inputs are in one
TYPES = {"<f4", "<f8", "<f2", "<i8", "<i4", "|u1", "|b1"}


class Broken(Exception):
    """The other side is gone, too slow, or does not keep to this."""


def send(to: socket.socket, header: Mapping[str, Any], *bodies: bytes | memoryview) -> None:
    """Raises Broken."""
    said = orjson.dumps(header)
    try:
        to.sendall(HEAD.pack(len(said), sum(len(body) for body in bodies)) + said)
        for body in bodies:
            to.sendall(body)
    except OSError as error:
        raise Broken from error


def receive(of: socket.socket, most: int, deadline: float = math.inf) -> tuple[Any, memoryview]:
    """`most`: bytes of the body. Raises Broken."""
    size, length = HEAD.unpack(exactly(of, HEAD.size, deadline))
    if size > HEADER or length > most:
        raise Broken
    try:
        header = orjson.loads(exactly(of, size, deadline))
    except orjson.JSONDecodeError as error:
        raise Broken from error
    return header, exactly(of, length, deadline)


def exactly(of: socket.socket, size: int, deadline: float) -> memoryview:
    whole = memoryview(bytearray(size))
    at = 0
    while at < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise Broken
        try:
            of.settimeout(None if left == math.inf else left)
            got = of.recv_into(whole[at:])
        except OSError as error:
            raise Broken from error
        if not got:
            raise Broken
        at += got
    return whole


def send_row(to: socket.socket, row: Row) -> None:
    """Raises Broken."""
    arrays = {name: np.ascontiguousarray(array) for name, array in row.items()}
    about = [[name, array.dtype.str, row[name].shape] for name, array in arrays.items()]
    send(to, {"row": about}, *(array.reshape(-1).view(np.uint8).data for array in arrays.values()))


def row(header: Any, body: memoryview) -> Row:
    """Raises Broken."""
    made: Row = {}
    at = 0
    try:
        for name, kind, shape in header["row"]:
            if kind not in TYPES or not all(type(size) is int and size >= 0 for size in shape):
                raise Broken
            count = math.prod(shape)
            made[str(name)] = np.frombuffer(body, kind, count, at).reshape(shape) if count else np.zeros(shape, kind)
            at += made[str(name)].nbytes
    except (KeyError, TypeError, ValueError) as error:
        raise Broken from error
    return made
