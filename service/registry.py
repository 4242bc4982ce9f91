"""The models that are served: loaded, proven, each with its batcher and its bounds; and whether the server is ready."""

import asyncio
import math
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any

from service import calibrate, memory, tracing
from service.admission import Admission, Pace
from service.batcher import Batcher
from service.bundle import Bundle
from service.calibrate import MOST, Plan
from service.errors import BundleError, DeadlineExceeded, Unavailable, UnknownModel
from service.health import Health
from service.isolation import Confinement
from service.lending import Lending
from service.logs import Log
from service.metrics import Metrics
from service.model import Model
from service.prompts import Prompts
from service.settings import Settings
from service.threads import Threads
from service.types import Parts, Row, Stages

BUSY = 0.2  # seconds after which an engine that was busy is asked again
RETRY = 1  # seconds; while loading or draining
Work = Generator[list[Row], Sequence[Row], dict[str, Any]]  # yields rows to run, is sent the graph's answers


class Served:
    """A proven model with what stands around it. Made in any thread, then belongs to the event loop."""

    def __init__(self, model: Model, plan: Plan, settings: Settings, metrics: Metrics, pool: Threads) -> None:
        self.model, self.plan = model, plan
        self.metrics = metrics.of(model.manifest.name)
        self.calibrated = False
        self.admission = Admission(settings.queue_items, settings.queue_bytes, settings.queue_seconds)
        self.inline = plan.inline if settings.engine == "auto" else settings.engine == "loop"
        self._settings, self._pool = settings, pool
        self._explaining = asyncio.Lock()
        self._several = cores() > 1
        self._example_bulk = model.bulk(model.example.parts)
        lanes = max(1, cores() // (settings.workers or 1)) if plan.heavy and model.engine.shared else 1
        self._engine = None if self.inline else Threads(lanes, f"engine-{model.manifest.name}")
        self.batcher: Batcher[Row, Row] = Batcher(
            model.run,
            size=self._batch(),
            engine=self._engine,
            lanes=lanes,
            observe=self.metrics.batch,
            joined=tracing.joined if settings.traces else None,
            fair=settings.keys is not None,
        )
        self._small: Batcher[tuple[Parts, Stages], Row] = Batcher(model.encode_all, size=MOST)
        batcher = self.batcher  # not self: a cycle would keep the model until the garbage is collected

        def run(row: Row, owner: str | None) -> Awaitable[Row]:
            return batcher(row, {}, owner=owner)

        self.prompts = Prompts(model, run, pool, settings) if model.zero_shot else None

    def take_over(self, before: "Served | None") -> None:
        """From here on it is what is served under its name. What the one before still holds counts as held."""
        if before is not None:
            self.admission = before.admission
        self._sized()
        self.metrics.watch(
            queue=lambda: len(self.batcher),
            queue_bytes=lambda: sum(array.nbytes for row in self.batcher.waiting for array in row.values()),
            held=lambda: self.admission.items,
            held_bytes=lambda: self.admission.bytes,
        )
        model = self.model
        self.metrics.about(
            model.manifest.version, model.bundle.variant or "", model.engine.providers[0], model.manifest.labels()
        )

    def retire(self, over: Callable[[], None]) -> None:
        """When the last request that holds it is over, its graphs are let go in a thread, for that takes a while.

        `over` is then called on the event loop.
        """
        loop, pool, engines = asyncio.get_running_loop(), self._pool, [self.model.engine, self.model.wide]

        def let_go() -> None:
            engines.clear()
            memory.trim()
            loop.call_soon_threadsafe(over)

        weakref.finalize(self.model, lambda: loop.call_soon_threadsafe(pool.submit, let_go)).atexit = False

    def _batch(self) -> int:
        return self.model.most or self._settings.batch or self.plan.batch

    def _sized(self) -> None:
        """A batch that takes so long that two of them are too much must get its rows all the same."""
        self.batcher.size = size = self._batch()
        lanes = self.batcher.lanes
        self.admission.pace = Pace(self.plan.pace(size, lanes))
        self.admission.full = 2 * size * lanes
        longest = 2 * size * self.plan.row(size)
        self.admission.floor = self.admission.full if longest > self._settings.queue_seconds else 2 * lanes

    async def encode(self, parts: Parts, stages: Stages, deadline: float) -> Row:
        """Short parts on the loop, with what else arrived in this turn; others in one job of the pool, not one each.
        Who is alone gets two.

        Raises DeadlineExceeded, and what the decoders raise.
        """
        if self.model.decoders is None and self.plan.inline_encode(self.model.bulk(parts) / self._example_bulk):
            return await self._small((parts, stages), {})
        try:
            async with asyncio.timeout(deadline - time.perf_counter()):
                run, model = asyncio.get_running_loop().run_in_executor, self.model
                shares = model.shares(parts) if self._several and self.admission.items == 1 else [list(parts)]
                jobs = [run(self._pool, model.encode_share, parts, share, stages) for share in shares]
                return model.whole(await asyncio.gather(*jobs))
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the parts were decoded") from error

    async def explain(self, work: Work, deadline: float) -> dict[str, Any]:
        """Gives `work` the answers to the rows it asks for, until it has its own. One at a time, and behind all others:
        what waits holds many rows. Raises DeadlineExceeded, and what the work or the graph raises.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline - time.perf_counter()), self._explaining:
                rows, answer = await loop.run_in_executor(self._pool, advanced, work, None)
                while answer is None:
                    runs = [self.batcher(row, {}, deadline=deadline, patient=True) for row in rows]
                    answers = await asyncio.gather(*runs)
                    rows, answer = await loop.run_in_executor(self._pool, advanced, work, answers)
                return answer
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the explanation was there") from error

    @property
    def threads(self) -> int:
        """Inside the graph, for a request that is alone."""
        return self.model.wide.threads if self.model.wide else 1

    async def widen(self) -> None:
        """A heavy graph gets all cores for who is alone."""
        threads = self._settings.threads or (cores() if self.plan.heavy and self.model.engine.shared else 1)
        if threads > 1 and not self.inline:
            await asyncio.get_running_loop().run_in_executor(self._pool.pool, self.model.widen, threads)
            self.batcher.alone = self.model.run_alone

    async def calibrate(self) -> None:
        """Measures larger batches while there is nothing else to do, and takes the largest that pays."""
        row = self.model.example.row
        loop, engine = asyncio.get_running_loop(), self._engine.pool if self._engine else None
        while (size := self.plan.next) and not self.model.most:
            if self.admission.items:
                await asyncio.sleep(BUSY)
                continue
            seconds = await loop.run_in_executor(engine, calibrate.rows, self.model, row, size)
            self.plan = self.plan.learn(size, seconds)
        self._sized()
        await loop.run_in_executor(engine, self.model.shrink)


def advanced(work: Work, answers: Sequence[Row] | None) -> tuple[list[Row], dict[str, Any] | None]:
    """The next rows to run, or what came out."""
    try:
        return (next(work) if answers is None else work.send(answers)), None
    except StopIteration as end:
        return [], end.value


def about(bundle: Bundle) -> dict[str, Any]:
    return {"model": bundle.manifest.name, "version": bundle.manifest.version}


def cores() -> int:
    return len(os.sched_getaffinity(0))


class Registry:
    def __init__(
        self,
        bundles: Sequence[Bundle],
        settings: Settings,
        metrics: Metrics,
        log: Log,
        lending: Lending | None = None,
    ) -> None:
        """`lending`: where there may be other workers."""
        self.bundles = {bundle.manifest.name: bundle for bundle in bundles}
        self.served: dict[str, Served] = {}
        self.draining = False
        self.leaving = 0  # models that were swapped out while requests still hold them
        self._settings, self._metrics, self._log = settings, metrics, log
        self._lending = lending
        self._pool = Threads(cores(), "encode")
        self.health = Health(settings.run_seconds, self._pool, log)

    def alive(self) -> None:
        """Raises Unavailable where this process should be replaced."""
        if self.health.failing:
            raise Unavailable(self.health.failing, retry_after=RETRY)

    def steady(self) -> None:
        """Raises Unavailable where it should be asked nothing."""
        self.alive()
        if self.draining:
            raise Unavailable("draining", retry_after=RETRY)
        if not self.bundles or len(self.served) < len(self.bundles):
            raise Unavailable("loading", retry_after=RETRY)

    @property
    def default(self) -> str:
        return next(iter(self.bundles), "")

    @property
    def workers(self) -> int:
        """How many processes are worth it: one a core, unless a graph is heavy enough to use all cores itself."""
        return 1 if any(served.plan.heavy for served in self.served.values()) else cores()

    def load(self) -> None:
        """Loads and proves all bundles; blocks, so call it in a thread. Raises BundleError, SettingsError."""
        for name, bundle in self.bundles.items():
            bundle.intact()
            with memory.bounded(self._settings.load_bytes):
                served = self.prepare(bundle)
            served.take_over(None)
            self.served[name] = served

    def prepare(self, bundle: Bundle) -> Served:
        """Loads and proves one; blocks, and changes nothing. Raises BundleError, SettingsError."""
        start = time.perf_counter()
        model = Model(
            bundle,
            limits=self._settings,
            providers=self._settings.providers,
            confinement=self._confinement(bundle.manifest.name),
            lending=self._lending,
        )
        model.prove()
        plan = calibrate.recall(self._settings.cache, model) or calibrate.quick(model)
        served = Served(model, plan, self._settings, self._metrics, self._pool)
        self.health.watch(served)
        self._log.info("loaded", {**about(bundle), "seconds": round(time.perf_counter() - start, 3)})
        return served

    def _confinement(self, name: str) -> Confinement | None:
        settings = self._settings
        if settings.decode_isolation == "off":
            return None
        lost = self._metrics.lost.labels(name).inc
        return Confinement(cores(), math.ceil(settings.decode_seconds), settings.decode_bytes, lost)

    def swap(self, prepared: Mapping[str, Served], names: Sequence[str]) -> None:
        """From this turn of the event loop on these models are served, in this order; the first is the default one.

        Requests that hold what was served until now finish on it.
        """
        before = self.served
        self.served = {name: prepared[name] if name in prepared else before[name] for name in names}
        self.bundles = {name: served.model.bundle for name, served in self.served.items()}
        for name, served in prepared.items():
            served.take_over(before.get(name))
        for name, old in before.items():
            if name not in self.served:
                self._metrics.forget(name)
            if self.served.get(name) is not old:
                self.leaving += 1
                old.retire(partial(self._left, about(old.model.bundle)))

    def _left(self, which: Mapping[str, Any]) -> None:
        self.leaving -= 1
        self._log.info("released", which)

    async def calibrate(self) -> None:
        """When all is ready: finds what is best for each model, and remembers it for the next start."""
        for name, served in self.served.items():
            if served.calibrated:
                continue
            try:
                await served.widen()
            except BundleError as error:
                self._log.warning("not widened", {"model": name, "error": str(error)})
            if served.plan.next:
                await served.calibrate()
                calibrate.remember(self._settings.cache, served.model, served.plan)
            served.calibrated = True
            self._log.info("calibrated", {"model": name, "threads": served.threads, "plan": str(served.plan)})

    def get(self, name: str | None) -> Served:
        """The model of that name, or the default one. Raises UnknownModel, Unavailable."""
        served = self.served.get(name or self.default)
        if served is not None:
            return served
        if (name or self.default) not in self.bundles:
            raise UnknownModel("no model of this name is served here" if name else "no model is served here")
        raise Unavailable("the model is still loading", retry_after=RETRY)
