"""What /metrics shows, by Prometheus' rules of naming: seconds, bytes, _total."""

import time
from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service import __version__
from service.messages import Change
from service.types import Stages

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
TOGETHER = 64  # answers
LABELS = 1000  # of a model that are counted one by one; the answers of one with more, not at all
NO_MODEL = "-"  # in place of a model's name: one that is not served here
GONE = 499  # nginx's status for a client that left; seen in metrics and logs only
Read = Callable[[], float]
RESULTS = ("failed", "done")
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

disable_created_metrics()  # type: ignore[no-untyped-call]  # timestamps of no use here, and not summable


class Answered(NamedTuple):
    """One request, when it is over."""

    status: int
    seconds: float
    stages: Stages
    parts: Iterable[str] = ()
    reason: str | None = None  # code of the refusal
    outputs: Mapping[str, Any] = {}  # output name -> its part of the answer


class Spread:
    """One child of a histogram: a fifth of the library's price, because only the event loop touches it."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Spreads(Collector):
    """A histogram with labels, shown as the library shows its own."""

    def __init__(self, name: str, about: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._about = name, about, labels
        self._bounds = bounds
        self._edges = [*map(str, map(float, bounds)), "+Inf"]
        self._children: dict[tuple[str, ...], Spread] = {}

    def labels(self, *values: str) -> Spread:
        child = self._children.get(values)
        return child if child is not None else self._children.setdefault(values, Spread(self._bounds))

    def collect(self) -> Iterable[Metric]:
        name, about, labels = self._about
        family = HistogramMetricFamily(name, about, labels=labels)
        for values, child in list(self._children.items()):  # another thread may be loading a model
            buckets = list(zip(self._edges, accumulate(child.counts), strict=True))
            family.add_metric(values, buckets, child.total)
        yield family


def changes(registry: CollectorRegistry) -> Counter:
    """All its children are there from the first scrape on, so that the first failure is an increase."""
    name, about = "braid_model_changes", "Reloads, loads and unloads of models."
    counter = Counter(name, about, ["change", "result"], registry=registry)
    for change in get_args(Change):
        for result in RESULTS:
            counter.labels(change, result)
    return counter


class Metrics:
    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        by_model, by_stage, by_outcome = ["model"], ["model", "stage"], ["model", "outcome"]
        self.requests = Counter("braid_requests", "Answered requests.", ["model", "status"], registry=registry)
        self.seconds = Spreads("braid_request_seconds", "From first byte to answer.", by_outcome, SECONDS)
        self.stages = Spreads(
            "braid_stage_seconds", "read, encode.<part>, queue, run, decode, explain.", by_stage, SECONDS
        )
        self.confidence = Spreads("braid_confidence", "Score of the best label.", ["model", "output"], SHARES)
        for spreads in (self.seconds, self.stages, self.confidence):
            registry.register(spreads)
        self.rejects = Counter("braid_rejects", "Refusals by their code.", ["model", "reason"], registry=registry)
        self.lost = Counter(
            "braid_decoders_lost", "Decoding processes that an upload has broken.", by_model, registry=registry
        )
        self.parts = Counter("braid_parts", "Parts that were sent.", ["model", "part"], registry=registry)
        self.predictions = Counter(
            "braid_predictions", "Answers by their best label.", ["model", "output", "label"], registry=registry
        )
        self.info = Gauge(
            "braid_model_info", "What is served.", ["model", "version", "variant", "provider"], registry=registry
        )
        Gauge("braid_build_info", "What serves.", ["version"], registry=registry).labels(__version__).set(1)
        self.workers = Gauge("braid_workers", "Processes that serve.", registry=registry)
        self.workers.set(1)
        self.last = Gauge(
            "braid_last_answer_timestamp_seconds", "When it last answered, since 1970.", by_model, registry=registry
        )
        self.batches = Histogram(
            "braid_batch_size", "Rows of one run of the graph.", by_model, buckets=SIZES, registry=registry
        )
        self.queue = Gauge("braid_queue_depth", "Requests that wait for a batch.", by_model, registry=registry)
        self.queue_bytes = Gauge("braid_queue_bytes", "Bytes of their tensors.", by_model, registry=registry)
        self.held = Gauge("braid_in_flight", "Requests from first byte to answer.", by_model, registry=registry)
        self.held_bytes = Gauge("braid_in_flight_bytes", "Bytes of their bodies.", by_model, registry=registry)
        self.disconnects = Counter(
            "braid_disconnects", "Clients that left before their answer.", by_model, registry=registry
        )
        self.connections = Gauge("braid_connections", "Open connections.", registry=registry)
        self.refused = Counter(
            "braid_connections_refused", "Connections that were refused or cut.", ["reason"], registry=registry
        )
        self.keys = Counter(
            "braid_key_requests", "Answers by the name of the API key.", ["key", "status"], registry=registry
        )
        self.changes = changes(registry)
        self._models: dict[str, ModelMetrics] = {}

    def of(self, model: str) -> "ModelMetrics":
        if model not in self._models:
            self._models[model] = ModelMetrics(self, model)
        return self._models[model]

    def stray(self, status: int, reason: str | None) -> None:
        """An answer to a request that is for no model which is served here."""
        self.requests.labels(NO_MODEL, str(status)).inc()
        if reason:
            self.rejects.labels(NO_MODEL, reason).inc()

    def changed(self, change: Change, *, done: bool) -> None:
        self.changes.labels(change, RESULTS[done]).inc()

    def forget(self, model: str) -> None:
        """It is served no more: its counters stay, its gauges go."""
        self._models[model].over()

    def render(self) -> bytes:
        for model in self._models.values():
            model.count()
        return generate_latest(self.registry)


class ModelMetrics:
    """One model's children, looked up once: a cached child costs a third of a labelled one."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics, self._model = metrics, model
        self._children: dict[tuple[Counter, tuple[str, ...]], Counter] = {}
        self._stages: dict[str, Spread] = {}
        self._seconds: dict[str, Spread] = {}
        self._answers: list[Answered] = []
        self._labels: Mapping[str, frozenset[str]] = {}
        self._about: tuple[str, ...] | None = None
        self.outcome("ok")  # there from the first scrape on, as all that is always needed
        self.batch: Callable[[float], None] = metrics.batches.labels(model).observe
        self.disconnect: Callable[[], None] = metrics.disconnects.labels(model).inc

    def outcome(self, name: str) -> Spread:
        spread = self._seconds.get(name)
        if spread is None:
            spread = self._seconds[name] = self._metrics.seconds.labels(self._model, name)
        return spread

    def watch(self, queue: Read, queue_bytes: Read, held: Read, held_bytes: Read) -> None:
        """Gauges that are read when they are scraped."""
        metrics = self._metrics
        gauges = metrics.queue, metrics.queue_bytes, metrics.held, metrics.held_bytes
        for gauge, read in zip(gauges, (queue, queue_bytes, held, held_bytes), strict=True):
            gauge.labels(self._model).set_function(read)

    def about(self, version: str, variant: str, provider: str, labels: Mapping[str, Sequence[str]]) -> None:
        """`labels`: of each output, as the manifest has them; a client's own words are never counted."""
        if self._about:
            self._metrics.info.remove(*self._about)
        self._about = self._model, version, variant, provider
        self._metrics.info.labels(*self._about).set(1)
        self._labels = {output: frozenset(names) for output, names in labels.items() if len(names) <= LABELS}

    def over(self) -> None:
        metrics = self._metrics
        for gauge in (metrics.queue, metrics.queue_bytes, metrics.held, metrics.held_bytes):
            gauge.remove(self._model)
        if self._about:
            self._metrics.info.remove(*self._about)
        self._about = None

    def answered(self, answered: Answered) -> None:
        """Counted a little later, many at once: that takes half the time."""
        self._answers.append(answered)
        if len(self._answers) >= TOGETHER:
            self.count()

    def count(self) -> None:
        answers, self._answers = self._answers, []
        if not answers:
            return
        self._metrics.last.labels(self._model).set(time.time())
        for answer in answers:
            self.outcome(outcome(answer.status)).observe(answer.seconds)
            self._time(answer.stages)
        metrics = self._metrics
        self._add(metrics.requests, Tally((str(answer.status),) for answer in answers))
        self._add(metrics.parts, Tally((part,) for answer in answers for part in answer.parts))
        self._add(metrics.rejects, Tally((answer.reason,) for answer in answers if answer.reason))
        self._add(metrics.predictions, Tally(best for answer in answers for best in self._best(answer.outputs)))

    def _add(self, counter: Counter, tally: Mapping[tuple[str, ...], int]) -> None:
        for labels, count in tally.items():
            key = counter, labels
            child = self._children.get(key)
            if child is None:
                child = self._children[key] = counter.labels(self._model, *labels)
            child.inc(count)

    def _time(self, stages: Stages) -> None:
        for stage, took in stages.items():
            spread = self._stages.get(stage)
            if spread is None:
                spread = self._stages[stage] = self._metrics.stages.labels(self._model, stage)
            spread.observe(took)

    def _best(self, outputs: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """Output and label, of those whose labels are known; their score is observed on the way."""
        for output, known in self._labels.items():
            said = outputs.get(output)
            if said is None:
                continue
            best = [said] if "label" in said else said.get("labels", said.get("detections", ()))
            for one in best:
                if one["label"] in known:
                    self._metrics.confidence.labels(self._model, output).observe(one["score"])
                    yield output, one["label"]


def outcome(status: int) -> str:
    """Of the server's view: a refusal is quick, and must not make the answers look so."""
    if status < 400:
        return "ok"
    return "left" if status == GONE else "refused" if status < 500 else "failed"
