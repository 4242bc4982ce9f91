"""POST predict and explain: the four steps uploads.read, encode, batcher, decode."""

import time
from typing import Any

import orjson

from service.registry import Served
from service.types import Asked
from service.web import controls, explanations, uploads
from service.web.asgi import Receive, Scope, Send
from service.web.calls import Call, Calls, Reply, while_there
from service.web.options import Options, query


class Predict:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._registry, self._settings = calls.registry, calls.settings

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send, name: str | None, *, explain: bool = False
    ) -> None:
        async def work(call: Call, scope: Scope, receive: Receive) -> Reply:
            return await self._predict(call, scope, receive, name, explain)

        await self._calls(scope, receive, send, work)

    async def _predict(self, call: Call, scope: Scope, receive: Receive, name: str | None, explain: bool) -> Reply:
        served = call.served = self._registry.get(name)
        options = query(scope["query_string"], explain)
        size, patient = uploads.length(scope, self._settings), options.explain is not None
        with served.admission.hold(size, deadline=call.deadline, key=call.key, patient=patient) as place:
            parts, said = await uploads.read(scope, receive, served.model.manifest.inputs, self._settings, place)
            call.stages["read"] = time.perf_counter() - call.started
            call.parts = {name: len(data) for name, data in parts.items()}
            asked = controls.asked(options.top_k, options.controls, said, served.model.controls, self._settings)
            work = self._answer(served, call, parts, asked, options)
            if served.inline and not options.explain:  # answered in this turn of the loop: nobody can leave meanwhile
                return Reply(await work)
            return Reply(await while_there(receive, work))

    async def _answer(
        self, served: Served, call: Call, parts: dict[str, bytes], asked: Asked, options: Options
    ) -> bytes:
        row = await served.encode(parts, call.stages, call.deadline)
        if served.prompts:
            row = row | await served.prompts(parts, asked, call.stages, deadline=call.deadline, owner=call.key)
        result = await served.batcher(row, call.stages, deadline=call.deadline, owner=call.key)
        start = time.perf_counter()
        answer: dict[str, Any]
        if options.explain == "places":
            work = explanations.places(served.model, parts, row | result, asked, options, self._settings)
            answer = await served.explain(work, call.deadline)
            call.stages["explain"] = answer["seconds"] = time.perf_counter() - start
        else:
            answer = served.model.decode(row | result, parts, asked, raw=options.raw)
            call.outputs = answer["outputs"]
            call.stages["decode"] = (decoded := time.perf_counter()) - start
            if options.explain == "parts":
                work = explanations.parts(served.model, parts, row | result, asked, options)
                answer["explanation"] = await served.explain(work, call.deadline)
                call.stages["explain"] = time.perf_counter() - decoded
        manifest = served.model.manifest
        document = {"id": call.id.decode(), "model": manifest.name, "version": manifest.version, **answer}
        return orjson.dumps(document)
