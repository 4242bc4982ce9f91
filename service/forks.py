"""A function to a process that runs it: forked, so that imports are paid for once and their pages shared."""

import ctypes
import mmap
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

FORK = multiprocessing.get_context("fork")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # those that the supervisor reads


Number = TypeVar("Number", ctypes.c_int, ctypes.c_double)


def shared(kind: type[Number]) -> Number:
    """A number that children see, and change, in memory that has no file: multiprocessing's would need a disk."""
    return kind.from_buffer(mmap.mmap(-1, ctypes.sizeof(kind)))


def start(target: Callable[..., None], *arguments: Any) -> ForkProcess:
    """In the child signals do what they do by default, but SIGHUP does nothing: it is meant for the supervisor."""
    process = FORK.Process(target=child, args=(target, *arguments))
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child has handlers of its own
    process.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return process


def child(target: Callable[..., None], *arguments: Any) -> None:
    os.setpgrp()  # a terminal's Ctrl-C reaches the supervisor alone, which passes it on
    signal.set_wakeup_fd(-1)
    for sig in SIGNALS:
        signal.signal(sig, signal.SIG_IGN if sig == signal.SIGHUP else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    target(*arguments)
