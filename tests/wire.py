"""A client that speaks bytes, and what it costs a server."""

import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.process import Server


@contextmanager
def connected(server: Server, data: bytes = b"", *, patience: float = 10) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), patience) as connection:
        connection.sendall(data)
        yield connection


def heard(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def said(server: Server, data: bytes, *, half: bool = False) -> bytes:
    """The answers to what is sent; `half`: the client says that it will send no more."""
    with connected(server, data) as connection:
        if half:
            connection.shutdown(socket.SHUT_WR)
        return heard(connection)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers) if status != b"100"]


@contextmanager
def many(server: Server, count: int, data: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connected(server, data)) for _ in range(count)]


class Hammering(NamedTuple):
    statuses: Counter[int]
    seconds: list[float]  # of those that were answered well, in order of length


def hammered(server: Server, data: bytes, connections: int, seconds: float, warmup: float = 0.0) -> Hammering:
    """What so many clients hear who ask again as soon as they are answered."""
    found, took, begun = Counter[int](), list[float](), dict[socket.socket, float]()
    with selectors.DefaultSelector() as waiting, many(server, connections, data) as clients:
        start = time.monotonic() + warmup
        for client in clients:
            waiting.register(client, selectors.EVENT_READ)
            begun[client] = time.monotonic()
        while (now := time.monotonic()) < start + seconds:
            for key, _ in waiting.select(start + seconds - now):
                asked = key.fileobj
                assert isinstance(asked, socket.socket)
                (status,) = statuses(whole(asked))
                now = time.monotonic()
                if now > start:
                    found[status] += 1
                    if status == 200:
                        took.append(now - begun[asked])
                begun[asked] = now
                asked.sendall(data)
    return Hammering(found, sorted(took))


def whole(connection: socket.socket) -> bytes:
    """One answer."""
    data = b""
    while True:
        piece = connection.recv(65536)
        assert piece, "cut off"
        data += piece
        begun, end, body = data.partition(b"\r\n\r\n")
        if end and (length := re.search(rb"content-length: (\d+)", begun)) and len(body) >= int(length[1]):
            return data


def memory(server: Server) -> int:
    """Bytes that the worker holds."""
    pid = next(iter(children(server.process.pid)))
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def most_memory(server: Server) -> int:
    """Bytes that the worker has ever held."""
    (pid,) = children(server.process.pid)
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def cpu(server: Server) -> float:
    """Seconds of the worker."""
    pid = next(iter(children(server.process.pid)))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def limited(ulimit: str) -> list[str]:
    """What a command runs under that may use less."""
    return ["sh", "-c", f'ulimit {ulimit} && exec "$@"', "sh"]
