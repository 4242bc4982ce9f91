"""One change of what is served after the other: tried first, prepared by all workers, then made by all, or by none."""

import time
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from service.bundle import Bundle
from service.errors import BundleError, StartError, UnknownModel
from service.logs import Log
from service.messages import (
    Abort,
    Answer,
    Asked,
    Commit,
    Committed,
    Count,
    Order,
    Outcome,
    Place,
    Prepare,
    Prepared,
    Wish,
)
from service.settings import Settings
from service.trial import Closable, Target, Trial

MOST = 16  # wishes that wait
PATIENCE = 30  # seconds; a worker that does not swap what it has prepared is no reason to wait any longer
BUSY = Outcome(error="too many changes wait for their turn", status=503)
STOPPING = Outcome(error="the server is stopping", status=503)
T = TypeVar("T")
Steps = Generator[None, None, T]  # yields where it waits for something to happen


class Crew(Protocol):
    """The workers."""

    def ready(self) -> Mapping[int, int]:
        """Those that serve: index -> process id."""

    def loading(self) -> bool:
        """Whether there are others, that will serve soon."""

    def tell(self, index: int, order: Order) -> None: ...

    def inherited(self) -> Sequence[Closable]:
        """What a child of the supervisor holds of it."""


@dataclass(frozen=True)
class Asker:
    """Who waits for an answer: a worker's index and process id, and its number for the question."""

    index: int
    process: int
    number: int


class Changes:
    def __init__(self, served: Sequence[Bundle], settings: Settings, log: Log) -> None:
        self.served: Target = tuple(served)  # what a worker that starts now is to load
        self.settling = False  # no worker may start now: it would miss the change
        self.waits: list[Connection] = []  # that something can be read from it is worth a call of `go`
        self._settings, self._log = settings, log
        self._wishes: deque[tuple[Wish, Asker | None]] = deque()
        self._going: Steps[None] | None = None
        self._number = 0
        self._said: dict[int, Prepared | Committed] = {}  # by worker, to what it was told last

    @property
    def busy(self) -> bool:
        return self._going is not None

    def wish(self, wish: Wish) -> None:
        """An operator's at this machine, who looks for the answer in the log. The same one twice is one."""
        if (wish, None) not in self._wishes:
            self._wishes.append((wish, None))

    def heard(self, index: int, process: int, said: Asked | Prepared | Committed, crew: Crew) -> None:
        if not isinstance(said, Asked):
            if said.number == self._number:
                self._said[index] = said
        elif len(self._wishes) < MOST:
            self._wishes.append((said.wish, Asker(index, process, said.number)))
        else:
            crew.tell(index, Answer(said.number, BUSY))

    def go(self, crew: Crew) -> None:
        """As far as it can now. To be called when something has happened, and when some time has passed."""
        while self._going or self._wishes:
            self._going = self._going or self._change(*self._wishes.popleft(), crew)
            try:
                next(self._going)
            except StopIteration:
                self._going = None
            else:
                return

    def stop(self, crew: Crew) -> None:
        """Nothing changes any more."""
        wishes = list(self._wishes)
        self._wishes.clear()
        if self._going:
            self._going.close()
        for _, asker in wishes:
            self._answer(asker, STOPPING, crew)

    def _change(self, wish: Wish, asker: Asker | None, crew: Crew) -> Steps[None]:
        start, before = time.monotonic(), self.served
        try:
            target = yield from self._tried(wish, crew)
            if target != before:
                yield from self._made(target, crew)
            outcome = compared(before, target)
        except UnknownModel as error:
            outcome = Outcome(error=error.detail, status=UnknownModel.status)
        except StartError as error:
            outcome = Outcome(error=str(error), status=422)
        except GeneratorExit:
            self._answer(asker, STOPPING, crew)
            raise
        said: dict[str, Any] = {"change": wish.change} | ({"model": wish.name} if wish.name else {})
        if outcome.error:
            self._log.warning("not changed", {**said, "error": outcome.error})
        else:
            found = {"loaded": outcome.loaded, "unloaded": outcome.unloaded, "kept": outcome.kept}
            self._log.info("changed", {**said, **found, "seconds": round(time.monotonic() - start, 3)})
        if ready := crew.ready():
            crew.tell(min(ready), Count(wish.change, not outcome.error))
        self._answer(asker, outcome, crew)

    def _answer(self, asker: Asker | None, outcome: Outcome, crew: Crew) -> None:
        if asker and crew.ready().get(asker.index) == asker.process:
            crew.tell(asker.index, Answer(asker.number, outcome))

    def _tried(self, wish: Wish, crew: Crew) -> Steps[Target]:
        trial = Trial(self._settings, wish, self.served, crew.inherited())
        self.waits = [trial.pipe]
        try:
            while not trial.over:
                yield
            return trial.result()
        finally:
            self.waits = []
            trial.stop()

    def _made(self, target: Target, crew: Crew) -> Steps[None]:
        """Raises BundleError where a worker could not follow; then none of them does."""
        self.settling = True
        try:
            while crew.loading():
                yield
            self._number += 1
            workers = dict(crew.ready())
            fresh = [bundle for bundle in target if bundle not in self.served]
            places = tuple(Place(str(bundle.folder), bundle.digest) for bundle in fresh)
            try:
                yield from self._prepared(workers, places, crew)
            except BundleError:
                for index in crew.ready():
                    crew.tell(index, Abort(self._number))
                raise
            self.served = target  # from here on there is no way back: who starts now loads these
            yield from self._committed(workers, tuple(bundle.manifest.name for bundle in target), crew)
        finally:
            self.settling = False

    def _prepared(self, workers: Mapping[int, int], places: tuple[Place, ...], crew: Crew) -> Steps[None]:
        end = time.monotonic() + self._settings.load_seconds
        self._tell(workers, Prepare(self._number, places), crew)
        while True:
            for said in self._said.values():
                if isinstance(said, Prepared) and said.error:
                    raise BundleError(said.error)
            if self._said.keys() == workers.keys():
                return
            if crew.ready() != workers:
                raise BundleError("a worker died while it loaded what is new")
            if time.monotonic() > end:
                raise BundleError("a worker needed longer than BRAID_LOAD_SECONDS for what is new")
            yield

    def _committed(self, workers: Mapping[int, int], names: tuple[str, ...], crew: Crew) -> Steps[None]:
        """Who dies meanwhile needs no telling any more."""
        end = time.monotonic() + PATIENCE
        self._tell(workers, Commit(self._number, names), crew)
        while time.monotonic() < end:
            living = {index for index, process in crew.ready().items() if workers.get(index) == process}
            if living <= self._said.keys():
                return
            yield

    def _tell(self, workers: Mapping[int, int], order: Order, crew: Crew) -> None:
        self._said.clear()
        for index in workers:
            crew.tell(index, order)


def compared(before: Target, after: Target) -> Outcome:
    names = {bundle.manifest.name for bundle in after}
    return Outcome(
        loaded=tuple(named(bundle) for bundle in after if bundle not in before),
        unloaded=tuple(named(bundle) for bundle in before if bundle.manifest.name not in names),
        kept=tuple(named(bundle) for bundle in after if bundle in before),
    )


def named(bundle: Bundle) -> tuple[str, str]:
    return bundle.manifest.name, bundle.manifest.version
