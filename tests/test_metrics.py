"""What /metrics shows."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.bundle import Bundle
from service.metrics import Answered, Metrics, Spreads
from service.sums import NOT_SUMMED, merged
from tests import senses
from tests.process import eventually, serve


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(text.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def used(statuses: list[int]) -> Metrics:
    metrics = Metrics()
    model = metrics.of("m")
    model.watch(lambda: 3, lambda: 500, lambda: 2, lambda: 1000)
    model.about("7", "fp16", "CPU", {"animal": ["cat", "dog"]})
    for status in statuses:
        stages = {"encode.text": 0.002, "queue": 0.001, "run": 0.004, "decode": 0.0001}
        outputs = {"animal": {"label": "cat", "score": 0.75}, "free": {"label": "secret", "score": 0.5}}
        good = status == 200
        model.answered(Answered(status, 0.01, stages, ["text"], None if good else "full", outputs if good else {}))
        model.batch(4)
    model.disconnect()
    return metrics


def test_every_name_says_whose_and_in_which_unit_it_is() -> None:
    for family in text_string_to_metric_families(used([200]).render().decode()):
        assert family.name.startswith(("braid_", "process_"))
        assert family.documentation
        assert "milli" not in family.name


def test_requests_are_counted_by_status_and_stages_timed() -> None:
    found = samples(used([200, 200, 422]).render())
    assert found["braid_requests_total", frozenset({("model", "m"), ("status", "200")})] == 2
    assert found["braid_requests_total", frozenset({("model", "m"), ("status", "422")})] == 1
    assert found["braid_stage_seconds_count", frozenset({("model", "m"), ("stage", "encode.text")})] == 3
    assert found["braid_batch_size_sum", frozenset({("model", "m")})] == 12
    assert found["braid_parts_total", frozenset({("model", "m"), ("part", "text")})] == 3
    assert found["braid_rejects_total", frozenset({("model", "m"), ("reason", "full")})] == 1
    assert found["braid_predictions_total", frozenset({("model", "m"), ("output", "animal"), ("label", "cat")})] == 2
    assert found["braid_confidence_sum", frozenset({("model", "m"), ("output", "animal")})] == 1.5
    assert not any("secret" in str(key) for key in found)  # labels that the manifest does not have are a client's words
    assert found["braid_disconnects_total", frozenset({("model", "m")})] == 1


def test_gauges_are_read_when_they_are_scraped() -> None:
    found = samples(used([]).render())
    assert [found[f"braid_{name}", frozenset({("model", "m")})] for name in GAUGES] == [3, 500, 2, 1000]


GAUGES = ("queue_depth", "queue_bytes", "in_flight", "in_flight_bytes")


def test_what_waits_is_seen_in_requests_and_bytes(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_BATCH="1") as server, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(server.predict, text=b"a", image=senses.png()) for _ in range(6)]
        eventually(lambda: server.metric("braid_queue_depth") >= 2)
        waiting = server.metric("braid_queue_bytes") / server.metric("braid_queue_depth")
        assert waiting > 4 * senses.SIDE**2 / 2  # half, for one may have left between the two
        assert all(one.result().status_code == 200 for one in asked)
        assert server.metric("braid_queue_bytes") == 0


def test_refusals_do_not_make_the_answers_look_quick() -> None:
    found = samples(used([200, 422, 429, 499, 500]).render())
    counts = {
        outcome: found["braid_request_seconds_count", frozenset({("model", "m"), ("outcome", outcome)})]
        for outcome in ("ok", "refused", "left", "failed")
    }
    assert counts == {"ok": 1, "refused": 2, "left": 1, "failed": 1}


def test_requests_for_no_model_are_counted_without_their_words() -> None:
    metrics = Metrics()
    metrics.stray(404, "unknown_model")
    assert (
        samples(metrics.render())["braid_rejects_total", frozenset({("model", "-"), ("reason", "unknown_model")})] == 1
    )


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
        if key[0] in NOT_SUMMED:
            assert value == NOT_SUMMED[key[0]](single[key] for single in singles if key in single)
        elif key[0].startswith("braid_"):
            assert abs(value - sum(single.get(key, 0) for single in singles)) < 1e-9


@given(st.lists(st.floats(0, 2), max_size=50))
def test_our_histogram_is_the_librarys(values: list[float]) -> None:
    registries = CollectorRegistry(), CollectorRegistry()
    bounds = (0.1, 0.5, 1.0)
    ours = Spreads("x", "About x.", ["a"], bounds)
    registries[0].register(ours)
    theirs = Histogram("x", "About x.", ["a"], buckets=bounds, registry=registries[1])
    for value in values:
        ours.labels("b").observe(value)
        theirs.labels("b").observe(value)
    one, other = (samples(generate_latest(registry)) for registry in registries)
    assert one.keys() == other.keys()
    for key in one:
        assert abs(one[key] - other[key]) < 1e-9


def test_promtool_has_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool: apt-get install prometheus")
    said = subprocess.run(
        [promtool, "check", "metrics"], input=used([200, 500]).render(), capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr.decode() + said.stdout.decode()
