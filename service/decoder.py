"""The process that decodes for a serving process: `python -m service.decoder FD`, started by service.isolation.

It loads what the manifest's inputs need, then forks a child each time it is asked to, and hands over its socket.
It never sees an upload itself. A child holds no socket but its own, no key and no setting, may write no file, and has
bounds on memory and processor time; what breaks it breaks nothing else.
"""

import ctypes
import math
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from service import frames, memory
from service.errors import RequestError
from service.inputs import Audio, Image
from service.kinds import Input
from service.limits import Limits
from service.types import Row

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38  # prctl(2)
FILES = 64  # descriptors
MOST = 2**31  # bytes of a part; the serving process has counted them
Work = Mapping[str, Callable[[bytes], Row]]  # "encode.<part>", "bare.<part>" -> what it does


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    memory.keep_little()
    quiet()
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))  # the loading of a model may be bounded
    with suppress(frames.Broken):  # the serving process is gone
        about, _ = frames.receive(control, 0)
        work = load(about)
        frames.send(control, {"ready": True})
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead need no burial
        while control.recv(1):
            fork(control, work, about["seconds"], about["bytes"])


def load(about: Mapping[str, Any]) -> Work:
    inputs = TypeAdapter(dict[str, Input]).validate_python(about["inputs"])
    limits, folder = Limits.model_validate(about["limits"]), Path(about["folder"])
    work: dict[str, Callable[[bytes], Row]] = {}
    for name, spec in inputs.items():
        work[f"encode.{name}"] = spec.load(folder, limits)
        if isinstance(spec, Image | Audio):
            work[f"bare.{name}"] = lambda data, spec=spec: {"bare": spec.bare(data, limits)}  # type: ignore[misc]  # mypy#12557
    return work


def fork(control: socket.socket, work: Work, seconds: int, size: int) -> None:
    """A child, whose socket and process descriptor go to the serving process."""
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            control.close()
            theirs.close()
            confine(size, parent)
            answer(ours, work, seconds)
        finally:
            os._exit(0)
    handle = os.pidfd_open(child)
    socket.send_fds(control, [b"c"], [theirs.fileno(), handle])
    os.close(handle)
    ours.close()
    theirs.close()


def quiet() -> None:
    """What libraries print goes nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    if nowhere > 2:
        os.close(nowhere)


def confine(size: int, parent: int) -> None:
    libc = ctypes.CDLL("libc.so.6")
    for option, value in ((PR_SET_PDEATHSIG, signal.SIGKILL), (PR_SET_NO_NEW_PRIVS, 1), (PR_SET_DUMPABLE, 0)):
        libc.prctl(option, value, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)  # it died before it could be said what to do then
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_AS: memory.mapped() + size,
    }
    for limit, most in bounds.items():
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))


def answer(asking: socket.socket, work: Work, seconds: int) -> None:
    """One part after another, until nobody asks."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with suppress(frames.Broken):
        while True:
            asked, data = frames.receive(asking, MOST)
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))
            try:
                row = work[asked["work"]](bytes(data))
            except RequestError as error:
                frames.send(asking, {"refused": error.code, "detail": error.detail, "limit": error.limit})
            except Exception as error:  # a decoder's bug that an upload has found, or no memory left
                frames.send(asking, {"failed": type(error).__name__})
            else:
                frames.send_row(asking, row)


if __name__ == "__main__":
    main()
