"""Do engines and decoders still move? What does not, is found here; what waits for it is told so."""

import asyncio
import weakref
from typing import Protocol

from service.batcher import Batcher
from service.calibrate import Plan
from service.logs import Log
from service.model import Model
from service.threads import Threads
from service.types import Row

USUAL = 10  # times a long run of late, a run may take, if that is more than the operator's bound
FAILURES = 3  # batches in a row of which nothing came out; then the engine is asked for what it must know
GONE = "the model does not answer any more"


class Served(Protocol):
    model: Model
    plan: Plan
    batcher: Batcher[Row, Row]


class Health:
    """`seconds` are the operator's bound of one run, and of one upload's decoding."""

    def __init__(self, seconds: float, decoders: Threads, log: Log) -> None:
        self.failing = ""  # why this process should be replaced
        self._seconds, self._decoders, self._log = seconds, decoders, log
        self._watched: list[weakref.ref[Served]] = []  # those that were swapped out, too, while requests hold them
        self._proving: set[asyncio.Task[None]] = set()

    def watch(self, served: Served) -> None:
        """From any thread."""
        self._watched.append(weakref.ref(served))

    def look(self) -> None:
        """A few times a second, on the event loop."""
        for known in list(self._watched):
            served = known()
            if served is None:
                self._watched.remove(known)
                continue
            batcher = served.batcher
            batcher.expire()
            usual = max(batcher.usual, batcher.size * served.plan.row(batcher.size))
            if running(batcher) > max(self._seconds, USUAL * usual):
                self._fail(served, "a run does not end")
            elif batcher.failures >= FAILURES and not self._proving:
                batcher.failures = 0
                task = asyncio.create_task(self._prove(served))
                self._proving.add(task)
                task.add_done_callback(self._proving.discard)
        if self._decoders.longest > self._seconds and not self.failing:
            self._said("decoding does not end", {})

    async def _prove(self, served: Served) -> None:
        """Uploads that the graph cannot take must not end a process that is well: so its own example is run."""
        run, rows = served.model.run, [served.model.example.row]
        try:
            if served.batcher.engine is None:
                run(rows)
            else:
                await asyncio.get_running_loop().run_in_executor(served.batcher.engine, run, rows)
        except Exception:  # onnxruntime's exceptions share no base class
            self._fail(served, "it fails on its own example")

    def _fail(self, served: Served, why: str) -> None:
        served.batcher.give_up(GONE)
        if not self.failing:
            self._said(why, {"model": served.model.manifest.name})

    def _said(self, why: str, about: dict[str, str]) -> None:
        self.failing = why
        self._log.warning("failing", {**about, "why": why})


def running(batcher: Batcher[Row, Row]) -> float:
    """Seconds of its longest run; on the event loop it is the supervisor that notices."""
    return batcher.engine.longest if isinstance(batcher.engine, Threads) else 0.0
