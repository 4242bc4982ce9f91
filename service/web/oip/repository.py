"""/v2/repository: the models and their states; load and unload, where the operator has enabled it."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from service import folders
from service.errors import Malformed
from service.messages import Wish
from service.orders import Orders
from service.registry import Registry
from service.settings import Settings
from service.web import documents, manage, uploads

TAGS: list[Any] = ["open inference protocol"]


def add(app: FastAPI, registry: Registry, orders: Orders, settings: Settings) -> None:
    @app.post("/v2/repository/index", tags=TAGS, summary="The models and their states")
    async def index(request: Request) -> Response:
        only = (await document(request, settings)).get("ready") is True
        resting = {} if only or not settings.manage else await asyncio.to_thread(folders.versions, settings)
        return Response(orjson.dumps(listed(registry, resting, only)), media_type="application/json")

    if not settings.manage:
        return

    @app.post("/v2/repository/models/{model}/load", tags=TAGS, summary="Load a model, or its new version")
    async def load(request: Request, model: str) -> dict[str, Any]:
        given = (await document(request, settings)).get("parameters") or {}
        if not isinstance(given, dict) or given:
            raise Malformed("nothing of a model is taken from a request: bundles lie in the folders given at the start")
        await manage.changed(request, orders, Wish("load", model))
        return {"name": model, "load": True}

    @app.post("/v2/repository/models/{model}/unload", tags=TAGS, summary="Unload a model")
    async def unload(request: Request, model: str) -> dict[str, Any]:
        await document(request, settings)  # unload_dependents: no model of ours depends on another
        await manage.changed(request, orders, Wish("unload", model))
        return {"name": model, "unload": True}


async def document(request: Request, settings: Settings) -> dict[str, Any]:
    """A JSON object, or nothing. Raises Malformed."""
    uploads.length(request.scope, settings)
    body = await uploads.body(request.receive, settings)
    documents.bounded(body)
    try:
        found = orjson.loads(body) if body else {}
    except orjson.JSONDecodeError as error:
        raise Malformed("not valid JSON in UTF-8") from error
    if not isinstance(found, dict):
        raise Malformed("the body is empty or a JSON object")
    return found


def listed(registry: Registry, resting: Mapping[str, str], only: bool) -> list[dict[str, str]]:
    """`resting`: name -> version of what lies in the folders, served or not."""
    found = []
    for name, bundle in registry.bundles.items():
        ready = name in registry.served
        if ready or not only:
            state = "READY" if ready else "LOADING"
            found.append({"name": name, "version": bundle.manifest.version, "state": state, "reason": ""})
    rest = ((name, version) for name, version in resting.items() if name not in registry.bundles)
    return found + [
        {"name": name, "version": version, "state": "UNAVAILABLE", "reason": "unloaded"} for name, version in rest
    ]
