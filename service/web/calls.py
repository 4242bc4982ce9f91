"""What stands around every call of a model: its id, its deadline, who left meanwhile, the account of it."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple, TypeVar

from service.errors import Failed, Malformed, MethodNotAllowed, RequestError
from service.logs import Log
from service.metrics import GONE, Answered, Metrics
from service.registry import Registry, Served
from service.settings import Settings
from service.tracing import Marks, Trace, Tracer, Value
from service.types import Stages
from service.web import problems
from service.web.asgi import JSON, Disconnected, Headers, Receive, Scope, Send, answer, header

NAMED = re.compile(r"/(model|version)s/[^/]+")
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
T = TypeVar("T")


class Reply(NamedTuple):
    body: bytes
    kind: bytes = JSON
    headers: Headers = []  # noqa: RUF012  # never changed


@dataclass(slots=True)
class Call:
    """One request on its way."""

    id: bytes
    started: float
    key: str | None = None  # name of the API key
    deadline: float = 0.0
    served: Served | None = None  # from when its model is known
    stages: Stages = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)  # name -> bytes
    status: int = 200
    cause: str | None = None  # class of an unexpected error
    reason: str | None = None  # code of a refusal
    outputs: dict[str, Any] = field(default_factory=dict)  # of the answer, for what is counted of them
    trace: Trace | None = None  # if this one is traced

    def several(self, count: int) -> list[Stages]:
        """For rows that have stages of their own."""
        return [Marks(self.trace) if self.trace else {} for _ in range(count)]

    def headers(self) -> Headers:
        """X-Request-Id; Server-Timing in milliseconds as its specification wants; traceresponse (W3C, a draft)."""
        timing = ", ".join(f"{stage};dur={1000 * seconds:.3f}" for stage, seconds in self.stages.items())
        head = [(b"x-request-id", self.id)]
        if timing:
            head.append((b"server-timing", timing.encode()))
        if self.trace:
            head.append((b"traceresponse", self.trace.context.header()))
        return head


Work = Callable[[Call, Scope, Receive], Awaitable[Reply]]
Refuse = Callable[[Send, RequestError, Headers], Awaitable[None]]


class Calls:
    def __init__(
        self, registry: Registry, settings: Settings, metrics: Metrics, log: Log, tracer: Tracer | None = None
    ) -> None:
        self.registry, self.settings, self.metrics = registry, settings, metrics
        self._log, self._tracer = log, tracer
        self._ids = Random()  # of this worker; a system call for each id would cost 4 us

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, work: Work, refuse: Refuse = problems.refuse
    ) -> None:
        """Answers what `work` gives, or `refuse`s in the protocol's own form. `work` sets the call's model."""
        call = Call(request_id(scope, self._ids), time.perf_counter(), scope.get("braid.key"))
        if self._tracer and (trace := self._tracer.begin(scope["headers"])):
            call.trace, call.stages = trace, Marks(trace)
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed("this path takes POST")
            call.deadline = call.started + timeout(scope, self.settings.timeout)
            body, kind, headers = await work(call, scope, receive)
            await answer(send, 200, body, [*call.headers(), *headers] if headers else call.headers(), kind)
        except RequestError as error:
            call.status, call.cause, call.reason = error.status, type(error.__cause__ or error).__name__, error.code
            allow = [(b"allow", b"POST")] if error.status == MethodNotAllowed.status else []
            await refuse(send, error, [*call.headers(), *allow])
        except Disconnected:
            call.status = GONE
            if call.served is not None:
                call.served.metrics.disconnect()
        self._account(call, scope)

    def _account(self, call: Call, scope: Scope) -> None:
        seconds = time.perf_counter() - call.started
        if call.served is not None:
            said = Answered(call.status, seconds, call.stages, call.parts, call.reason, call.outputs)
            call.served.metrics.answered(said)
        else:
            self.metrics.stray(call.status, call.reason)
        failed = call.status >= Failed.status
        if call.trace:
            traced(call, call.trace, scope, failed=failed)
        if not (failed or self._log.verbose):
            return
        line: dict[str, Any] = {
            "id": call.id.decode(),
            "model": call.served.model.manifest.name if call.served else None,
            "status": call.status,
            "seconds": round(seconds, 6),
            "parts": call.parts,
            "stages": {stage: round(took, 6) for stage, took in call.stages.items()},
        }
        if call.trace:
            line["trace"] = f"{call.trace.context.trace:032x}"
        if failed:
            self._log.warning("request", {**line, "error": call.cause})
        else:
            self._log.often("request", line)


def traced(call: Call, trace: Trace, scope: Scope, *, failed: bool) -> None:
    """Names by OpenTelemetry's conventions for HTTP; nothing of an upload but its size."""
    path = scope["path"]
    route = NAMED.sub(r"/\1s/{\1}", path)
    said: dict[str, Value] = {"http.request.method": scope["method"], "http.response.status_code": call.status}
    if call.served:
        manifest = call.served.model.manifest
        said |= {"braid.model": manifest.name, "braid.version": manifest.version}
    said |= {"http.route": route, "url.path": path, "braid.request.id": call.id.decode()}
    if call.reason or call.status == GONE:
        said["error.type"] = call.reason or "disconnected"
    trace.tracer.end(trace, f"{scope['method']} {route}", said, call.parts, failed=failed)


async def while_there(receive: Receive, work: Awaitable[T]) -> T:
    """The result, unless the client leaves first: then the work is cancelled and Disconnected raised."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(left(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Disconnected
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def request_id(scope: Scope, ids: Random) -> bytes:
    """The client's X-Request-Id if it is short and plain, else ours."""
    given = header(scope, b"x-request-id")
    return given if REQUEST_ID.fullmatch(given) else b"%032x" % ids.getrandbits(128)


def timeout(scope: Scope, default: float) -> float:
    """Seconds from the Braid-Timeout header, at most the operator's. Raises Malformed."""
    given = header(scope, b"braid-timeout")
    if not given:
        return default
    try:
        seconds = float(given)
    except ValueError as error:
        raise Malformed("Braid-Timeout is not a number of seconds") from error
    if not seconds >= 0:
        raise Malformed("Braid-Timeout is not a number of seconds")
    return min(seconds, default)


def summed(stages: list[Stages]) -> Stages:
    """Of several rows, as one call's."""
    total: Stages = {}
    for one in stages:
        for stage, seconds in one.items():
            total[stage] = total.get(stage, 0.0) + seconds
    return total
