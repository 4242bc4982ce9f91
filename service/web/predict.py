"""POST predict: the four calls uploads.read, encode, batcher, decode, and what must be said around them."""

import asyncio
import re
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import orjson

from service.errors import Failed, Malformed, MethodNotAllowed, RequestError
from service.logs import Log
from service.registry import Registry, Served
from service.settings import Settings
from service.types import Asked, Stages
from service.web import controls, explanations, problems, uploads
from service.web.asgi import Disconnected, Headers, Receive, Scope, Send, answer, header
from service.web.options import Options, query

GONE = 499  # nginx's status for a client that left; seen in metrics and logs only
REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """One request on its way."""

    id: bytes
    started: float
    stages: Stages = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)  # name -> bytes
    status: int = 200
    cause: str | None = None  # class of an unexpected error

    def headers(self) -> Headers:
        """X-Request-Id, and Server-Timing in milliseconds as its specification wants."""
        timing = ", ".join(f"{stage};dur={1000 * seconds:.3f}" for stage, seconds in self.stages.items())
        head = [(b"x-request-id", self.id)]
        return [*head, (b"server-timing", timing.encode())] if timing else head


class Predict:
    def __init__(self, registry: Registry, settings: Settings, log: Log) -> None:
        self._registry, self._settings, self._log = registry, settings, log
        self._ids = Random()  # of this worker; a system call for each id would cost 4 us

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, name: str | None, *, explain: bool = False
    ) -> None:
        call = Call(request_id(scope, self._ids), time.perf_counter())
        served = None
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed("this path takes POST")
            served = self._registry.get(name)
            body = await self._predict(served, call, scope, receive, explain)
            await answer(send, 200, body, call.headers())
        except RequestError as error:
            call.status, call.cause = error.status, type(error.__cause__ or error).__name__
            allow = [(b"allow", b"POST")] if error.status == MethodNotAllowed.status else []
            await problems.refuse(send, error, [*call.headers(), *allow])
        except Disconnected:
            call.status = GONE
            if served is not None:
                served.metrics.disconnect()
        self._account(served, call)

    async def _predict(self, served: Served, call: Call, scope: Scope, receive: Receive, explain: bool) -> bytes:
        options = query(scope["query_string"], explain)
        deadline = call.started + timeout(scope, self._settings.timeout)
        with served.admission.hold(uploads.length(scope, self._settings)):
            parts, said = await uploads.read(scope, receive, served.model.manifest.inputs, self._settings)
            call.parts = {name: len(data) for name, data in parts.items()}
            asked = controls.asked(options.top_k, options.controls, said, served.model.controls, self._settings)
            work = self._answer(served, call, parts, asked, options, deadline)
            if served.inline and not options.explain:  # answered in this turn of the loop: nobody can leave meanwhile
                return await work
            return await while_there(receive, work)

    async def _answer(
        self, served: Served, call: Call, parts: dict[str, bytes], asked: Asked, options: Options, deadline: float
    ) -> bytes:
        row = await served.encode(parts, call.stages)
        result = await served.batcher(row, call.stages, deadline=deadline)
        start = time.perf_counter()
        if options.explain == "places":
            work = explanations.places(served.model, parts, row | result, asked, options, self._settings)
            answer = await served.explain(work, deadline) | {"seconds": time.perf_counter() - start}
        else:
            answer = served.model.decode(row | result, parts, asked, raw=options.raw)
            if options.explain == "parts":
                work = explanations.parts(served.model, parts, row | result, asked, options)
                answer["explanation"] = await served.explain(work, deadline)
        manifest = served.model.manifest
        document = {"id": call.id.decode(), "model": manifest.name, "version": manifest.version, **answer}
        call.stages["decode"] = time.perf_counter() - start
        return orjson.dumps(document)

    def _account(self, served: Served | None, call: Call) -> None:
        seconds = time.perf_counter() - call.started
        if served is not None:
            served.metrics.answered(call.status, seconds, call.stages)
        failed = call.status >= Failed.status
        if not (failed or self._log.verbose):
            return
        said: dict[str, Any] = {
            "id": call.id.decode(),
            "model": served.model.manifest.name if served else None,
            "status": call.status,
            "seconds": round(seconds, 6),
            "parts": call.parts,
            "stages": {stage: round(took, 6) for stage, took in call.stages.items()},
        }
        if failed:
            self._log.warning("request", {**said, "error": call.cause})
        else:
            self._log.info("request", said)


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
