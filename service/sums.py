"""Several workers' metrics to one view of them."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

NOT_SUMMED = {  # over the workers
    "braid_build_info": max,
    "braid_model_info": max,
    "braid_last_answer_timestamp_seconds": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
}


def plus(one: float, other: float) -> float:
    return one + other


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
                    join = NOT_SUMMED.get(sample.name, plus)
                    sums[key] = join(sums[key], sample.value) if key in sums else sample.value
        for metric in self._families.values():
            metric.samples = [
                sample._replace(value=sums[sample.name, tuple(sample.labels.items())]) for sample in metric.samples
            ]

    def collect(self) -> Iterable[Metric]:
        return self._families.values()
