"""What /metrics shows, by Prometheus' rules of naming: seconds, bytes, _total."""

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from service.types import Stages

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
TOGETHER = 64  # answers
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)

disable_created_metrics()  # type: ignore[no-untyped-call]  # timestamps of no use here, and not summable


class Metrics:
    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        by_model, by_stage = ["model"], ["model", "stage"]
        self.requests = Counter("braid_requests", "Answered requests.", ["model", "status"], registry=registry)
        self.seconds = Histogram(
            "braid_request_seconds", "From first byte to answer.", by_model, buckets=SECONDS, registry=registry
        )
        self.stages = Histogram(
            "braid_stage_seconds", "encode.<part>, queue, run, decode.", by_stage, buckets=SECONDS, registry=registry
        )
        self.batches = Histogram(
            "braid_batch_size", "Rows of one run of the graph.", by_model, buckets=SIZES, registry=registry
        )
        self.queue = Gauge("braid_queue_depth", "Requests that wait for a batch.", by_model, registry=registry)
        self.held = Gauge("braid_in_flight", "Requests from first byte to answer.", by_model, registry=registry)
        self.held_bytes = Gauge("braid_in_flight_bytes", "Bytes of their bodies.", by_model, registry=registry)
        self.disconnects = Counter(
            "braid_disconnects", "Clients that left before their answer.", by_model, registry=registry
        )
        self.keys = Counter(
            "braid_key_requests", "Answers by the name of the API key.", ["key", "status"], registry=registry
        )
        self._models: dict[str, ModelMetrics] = {}

    def of(self, model: str) -> "ModelMetrics":
        if model not in self._models:
            self._models[model] = ModelMetrics(self, model)
        return self._models[model]

    def render(self) -> bytes:
        for model in self._models.values():
            model.count()
        return generate_latest(self.registry)


class ModelMetrics:
    """One model's children, looked up once: a cached child costs a third of a labelled one."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics, self._model = metrics, model
        self._requests: dict[int, Counter] = {}
        self._stages: dict[str, Histogram] = {}
        self._seconds = metrics.seconds.labels(model)
        self._answers: list[tuple[int, float, Stages]] = []
        self.last = 0.0  # seconds since 1970: when this worker last answered
        self.batch: Callable[[float], None] = metrics.batches.labels(model).observe
        self.disconnect: Callable[[], None] = metrics.disconnects.labels(model).inc

    def watch(self, queue: Callable[[], float], held: Callable[[], float], held_bytes: Callable[[], float]) -> None:
        """Gauges that are read when they are scraped."""
        self._metrics.queue.labels(self._model).set_function(queue)
        self._metrics.held.labels(self._model).set_function(held)
        self._metrics.held_bytes.labels(self._model).set_function(held_bytes)

    def answered(self, status: int, seconds: float, stages: Stages) -> None:
        """Counted a little later, many at once: that takes half the time."""
        self._answers.append((status, seconds, stages))
        if len(self._answers) >= TOGETHER:
            self.count()

    def count(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            self.last = time.time()
        for answer in answers:
            self._count(*answer)

    def _count(self, status: int, seconds: float, stages: Stages) -> None:
        counter = self._requests.get(status)
        if counter is None:
            counter = self._requests[status] = self._metrics.requests.labels(self._model, str(status))
        counter.inc()
        self._seconds.observe(seconds)
        for stage, took in stages.items():
            histogram = self._stages.get(stage)
            if histogram is None:
                histogram = self._stages[stage] = self._metrics.stages.labels(self._model, stage)
            histogram.observe(took)


def merged(texts: Iterable[bytes]) -> bytes:
    """Several workers' expositions as one: samples of one name and one set of labels are summed."""
    registry = CollectorRegistry()
    registry.register(Sums(texts))
    return generate_latest(registry)


class Sums(Collector):
    def __init__(self, texts: Iterable[bytes]) -> None:
        self._families: dict[str, Metric] = {}
        sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        for text in texts:
            for family in text_string_to_metric_families(text.decode()):
                self._families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    key = sample.name, tuple(sample.labels.items())
                    if key not in sums:
                        self._families[family.name].samples.append(Sample(sample.name, sample.labels, 0.0))
                    sums[key] = sums.get(key, 0.0) + sample.value
        for metric in self._families.values():
            metric.samples = [
                sample._replace(value=sums[sample.name, tuple(sample.labels.items())]) for sample in metric.samples
            ]

    def collect(self) -> Iterable[Metric]:
        return self._families.values()
