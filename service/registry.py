"""The models that are served: loaded, proven, each with its batcher and its bounds; and whether the server is ready."""

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from service.admission import Admission
from service.batcher import Batcher
from service.bundle import MANIFEST, Bundle
from service.bundle import read as read_bundle
from service.errors import BundleError, Unavailable, UnknownModel
from service.logs import Log
from service.metrics import Metrics
from service.model import Model
from service.settings import Settings
from service.types import Parts, Row, Stages

INLINE_ENCODE = 0.001  # seconds; below, a thread hop costs more than it gives
INLINE_RUN = 0.0005  # seconds of one row; below, the graph runs on the event loop itself
ENOUGH = 0.05  # seconds of measuring at the start
HEAVY_RUN = 0.01  # seconds of one row; above, threads inside the graph beat processes around it
RETRY = 1  # seconds; while loading or draining


class Served:
    """A proven model with what stands around it. All but `load` belongs to the event loop."""

    def __init__(self, model: Model, settings: Settings, metrics: Metrics, pool: ThreadPoolExecutor) -> None:
        self.model = model
        self.metrics = metrics.of(model.manifest.name)
        self.admission = Admission(settings.queue_items, settings.queue_bytes)
        self.encode_seconds, self.run_seconds = timed(model)
        self._pool = pool
        self._example_bytes = sum(map(len, model.bundle.example()[0].values()))
        self.inline = self.run_seconds < INLINE_RUN
        self.heavy = self.run_seconds > HEAVY_RUN
        self.batcher: Batcher[Row, Row] = Batcher(
            model.run,
            size=min(settings.batch, model.most or settings.batch),
            engine=None if self.inline else ThreadPoolExecutor(1, f"engine-{model.manifest.name}"),
            observe=self.metrics.batch,
        )
        self.metrics.watch(lambda: len(self.batcher), lambda: self.admission.items, lambda: self.admission.bytes)

    async def encode(self, parts: Parts, stages: Stages) -> Row:
        """On the loop if it is short, else in one job of the pool, never one a part."""
        size = sum(map(len, parts.values()))
        if self.encode_seconds * size < INLINE_ENCODE * self._example_bytes:
            return self.model.encode(parts, stages)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.model.encode, parts, stages)


def cores() -> int:
    return len(os.sched_getaffinity(0))


def timed(model: Model) -> tuple[float, float]:
    """Processor seconds to encode and to run the example, warm: the best of a few, whatever else the machine does."""
    parts, _, _ = model.bundle.example()
    encodes: list[float] = []
    runs: list[float] = []
    while not runs or (len(runs) < 5 and sum(encodes) + sum(runs) < ENOUGH):
        start = time.thread_time()
        row = model.encode(parts, {})
        middle = time.thread_time()
        model.run([row])
        encodes.append(middle - start)
        runs.append(time.thread_time() - middle)
    return min(encodes), min(runs)


class Registry:
    def __init__(self, bundles: Sequence[Bundle], settings: Settings, metrics: Metrics, log: Log) -> None:
        """Raises BundleError if two bundles have one name."""
        self.bundles = {bundle.manifest.name: bundle for bundle in bundles}
        if len(self.bundles) < len(bundles):
            raise BundleError(
                "two bundles have the same name: " + ", ".join(bundle.manifest.name for bundle in bundles)
            )
        self.served: dict[str, Served] = {}
        self.draining = False
        self._settings, self._metrics, self._log = settings, metrics, log
        self._pool = ThreadPoolExecutor(cores(), "encode")

    @property
    def ready(self) -> bool:
        return bool(self.bundles) and len(self.served) == len(self.bundles) and not self.draining

    @property
    def default(self) -> str:
        return next(iter(self.bundles))

    @property
    def workers(self) -> int:
        """How many processes are worth it: one a core, unless a graph is heavy enough to use all cores itself."""
        return 1 if any(served.heavy for served in self.served.values()) else cores()

    def load(self) -> None:
        """Loads and proves all bundles; blocks, so call it in a thread. Raises BundleError, SettingsError."""
        for name, bundle in self.bundles.items():
            start = time.perf_counter()
            model = Model(
                bundle, limits=self._settings, providers=self._settings.providers, threads=self._settings.threads or 1
            )
            model.prove()
            served = Served(model, self._settings, self._metrics, self._pool)
            self.served[name] = served
            self._log.info(
                "loaded",
                {
                    "model": name,
                    "version": bundle.manifest.version,
                    "seconds": round(time.perf_counter() - start, 3),
                    "encode_us": round(served.encode_seconds * 1e6),
                    "run_us": round(served.run_seconds * 1e6),
                    "runs": "on the event loop" if served.inline else "in an engine thread",
                },
            )

    def get(self, name: str | None) -> Served:
        """The model of that name, or the default one. Raises UnknownModel, Unavailable."""
        served = self.served.get(name or self.default)
        if served is not None:
            return served
        if name and name not in self.bundles:
            raise UnknownModel("no model of this name is served here")
        raise Unavailable("the model is still loading", retry_after=RETRY)


def find(paths: Sequence[Path]) -> list[Bundle]:
    """Bundles at these paths; a folder without a manifest stands for the bundles in it. Raises BundleError."""
    if not paths:
        raise BundleError("no bundle given; try: braid serve models/bundles/digits")
    found = []
    for path in paths:
        inside = sorted(file.parent for file in path.glob(f"*/{MANIFEST}")) if not (path / MANIFEST).exists() else []
        found += [read_bundle(folder) for folder in inside or [path]]
    return found
