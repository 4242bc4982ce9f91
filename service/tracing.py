"""A share of the requests as OpenTelemetry traces: when a request is over, its stages become spans.

Whether one is traced is decided as soon as its head is there: by the client's `traceparent` (W3C Trace Context) if it
has one, else by chance. Others cost a look at their headers. Knows nothing of OpenTelemetry's library: see spans.py.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from random import Random
from typing import NamedTuple

from service.errors import SettingsError
from service.types import Stages

PARENT = re.compile(rb"(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?")
SAMPLED = 1  # of its flags
NANO = 1_000_000_000
Value = str | int | float


class Context(NamedTuple):
    """What others need to know of a span."""

    trace: int  # 128 bits
    span: int  # 64 bits
    state: str = ""  # tracestate: other tools' words, passed on

    def header(self) -> bytes:
        return b"00-%032x-%016x-01" % (self.trace, self.span)


class Span(NamedTuple):
    """One that is over; times in nanoseconds since 1970."""

    name: str
    context: Context
    parent: Context | None
    start: int
    end: int
    said: Mapping[str, Value]  # its attributes
    links: Sequence[Context] = ()
    server: bool = False  # a request that came in, not a stage of one
    failed: bool = False


class Trace:
    """Of one request, while it is under way."""

    __slots__ = ("batches", "context", "ended", "parent", "started", "tracer")

    def __init__(self, tracer: "Tracer", parent: Context | None) -> None:
        self.tracer, self.parent = tracer, parent
        self.context = Context(parent.trace if parent else tracer.number(128), tracer.number(64))
        self.started = time.time_ns()
        self.ended: list[tuple[str, int, float]] = []  # stage, when, its seconds
        self.batches: list[tuple[int, Context]] = []  # rows and span of each run of the graph


class Marks(dict[str, float]):
    """Stages that remember when they ended."""

    __slots__ = ("trace",)

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __setitem__(self, stage: str, seconds: float) -> None:
        self.trace.ended.append((stage, time.time_ns(), seconds))
        super().__setitem__(stage, seconds)


class Tracer:
    """`share` of the requests without a `traceparent`, and those whose `traceparent` says that they are."""

    def __init__(self, share: float, send: Callable[[Span], None], random: Random | None = None) -> None:
        self._share, self._send = share, send
        self._random = random or Random()

    def number(self, bits: int) -> int:
        return self._random.getrandbits(bits) or 1  # 0 is no id

    def begin(self, headers: Sequence[tuple[bytes, bytes]]) -> Trace | None:
        parent, sampled = told(headers)
        if sampled is None:
            sampled = self._random.random() < self._share
        return Trace(self, parent) if sampled else None

    def end(
        self, trace: Trace, name: str, said: Mapping[str, Value], sizes: Mapping[str, int], *, failed: bool
    ) -> None:
        """`sizes`: bytes of each part."""
        mine, state = trace.context, trace.parent.state if trace.parent else ""
        mine = mine._replace(state=state)
        runs = iter(trace.batches)
        for stage, end, seconds in trace.ended:
            own = mine._replace(span=self.number(64))
            about: dict[str, Value] = {}
            links: tuple[Context, ...] = ()
            if stage == "run" and (batch := next(runs, None)):
                about, links = {"braid.batch.rows": batch[0]}, (batch[1],)
            elif size := sizes.get(stage.removeprefix("encode.")):
                about = {"braid.part.bytes": size}
            self._send(Span(stage, own, mine, end - int(seconds * NANO), end, about, links))
        self._send(Span(name, mine, trace.parent, trace.started, time.time_ns(), said, server=True, failed=failed))

    def batch(self, traces: Sequence[Trace], rows: int, seconds: float) -> None:
        """A run of the graph that these requests shared: a trace of its own, linked to theirs, and theirs to it."""
        own, end = Context(self.number(128), self.number(64)), time.time_ns()
        for trace in traces:
            trace.batches.append((rows, own))
        links = [trace.context for trace in traces]
        self._send(Span("batch", own, None, end - int(seconds * NANO), end, {"braid.batch.rows": rows}, links))


def told(headers: Sequence[tuple[bytes, bytes]]) -> tuple[Context | None, bool | None]:
    """The client's span, and whether it is sampled; nothing where there is no `traceparent` to be understood."""
    given = [value for name, value in headers if name == b"traceparent"]
    match = PARENT.fullmatch(given[0]) if len(given) == 1 else None
    if match is None or (match[1] == b"00" and match[5]):
        return None, None
    if not int(match[4], 16) & SAMPLED:
        return None, False
    state = b",".join(value for name, value in headers if name == b"tracestate").decode("latin-1")
    return Context(int(match[2], 16), int(match[3], 16), state), True


def joined(batch: Sequence[Stages], seconds: float) -> None:
    """Told by a batcher whose stages took part in one run, before it writes the run's time to them."""
    traces = [stages.trace for stages in batch if isinstance(stages, Marks)]
    if traces:
        traces[0].tracer.batch(traces, len(batch), seconds)


def check(share: float) -> None:
    """Raises SettingsError where traces are asked for and cannot be sent."""
    if share and not find_spec("opentelemetry"):
        raise SettingsError("BRAID_TRACES needs OpenTelemetry: pip install 'braid[tracing]'")
