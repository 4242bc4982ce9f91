"""A change of what is served, tried in a process of its own: what hangs, crashes or eats memory there harms nobody."""

import math
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from service import folders, forks, logs, memory
from service.bundle import Bundle
from service.errors import BraidError, BundleError, UnknownModel
from service.messages import Wish
from service.model import Model
from service.settings import Settings

MEEK = 10  # niceness: requests come first
FIRST = "1000"  # of all processes the one to be killed where the machine's memory ends
Target = tuple[Bundle, ...]


class Closable(Protocol):
    def close(self) -> None: ...


class Trial:
    """Runs from when it is made until it is over or stopped."""

    def __init__(self, settings: Settings, wish: Wish, served: Target, inherited: Sequence[Closable]) -> None:
        """`inherited`: what it must not hold open, lest others wait for its end."""
        self._seconds = settings.load_seconds
        self._end = time.monotonic() + self._seconds
        self.pipe, theirs = forks.FORK.Pipe(duplex=False)
        self._process = forks.start(attempt, settings, wish, served, theirs, [self.pipe, *inherited])
        theirs.close()

    @property
    def over(self) -> bool:
        return self.pipe.poll() or not self._process.is_alive() or time.monotonic() > self._end

    def result(self) -> Target:
        """What is to be served. Raises BraidError: what was wrong with it, or how the trial ended."""
        try:
            said: Target | BraidError = self.pipe.recv() if self.pipe.poll() else self._ended()
        except (EOFError, OSError):
            said = self._ended()
        if isinstance(said, BraidError):
            raise said
        return said

    def _ended(self) -> BraidError:
        if time.monotonic() > self._end:
            return BundleError(f"loading took longer than BRAID_LOAD_SECONDS ({self._seconds:g})")
        self._process.join()
        code = self._process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return BundleError(f"loading ended the process that tried it ({how}): it needs more memory, or is broken")

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def attempt(settings: Settings, wish: Wish, served: Target, pipe: Connection, inherited: Sequence[Closable]) -> None:
    """The trial's process, from its first moment."""
    for one in inherited:
        one.close()
    logs.silence()
    signal.alarm(math.ceil(settings.load_seconds) + 1)  # ends it even where nobody is left who would
    os.nice(MEEK)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST)
    try:
        found = wanted(settings, wish, served)
        for bundle in found:
            if bundle not in served:
                with memory.bounded(settings.load_bytes):
                    Model(bundle, limits=settings, providers=settings.providers).prove()
    except BraidError as error:
        pipe.send(type(error)(short(str(error), settings)))
    except Exception as error:  # whatever it is, the operator is to see it
        pipe.send(BundleError(f"loading failed: {error!r}"))
    else:
        pipe.send(found)


def short(text: str, settings: Settings) -> str:
    """Folders by their own names: where they lie is nothing for clients."""
    for folder in folders.folders(settings.bundles):
        text = text.replace(str(folder), folder.name)
    return text


def wanted(settings: Settings, wish: Wish, served: Target) -> Target:
    """What is to be served once the wish is fulfilled. Raises UnknownModel, BundleError."""
    if wish.change == "reload":
        return tuple(folders.find(settings))
    if wish.change == "load":
        fresh = folders.find_one(settings, wish.name)
        if any(bundle.manifest.name == wish.name for bundle in served):
            return tuple(fresh if bundle.manifest.name == wish.name else bundle for bundle in served)
        return (*served, fresh)
    rest = tuple(bundle for bundle in served if bundle.manifest.name != wish.name)
    if len(rest) == len(served):
        raise UnknownModel("no model of this name is served here")
    return rest
