"""Spans to a collector, by OTLP over HTTP, in a thread of OpenTelemetry's own.

Where to, how often and as which service is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*, ...
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from service import __version__
from service.tracing import Context, Span, Tracer

SAMPLED = TraceFlags(TraceFlags.SAMPLED)
SCOPE = InstrumentationScope("braid", __version__)
FINE, FAILED = Status(), Status(StatusCode.ERROR)
LAST = 3.0  # seconds that a collector which does not answer may hold up the end


@contextmanager
def sending(share: float) -> Iterator[Tracer]:
    """A tracer of this process, whose last spans are sent at the end."""
    spans = Spans()
    try:
        yield Tracer(share, spans)
    finally:
        spans.close()


class Spans:
    """Made in the process that sends them: its thread does not outlive a fork."""

    def __init__(self) -> None:
        resource = Resource.create()
        if str(resource.attributes["service.name"]).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "braid"}))
        self._resource = resource.merge(Resource({"service.version": __version__}))
        self._exporter = OTLPSpanExporter()
        self._processor = BatchSpanProcessor(self._exporter)

    def __call__(self, span: Span) -> None:
        """Queues it, or drops it where the queue is full. The library's own tracer would take three times as long."""
        parent = span.parent
        made = ReadableSpan(
            span.name,
            context(span.context),
            context(parent, remote=span.server) if parent else None,
            self._resource,
            span.said,
            links=[Link(context(other)) for other in span.links],
            kind=SpanKind.SERVER if span.server else SpanKind.INTERNAL,
            status=FAILED if span.failed else FINE,
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=SCOPE,
        )
        self._processor.on_end(made)

    def close(self) -> None:
        """Sends what waits."""
        hurry = Timer(LAST, self._exporter.shutdown)
        hurry.daemon = True
        hurry.start()
        self._processor.shutdown()  # type: ignore[no-untyped-call]  # the library's
        hurry.cancel()


def context(given: Context, *, remote: bool = False) -> SpanContext:
    state = TraceState.from_header([given.state]) if given.state else None
    return SpanContext(given.trace, given.span, remote, SAMPLED, state)
