"""POST /v2/models/{model}/infer: the graph's tensors, or encoded parts, to the graph's outputs."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from service.errors import Failed, Malformed, OverLimit, RequestError, UnknownModel
from service.model import Model
from service.ports import Port
from service.registry import Served
from service.settings import Settings
from service.types import Array, Row
from service.web import problems, uploads
from service.web.asgi import Headers, Receive, Scope, Send, answer, header
from service.web.calls import Call, Calls, Reply, summed, while_there
from service.web.oip import messages, tensors
from service.web.oip.messages import Answer, Request, Wanted
from service.web.oip.tensors import NAMES

LONG = 1024  # an axis that may vary may always be that long,
LONGER = 4  # or so many times as long as the example's: what attention costs follows its square


class Infer:
    def __init__(self, calls: Calls) -> None:
        self._calls, self._settings = calls, calls.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send, name: str, version: str | None = None) -> None:
        async def work(call: Call, scope: Scope, receive: Receive) -> Reply:
            served = call.served = self._calls.registry.get(name)
            same_version(served, version)
            return await self._infer(served, call, scope, receive)

        await self._calls(scope, receive, send, work, refuse)

    async def _infer(self, served: Served, call: Call, scope: Scope, receive: Receive) -> Reply:
        size = uploads.length(scope, self._settings)
        with served.admission.hold(size, deadline=call.deadline, key=call.key) as place:
            encoding = header(scope, b"content-encoding").decode("latin-1").lower()
            body = await uploads.body(receive, self._settings, place)
            body = messages.inflated(body, encoding, self._settings.body_bytes)
            request = messages.read(body, header(scope, messages.HEADER), served.model.engine.inputs)
            call.stages["read"] = time.perf_counter() - call.started
            if request.timeout:
                call.deadline = min(call.deadline, call.started + request.timeout)
            rows = await while_there(receive, self._answers(served, call, request))
        start = time.perf_counter()
        manifest = served.model.manifest
        found = Answer(manifest.name, manifest.version, request.id)
        for wanted in self._wanted(served.model, request, rows):
            fill(found, wanted, served.model, rows)
        reply = found.reply(header(scope, b"accept-encoding").decode("latin-1").lower())
        call.stages["decode"] = time.perf_counter() - start
        return reply

    async def _answers(self, served: Served, call: Call, request: Request) -> Sequence[Row]:
        if is_encoded(request.inputs, served.model):
            parts = encoded_rows(request.inputs, self._settings)
            for given in parts:
                for name, data in given.items():
                    fits(name, data, served.model, self._settings)
                    call.parts[name] = call.parts.get(name, 0) + len(data)
            stages = call.several(len(parts))
            rows: Sequence[Row] = await asyncio.gather(
                *(served.encode(given, took, call.deadline) for given, took in zip(parts, stages, strict=True))
            )
        else:
            rows = tensor_rows(request.inputs, served.model, self._settings)
            stages = call.several(len(rows))
        runs = [
            served.batcher(row, took, deadline=call.deadline, owner=call.key)
            for row, took in zip(rows, stages, strict=True)
        ]
        try:
            return await asyncio.gather(*runs)
        except Failed as error:
            raise Malformed("the graph fails on these tensors") from error
        finally:
            call.stages |= summed(stages)

    def _wanted(self, model: Model, request: Request, rows: Sequence[Row]) -> Sequence[Wanted]:
        """What the request names; else all that there is: of towers those whose parts were sent."""
        there = [name for name in model.engine.outputs if all(name in row for row in rows)]
        for wanted in request.wanted:
            if wanted.name not in there:
                raise Malformed(f"no such output; there is {', '.join(there)}")
        return request.wanted or [Wanted(name, request.binary) for name in there]


def same_version(served: Served, version: str | None) -> None:
    """Raises UnknownModel."""
    if version is not None and version != served.model.manifest.version:
        raise UnknownModel("no such version of the model is served here")


def is_encoded(inputs: Mapping[str, Array], model: Model) -> bool:
    return bool(inputs) and all(array.dtype == np.object_ for array in inputs.values())


def encoded_rows(inputs: Mapping[str, Array], settings: Settings) -> list[dict[str, bytes]]:
    """Parts of each row; an empty element is an absent part. Raises Malformed, OverLimit."""
    counts = {array.size for array in inputs.values()}
    if len(counts) != 1 or any(array.ndim not in (1, 2) for array in inputs.values()):
        raise Malformed("encoded parts are BYTES tensors of one shape [N]")
    few(counts.pop(), settings)
    columns = {name: array.ravel() for name, array in inputs.items()}
    count = len(next(iter(columns.values())))
    return [{name: column[row] for name, column in columns.items() if column[row]} for row in range(count)]


def fits(name: str, data: bytes, model: Model, settings: Settings) -> None:
    """The same refusals as an upload's."""
    uploads.add({}, name, data, model.manifest.inputs, settings)


def tensor_rows(inputs: Mapping[str, Array], model: Model, settings: Settings) -> list[Row]:
    """The graph's own inputs, cut along the batch axis. Raises Malformed, OverLimit."""
    ports = model.engine.inputs
    if not model.engine.takes(inputs):
        parts = ", ".join(model.manifest.inputs)
        raise Malformed(f"send all of the graph's inputs ({', '.join(ports)}), or BYTES named after parts ({parts})")
    counts = {array.shape[0] if array.ndim else 0 for array in inputs.values()}
    if len(counts) != 1 or 0 in counts:
        raise Malformed("the inputs' first axes, which count the rows, are not alike")
    example = model.example.row
    for name, array in inputs.items():
        typed(name, array, ports[name], example)
    (count,) = counts
    few(count, settings)
    native = {name: array.astype(ports[name].dtype, copy=False) for name, array in inputs.items()}
    return [{name: array[row] for name, array in native.items()} for row in range(count)]


def typed(name: str, array: Array, port: Port, example: Row) -> None:
    if array.dtype != np.dtype(port.dtype):
        raise Malformed(f"input {name!r} is {NAMES[np.dtype(port.dtype)]}")
    if array.ndim != len(port.shape):
        raise Malformed(f"input {name!r} has {len(port.shape)} axes")
    usual = example[name].shape if name in example else (1,) * (array.ndim - 1)
    for size, fixed, common in zip(array.shape[1:], port.shape[1:], usual, strict=True):
        if fixed is not None and size != fixed:
            raise Malformed(f"input {name!r} has the shape {[axis or -1 for axis in port.shape]}")
        if size == 0:
            raise Malformed(f"input {name!r} has an empty axis")
        if size > (most := max(LONG, LONGER * common)):
            raise OverLimit(f"an axis of {size} of input {name!r}", limit=most)


def few(count: int, settings: Settings) -> None:
    if count > settings.rows:
        raise OverLimit(f"{count} rows", limit=settings.rows)
    if not count:
        raise Malformed("no row at all")


def fill(found: Answer, wanted: Wanted, model: Model, rows: Sequence[Row]) -> None:
    """Adds one output of all rows."""
    values = [row[wanted.name] for row in rows]
    if len({value.shape for value in values}) > 1:
        raise Malformed(f"output {wanted.name!r} differs in length from row to row; send the rows one by one")
    array = np.stack(values)
    if array.dtype.kind in "OU":  # strings, as graphs made from scikit-learn have them
        array = tensors.sized([str(value).encode() for value in array.ravel()], array.shape, wanted.name)
    if wanted.classes:
        array = classes(array, wanted, model)
    found.add(wanted.name, array, wanted.binary)


def classes(array: Array, wanted: Wanted, model: Model) -> Array:
    """(N, ..., C) numbers to (N, ..., k) strings "value:index:label", best first."""
    labels: Any = next(
        (
            output.labels
            for output in model.manifest.outputs.values()
            if output.kind in ("classification", "multilabel") and output.tensor == wanted.name
        ),
        None,
    )
    count = min(wanted.classes, array.shape[-1])
    best = np.argsort(-array, axis=-1, kind="stable")[..., :count]
    found = np.empty(best.shape, np.object_)
    for place in np.ndindex(best.shape):
        index = int(best[place])
        label = f":{labels[index]}" if labels and index < len(labels) else ""
        found[place] = f"{array[(*place[:-1], index)]:f}:{index}{label}".encode()
    return found


async def refuse(send: Send, error: RequestError, more: Headers) -> None:
    """{"error": "..."}, as the protocol wants."""
    await answer(
        send,
        error.status,
        orjson.dumps({"error": problems.problem(error)["detail"]}),
        [*problems.headers(error), *more],
    )
