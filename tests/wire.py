"""A client that speaks bytes, and what it costs a server."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

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
