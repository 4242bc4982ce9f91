"""Traces as a collector gets them: real servers, a real receiver of OTLP."""

import gzip
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from service.bundle import Bundle
from service.errors import SettingsError
from service.tracing import Context, Span, Tracer, check, told
from tests import senses
from tests.process import Server, braid, eventually, serve

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE, SPAN = (bytes.fromhex(PARENT.split("-")[i]) for i in (1, 2))


class Collector:
    """Takes OTLP over HTTP, as an OpenTelemetry Collector does."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        spans = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                spans.take(self.path, dict(self.headers.items()), body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        assert path == "/v1/traces"
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.headers.append(headers)
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({item.key: item.value.string_value for item in one.resource.attributes})
            self.spans += [span for scope in one.scope_spans for span in scope.spans]

    def named(self, pattern: str) -> list[Any]:
        return [span for span in list(self.spans) if re.fullmatch(pattern, span.name)]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    collector.server.server_close()
    thread.join()


def sent(collector: Collector, share: str = "1", **more: str) -> dict[str, Any]:
    return {
        "BRAID_TRACES": share,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **more,
    }


def said(span: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes}


def everything(server: Server, headers: dict[str, str] | None = None) -> Any:
    return server.predict(text=b"a white noise", image=senses.png(), audio=senses.wav(), headers=headers)


def test_a_request_is_a_span_and_each_of_its_stages_is_one_inside_it(bundle: Bundle, collector: Collector) -> None:
    with serve(bundle.folder, **sent(collector)) as server:
        answer = everything(server)
        eventually(lambda: len(collector.spans) == 9)  # and one of the batch
        (line,) = server.events("request")
    (request,) = collector.named("POST .*")
    assert request.name == "POST /v1/predict"
    assert request.kind == trace_pb2.Span.SPAN_KIND_SERVER
    assert not request.parent_span_id
    about = said(request)
    assert about["braid.model"] == "senses"
    assert about["http.response.status_code"] == 200
    assert about["braid.request.id"] == answer.json()["id"]
    stages = [span for span in collector.spans if span.parent_span_id == request.span_id]
    assert {span.name for span in stages} == {
        "read", "encode.text", "encode.image", "encode.audio", "queue", "run", "decode"
    }  # fmt: skip
    took = dict(re.findall(r"([\w.]+);dur=([\d.]+)", answer.headers["server-timing"]))
    for span in stages:
        assert span.trace_id == request.trace_id
        assert request.start_time_unix_nano - 1e6 <= span.start_time_unix_nano  # 1 ms: two clocks
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= request.end_time_unix_nano
        assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6 == pytest.approx(
            float(took[span.name]), abs=2e-3
        )
    assert said(next(span for span in stages if span.name == "encode.text"))["braid.part.bytes"] == 13
    trace, span = request.trace_id.hex(), request.span_id.hex()
    assert answer.headers["traceresponse"] == f"00-{trace}-{span}-01"
    assert line["trace"] == trace


def test_the_spans_of_a_batch_and_of_its_requests_are_linked(bundle: Bundle, collector: Collector) -> None:
    with serve(bundle.folder, BRAID_ENGINE="thread", **sent(collector)) as server, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: server.predict(text=b"a"), range(40)))
        eventually(lambda: len(collector.named("POST .*")) == len(collector.named("run")) == 40)
    batches = {span.span_id: span for span in collector.named("batch")}
    assert sum(said(batch)["braid.batch.rows"] for batch in batches.values()) == 40
    requests = {span.span_id for span in collector.named("POST .*")}
    assert {link.span_id for batch in batches.values() for link in batch.links} == requests
    for run in collector.named("run"):
        (link,) = run.links
        batch = batches[link.span_id]
        assert said(run)["braid.batch.rows"] == said(batch)["braid.batch.rows"]
        assert run.parent_span_id in {link.span_id for link in batch.links}


def test_a_trace_that_the_client_began_goes_on(bundle: Bundle, collector: Collector) -> None:
    with serve(bundle.folder, **sent(collector, share="1e-9")) as server:
        assert "traceresponse" not in everything(server).headers
        assert "traceresponse" not in everything(server, {"traceparent": PARENT[:-1] + "0"}).headers
        answer = everything(server, {"traceparent": PARENT, "tracestate": "other=1"})
        eventually(lambda: len(collector.spans) >= 8)
    assert answer.headers["traceresponse"].startswith(PARENT[:36])
    (request,) = collector.named("POST .*")
    assert (request.trace_id, request.parent_span_id, request.trace_state) == (TRACE, SPAN, "other=1")


def test_a_refusal_says_why_and_a_failure_is_one(bundle: Bundle, collector: Collector) -> None:
    with serve(bundle.folder, **sent(collector)) as server:
        server.predict(text=b"\xff")
        server.predict(text=b"poison")
        server.predict(model="nobody", text=b"a")
        eventually(lambda: len(collector.named("POST .*")) == 3)
    refused, failed, unknown = sorted(collector.named("POST .*"), key=lambda span: span.start_time_unix_nano)
    assert said(refused)["error.type"] == "invalid_input"
    assert refused.status.code == trace_pb2.Status.STATUS_CODE_UNSET  # the client's fault
    assert said(failed)["error.type"] == "failed"
    assert failed.status.code == trace_pb2.Status.STATUS_CODE_ERROR
    assert unknown.name == "POST /v1/models/{model}/predict"


@pytest.mark.parametrize("path", ["/v2/models/senses/infer", "/v1/explain?method=random"])
def test_other_calls_are_traced_too(bundle: Bundle, collector: Collector, path: str) -> None:
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a b", "c"]}
    with serve(bundle.folder, **sent(collector)) as server:
        if path.startswith("/v2"):
            answer = server.client.post(path, json={"inputs": [tensor]})
        else:
            answer = server.client.post(path, files={"text": ("", b"a b")})
        assert answer.status_code == 200
        eventually(lambda: bool(collector.named("POST .*")))
    (request,) = collector.named("POST .*")
    names = [span.name for span in collector.spans if span.parent_span_id == request.span_id]
    assert names.count("encode.text") == names.count("run") == (2 if path.startswith("/v2") else 1)
    assert ("explain" in names) == path.startswith("/v1")


def test_opentelemetrys_own_variables_hold(bundle: Bundle, collector: Collector) -> None:
    variables = {
        "OTEL_SERVICE_NAME": "digits-eu",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-team=seven",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
    }
    with serve(bundle.folder, **sent(collector, **variables)) as server:
        server.predict(text=b"a")
    resource = collector.resources[0]  # sent at the latest when the server ends
    assert resource["service.name"] == "digits-eu"
    assert resource["deployment.environment"] == "test"
    assert collector.headers[0]["x-team"] == "seven"
    assert collector.headers[0]["Content-Encoding"] == "gzip"


def test_workers_all_send_theirs(bundle: Bundle, collector: Collector) -> None:
    with serve(bundle.folder, **sent(collector, BRAID_WORKERS="2")) as server:
        for _ in range(20):
            server.predict(headers={"connection": "close"}, text=b"a").raise_for_status()
    assert len(collector.named("POST .*")) == 20
    assert collector.resources[0]["service.name"] == "braid"


def test_a_collector_that_is_away_hinders_nobody(bundle: Bundle) -> None:
    away: dict[str, Any] = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_BSP_SCHEDULE_DELAY": "10"}
    with serve(bundle.folder, BRAID_TRACES="1", **away, OTEL_BSP_MAX_QUEUE_SIZE="16",
               OTEL_BSP_MAX_EXPORT_BATCH_SIZE="16") as server:  # fmt: skip
        for _ in range(50):
            assert server.predict(text=b"a").status_code == 200
        eventually(lambda: any(server.events("library")))
        assert len(list(server.events("library"))) < 10  # not a line for each span that is dropped


@pytest.mark.parametrize("share", ["0", "0.01"])
def test_who_traces_nothing_loads_nothing(bundle: Bundle, collector: Collector, share: str) -> None:
    with serve(bundle.folder, **sent(collector, share)) as server:
        pid = server.process.pid
        (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert ("/_upb/" in Path(f"/proc/{worker}/maps").read_text()) == (share != "0")  # protobuf's C extension


def test_an_impossible_share_stops_the_start(bundle: Bundle) -> None:
    done = braid("serve", bundle.folder, BRAID_TRACES="2")
    assert done.returncode == 2
    assert "BRAID_TRACES" in done.stderr


def test_the_check_passes_where_the_extra_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    check(1.0)
    monkeypatch.setattr("service.tracing.find_spec", lambda name: None)
    check(0.0)
    with pytest.raises(SettingsError, match="braid\\[tracing\\]"):
        check(1.0)


def test_the_share_is_kept() -> None:
    tracer = Tracer(0.1, lambda span: None, Random(0))
    assert 900 < sum(tracer.begin([]) is not None for _ in range(10_000)) < 1100


@pytest.mark.parametrize(
    ("header", "understood"),
    [
        (PARENT, True),
        ("01" + PARENT[2:] + "-later", True),  # later versions may say more
        (PARENT + "-later", False),
        ("ff" + PARENT[2:], False),
        (PARENT.upper(), False),
        (PARENT.replace(PARENT[3:35], "0" * 32), False),
        (PARENT.replace(PARENT[36:52], "0" * 16), False),
        (PARENT[:-1], False),
        ("", False),
    ],
)
def test_a_traceparent_is_read_as_its_specification_says(header: str, understood: bool) -> None:
    parent, sampled = told([(b"traceparent", header.encode())])
    assert (sampled is True) == (parent is not None) == understood


def test_two_traceparents_are_none() -> None:
    assert told([(b"traceparent", PARENT.encode())] * 2) == (None, None)


@given(st.binary())
def test_no_header_breaks_it(header: bytes) -> None:
    told([(b"traceparent", header), (b"tracestate", header)])


def test_ids_are_new_each_time() -> None:
    spans: list[Span] = []
    tracer = Tracer(1.0, spans.append)
    for _ in range(100):
        trace = tracer.begin([])
        assert trace
        trace.ended.append(("run", trace.started, 0.0))
        tracer.end(trace, "POST /v1/predict", {}, {}, failed=False)
    assert len({span.context for span in spans}) == 200
    assert len({span.context.trace for span in spans}) == 100
    assert all(Context(span.context.trace, 1).header().startswith(b"00-") for span in spans)
