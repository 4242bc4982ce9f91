"""POST /v1/embeddings: OpenAI's call and its multimodal dialects (infinity, Jina, Cohere, Voyage, vLLM) to vectors."""

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from service.errors import InvalidInput, Malformed, MissingPart, OverLimit, RequestError, UnsupportedType
from service.model import Model
from service.outputs.embedding import Embedding
from service.registry import Served
from service.types import FLOAT, Array, Row, Stages
from service.web import documents, problems, uploads
from service.web.asgi import Headers, Receive, Scope, Send, answer, header
from service.web.calls import Call, Calls, Reply, summed, while_there

DATA = re.compile(r"data:[\w.+/-]*(?:;[\w.=+-]+)*;base64,")
KINDS = ("text", "image", "audio")
ERRORS = {401: "authentication_error", 403: "permission_error", 404: "invalid_request_error", 429: "rate_limit_error"}
Item = Mapping[str, bytes]  # part -> bytes


class Embeddings:
    def __init__(self, calls: Calls) -> None:
        self._calls, self._settings = calls, calls.settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._calls(scope, receive, send, self._embed, refuse)

    async def _embed(self, call: Call, scope: Scope, receive: Receive) -> Reply:
        registry = self._calls.registry
        size = uploads.length(scope, self._settings)
        held = registry.get(None).admission  # which model it is stands in the body
        with held.hold(size, deadline=call.deadline, key=call.key) as place:
            document = parsed(await uploads.body(receive, self._settings, place), scope)
            served = call.served = registry.get(document.get("model"))
            output = embedding(served.model)
            items = read(document, served.model)
            if len(items) > self._settings.rows:
                raise OverLimit(f"{len(items)} inputs", limit=self._settings.rows)
            for item in items:
                for part, data in item.items():
                    uploads.add({}, part, data, served.model.manifest.inputs, self._settings)
                    call.parts[part] = call.parts.get(part, 0) + len(data)
            call.stages["read"] = time.perf_counter() - call.started
            rows = await while_there(receive, self._rows(served, call, items))
        start = time.perf_counter()
        vectors = [vector(output, row, item) for row, item in zip(rows, items, strict=True)]
        body = said(document, served.model, [shortened(one, document) for one in vectors], rows)
        call.stages["decode"] = time.perf_counter() - start
        return Reply(body)

    async def _rows(self, served: Served, call: Call, items: Sequence[Item]) -> list[Row]:
        stages = call.several(len(items))

        async def one(item: Item, took: Stages) -> Row:
            row = await served.encode(item, took, call.deadline)
            return row | await served.batcher(row, took, deadline=call.deadline, owner=call.key)

        try:
            return await asyncio.gather(*(one(item, took) for item, took in zip(items, stages, strict=True)))
        finally:
            call.stages |= summed(stages)


def parsed(body: bytes, scope: Scope) -> dict[str, Any]:
    kind = header(scope, b"content-type").split(b";")[0].strip().lower()
    if kind != b"application/json":
        raise UnsupportedType("send application/json")
    documents.bounded(body)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed("not valid JSON in UTF-8") from error
    if not isinstance(document, dict) or not isinstance(document.get("model"), str | None):
        raise Malformed('a request looks like {"model": "...", "input": ["..."]}')
    return document


def embedding(model: Model) -> Embedding:
    """The model's first output of that kind. Raises Malformed."""
    for output in model.manifest.outputs.values():
        if isinstance(output, Embedding):
            return output
    raise Malformed("this model gives no embedding; see POST /v1/predict")


def read(document: Mapping[str, Any], model: Model) -> list[Item]:
    """All dialects to parts. Raises Malformed, InvalidInput."""
    given = document.get("input", document.get("inputs", document.get("messages")))
    if given is None or given == [] or given == "":
        raise Malformed("no input")
    if isinstance(given, str | dict):
        given = [given]
    if not isinstance(given, list):
        raise Malformed("input is a string, or a list of strings or objects")
    if all(isinstance(one, int | list) for one in given):
        raise Malformed("token ids are not taken; send strings")
    modality = document.get("modality", "text")
    if modality not in KINDS:
        raise Malformed(f"modality is {', '.join(KINDS)}")
    return [item(one, modality, model) for one in given]


def item(given: Any, modality: str, model: Model) -> Item:
    """A string; {"text", "image", "audio"}; or {"content": [...]} with parts as chat messages have them."""
    if isinstance(given, str):
        return {part(modality, model): content(given, modality)}
    if not isinstance(given, dict):
        raise Malformed("an input is a string or an object")
    if "content" in given:
        return joined([segment(one, model) for one in contents(given["content"])])
    return joined([(part(name, model), content(value, kind(name, model))) for name, value in given.items()])


def contents(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    if not isinstance(given, list):
        raise Malformed("content is a string or a list")
    return given


def segment(given: Any, model: Model) -> tuple[str, bytes]:
    """{"type": "text", "text"}, {"type": "image_url", "image_url": {"url"}}, {"type": "image_base64", ...},
    {"type": "input_audio", "input_audio": {"data", "format"}}, and the like."""
    if not isinstance(given, dict) or not isinstance(given.get("type"), str):
        raise Malformed("a piece of content has no type")
    word = given["type"]
    found = next((name for name in KINDS if name in word), None)
    value = given.get(word)
    if isinstance(value, dict):
        value = value.get("url", value.get("data"))
    if found is None or value is None:
        raise Malformed("content is text, image_url, image_base64, audio_url or input_audio")
    return part(found, model), content(value, found)


def joined(pairs: Sequence[tuple[str, bytes]]) -> Item:
    found = dict(pairs)
    if not found:
        raise Malformed("an input without any part")
    if len(found) < len(pairs):
        raise Malformed("an input has a part twice")
    return found


def part(name: str, model: Model) -> str:
    """A part's own name, or the first part of that kind. Raises Malformed."""
    inputs = model.manifest.inputs
    found = name if name in inputs else next((one for one, spec in inputs.items() if spec.kind == name), None)
    if found is None:
        raise Malformed(f"this model has no such part; it takes {', '.join(inputs)}")
    return found


def kind(name: str, model: Model) -> str:
    return model.manifest.inputs[part(name, model)].kind


def content(given: Any, kind: str) -> bytes:
    """Text as UTF-8; media from a data URI or bare base64. Nothing is fetched from elsewhere."""
    if isinstance(given, dict):
        given = given.get("url", given.get("base64", given.get("data")))
    if not isinstance(given, str) or not given:
        raise Malformed("a part is a string that is not empty")
    if kind == "text":
        try:
            return given.encode()
        except UnicodeEncodeError as error:
            raise InvalidInput("text is not valid Unicode") from error
    if re.match(r"[a-z][a-z0-9+.-]*://", given):
        raise Malformed("Braid fetches nothing; send a data URI or base64")
    start = DATA.match(given)
    try:
        return binascii.a2b_base64(given[start.end() if start else 0 :], strict_mode=True)
    except ValueError as error:
        raise Malformed("not valid base64") from error


def vector(output: Embedding, row: Row, item: Item) -> Array:
    """(width,). Raises Malformed, MissingPart."""
    if output.tensor:
        return output.vector(row, output.tensor)
    if len(item) > 1:
        raise Malformed("this model embeds each part by itself; send one part an input")
    (name,) = item
    if name not in output.parts:
        raise MissingPart("this model does not embed it", part=name)
    return output.vector(row, output.parts[name])


def shortened(given: Array, document: Mapping[str, Any]) -> Array:
    """The first `dimensions` numbers, to length 1 again (Matryoshka representations). Raises Malformed."""
    wanted = document.get("dimensions")
    if wanted is None:
        return given
    if type(wanted) is not int or not 1 <= wanted <= len(given):
        raise Malformed(f"dimensions is a number from 1 to {len(given)}")
    if wanted == len(given):
        return given
    head = given[:wanted]
    return head / max(float(np.linalg.norm(head)), 1e-12)


def said(document: Mapping[str, Any], model: Model, vectors: Sequence[Array], rows: Sequence[Row]) -> bytes:
    form = document.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise Malformed("encoding_format is float or base64")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(one.astype("<f4").tobytes()).decode()
            if form == "base64"
            else one.astype(FLOAT).tolist(),
        }
        for index, one in enumerate(vectors)
    ]
    tokens = sum(counted(model, row) for row in rows)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": model.manifest.name, "usage": usage})


def counted(model: Model, row: Row) -> int:
    """Tokens of a row's texts."""
    texts = [spec.tensors for spec in model.manifest.inputs.values() if spec.kind == "text"]
    return sum(
        int(row[names.mask].sum()) if names.mask and names.mask in row else row[names.ids].size
        for names in texts
        if names.ids in row
    )


async def refuse(send: Send, error: RequestError, more: Headers) -> None:
    """{"error": {"message", "type", "param", "code"}}"""
    problem = problems.problem(error)
    fallback = "invalid_request_error" if error.status < 500 else "server_error"
    body = {
        "message": problem["detail"],
        "type": ERRORS.get(error.status, fallback),
        "param": problem.get("part"),
        "code": "model_not_found" if problem["code"] == "unknown_model" else problem["code"],
    }
    await answer(send, error.status, orjson.dumps({"error": body}), [*problems.headers(error), *more])
