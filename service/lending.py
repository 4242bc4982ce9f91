"""What one worker has made and its siblings need as well: open files, lent over a socket that has no place on a disk.

Whoever binds the name first makes it; the others wait for it, and make it themselves where that fails.
"""

import errno
import hashlib
import os
import socket
import struct
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, TypeVar

PATIENCE = 60.0  # seconds for what another makes
PAUSE = 0.01  # seconds between a name that is bound and its owner, who listens
CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Lent(Protocol):
    @property
    def files(self) -> tuple[int, ...]: ...


T = TypeVar("T", bound=Lent)


class Lending:
    """Among processes that know the same random `family`."""

    def __init__(self, family: str) -> None:
        self._family = family

    def get(self, name: str, make: Callable[[], T], adopt: Callable[[tuple[int, ...]], T]) -> T:
        """What a sibling has of that name, by `adopt`, which then owns the files; or what `make` makes, lent while it
        lives. Raises what they raise.
        """
        digest = hashlib.sha256(name.encode()).hexdigest()
        address, end = f"\0braid-{self._family}-{digest[:32]}", time.monotonic() + PATIENCE
        while time.monotonic() < end:
            offer = socket.socket(socket.AF_UNIX)
            try:
                offer.bind(address)
            except OSError as error:
                offer.close()
                if error.errno != errno.EADDRINUSE:  # no name is to be had: not on Linux, or in a sandbox
                    break
                if files := borrowed(address, end):
                    return adopt(files)
                time.sleep(PAUSE)
                continue
            offer.listen()
            try:
                made = make()
            except BaseException:
                offer.close()
                raise
            threading.Thread(target=lend, args=(offer, weakref.ref(made)), name="lending", daemon=True).start()
            weakref.finalize(made, shut, offer).atexit = False
            return made
        return make()


def lend(offer: socket.socket, made: "weakref.ref[Lent]") -> None:
    """To all who ask, until it is shut."""
    with offer:
        while True:
            try:
                peer, _ = offer.accept()
            except OSError:
                return
            with peer, suppress(OSError):
                if (held := made()) and ours(peer):
                    socket.send_fds(peer, [b"f"], held.files)
            held = None  # a thread that waits keeps nothing alive


def shut(offer: socket.socket) -> None:
    with suppress(OSError):
        offer.shutdown(socket.SHUT_RDWR)


def borrowed(address: str, end: float) -> tuple[int, ...]:
    """Empty where the owner has failed, or is not one of ours."""
    with socket.socket(socket.AF_UNIX) as sibling:
        try:
            sibling.connect(address)
            if not ours(sibling):
                return ()
            sibling.settimeout(max(PAUSE, end - time.monotonic()))
            _, files, _, _ = socket.recv_fds(sibling, 1, 4)
        except OSError:
            return ()
    return tuple(files)


def ours(peer: socket.socket) -> bool:
    """Whether it is a process of the same user: names of sockets can be seen by all."""
    said = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    return bool(CREDENTIALS.unpack(said)[1] == os.getuid())
