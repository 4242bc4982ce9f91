"""What /metrics shows."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics, merged


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(text.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def used(statuses: list[int]) -> Metrics:
    metrics = Metrics()
    model = metrics.of("m")
    model.watch(lambda: 3, lambda: 2, lambda: 1000)
    for status in statuses:
        model.answered(status, 0.01, {"encode.text": 0.002, "queue": 0.001, "run": 0.004, "decode": 0.0001})
        model.batch(4)
    model.disconnect()
    return metrics


def test_every_name_says_whose_and_in_which_unit_it_is() -> None:
    for family in text_string_to_metric_families(used([200]).render().decode()):
        assert family.name.startswith("braid_")
        assert family.documentation
        assert "milli" not in family.name


def test_requests_are_counted_by_status_and_stages_timed() -> None:
    found = samples(used([200, 200, 422]).render())
    assert found["braid_requests_total", frozenset({("model", "m"), ("status", "200")})] == 2
    assert found["braid_requests_total", frozenset({("model", "m"), ("status", "422")})] == 1
    assert found["braid_stage_seconds_count", frozenset({("model", "m"), ("stage", "encode.text")})] == 3
    assert found["braid_batch_size_sum", frozenset({("model", "m")})] == 12
    assert found["braid_disconnects_total", frozenset({("model", "m")})] == 1


def test_gauges_are_read_when_they_are_scraped() -> None:
    found = samples(used([]).render())
    assert [found[f"braid_{name}", frozenset({("model", "m")})] for name in GAUGES] == [3, 2, 1000]


GAUGES = ("queue_depth", "in_flight", "in_flight_bytes")


def test_asking_twice_for_a_model_does_not_count_twice() -> None:
    metrics = Metrics()
    assert metrics.of("m") is metrics.of("m")


@given(st.lists(st.lists(st.sampled_from([200, 422, 429, 500]), max_size=5), min_size=1, max_size=4))
def test_workers_are_summed(workers: list[list[int]]) -> None:
    texts = [used(statuses).render() for statuses in workers]
    together = samples(merged(texts))
    singles = [samples(text) for text in texts]
    assert together.keys() == {key for single in singles for key in single}
    for key, value in together.items():
        assert abs(value - sum(single.get(key, 0) for single in singles)) < 1e-9
