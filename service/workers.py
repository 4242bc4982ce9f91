"""A worker process among its siblings: the port they share, what they tell each other and their supervisor."""

import asyncio
import socket
import time
from collections.abc import Callable
from ctypes import c_double, c_int
from dataclasses import dataclass
from multiprocessing.connection import Connection

from service.errors import StartError
from service.messages import Report
from service.settings import Settings

PATIENCE = 0.5  # seconds a worker waits for what another says


@dataclass(frozen=True)
class Worker:
    """One process's place among its siblings."""

    index: int
    bound: socket.socket
    family: str  # random: containers that share a network share the names below, and process ids
    count: c_int  # of workers
    supervisor: Connection
    first: bool  # there is no other: answers probes while it loads; later ones listen when they can serve
    pulse: c_double  # when it last moved, of time.monotonic, which all processes share; 0: it has not begun to

    def tell(self, said: int | str | Report) -> None:
        """How many workers the models are worth; or why they cannot be loaded; or of a change of what is served."""
        self.supervisor.send(said)

    def moves(self) -> None:
        self.pulse.value = time.monotonic()

    async def answer_siblings(self, say: Callable[[], bytes]) -> asyncio.AbstractServer:
        """Serves `say()` to the others, on a socket that has no place in the file system, while the result lives."""

        async def reply(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(say())
            await writer.drain()
            writer.close()

        return await asyncio.start_unix_server(reply, self._address(self.index))

    async def ask_siblings(self) -> list[bytes]:
        """What the others say now; one that is just being replaced says nothing."""
        others = [index for index in range(self.count.value) if index != self.index]
        answers = await asyncio.gather(*map(self._ask, others))
        return [answer for answer in answers if answer]

    async def _ask(self, index: int) -> bytes:
        sibling = socket.socket(socket.AF_UNIX)
        sibling.setblocking(False)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_connect(sibling, self._address(index))
                reader, writer = await asyncio.open_unix_connection(sock=sibling)
                answer = await reader.read()
                writer.close()
                return answer
        except (OSError, TimeoutError):
            sibling.close()
            return b""

    def _address(self, index: int) -> str:
        return f"\0braid-{self.family}-{index}"  # Linux: a leading NUL is the abstract namespace


def listen(settings: Settings) -> socket.socket:
    """The first socket, so that a taken port is known before anything is loaded. Raises StartError."""
    address = (settings.host, settings.port)
    try:
        with bind(address, shared=False) as free:  # a shared bind would join another server of ours on that port
            address = free.getsockname()[:2]
        return bind(address, shared=True)
    except OSError as error:
        where = f"{settings.host} port {settings.port}"
        raise StartError(f"cannot listen on {where}: {error.strerror}; try another --port, or 0 for any") from error


def bind(address: tuple[str, int], *, shared: bool) -> socket.socket:
    """`shared`: the kernel spreads connections over all sockets of one address. Kept open by the supervisor, a socket
    outlives its worker, and connections that wait in it are the next worker's."""
    bound = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound
