"""The application: predict answered at once, everything else (models, probes, metrics, docs) by FastAPI."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from service import __version__
from service.errors import MethodNotAllowed, NotFound, RequestError
from service.metrics import Metrics
from service.orders import Orders
from service.registry import Registry
from service.settings import Settings
from service.sums import merged
from service.web import docs, manage, openapi, pages, problems
from service.web.asgi import Receive, Scope, Send
from service.web.calls import Calls
from service.web.embeddings import Embeddings
from service.web.models import describe
from service.web.oip import repository, routes
from service.web.oip.infer import Infer
from service.web.predict import Predict

PREDICT = re.compile(r"/v1/(?:models/([^/]+)/)?(predict|explain)")
INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
EMBED = "/v1/embeddings"
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


class App:
    """FastAPI's own middleware costs 0.1 ms a request, a fifth of a tiny model's: calls of models go past it."""

    def __init__(self, calls: Calls, orders: Orders) -> None:
        self._predict, self._infer, self._embed = Predict(calls), Infer(calls), Embeddings(calls)
        self._rest = rest(calls.registry, calls.settings, calls.metrics, orders)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if match := PREDICT.fullmatch(path):
            await self._predict(scope, receive, send, match[1], explain=match[2] == "explain")
        elif match := INFER.fullmatch(path):
            await self._infer(scope, receive, send, match[1], match[2])
        elif path == EMBED:
            await self._embed(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def rest(registry: Registry, settings: Settings, metrics: Metrics, orders: Orders) -> FastAPI:
    app = FastAPI(title="Braid", version=__version__, redirect_slashes=False, docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestError, refused)
    app.add_exception_handler(HTTPException, unrouted)

    @app.get("/health/live", tags=["health"], summary="The process answers")
    async def live() -> dict[str, str]:
        registry.alive()
        return {"status": "live"}

    @app.get("/health/ready", tags=["health"], summary="All models are proven and the server is not draining")
    async def ready() -> dict[str, str]:
        registry.steady()
        return {"status": "ready"}

    async def exposition() -> bytes:
        others = await orders.worker.ask_siblings()
        return merged([metrics.render(), *others]) if others else metrics.render()

    @app.get("/metrics", tags=["health"], summary="Prometheus' text format", response_class=Response)
    async def scrape() -> Response:
        return Response(await exposition(), media_type=EXPOSITION)

    @app.get("/v1/models", tags=["models"], summary="What is served")
    async def models() -> Response:
        listed = [describe(served, settings) for served in registry.served.values()]
        return reply({"object": "list", "data": listed})

    @app.get("/v1/models/{model}", tags=["models"], summary="Its inputs, limits, outputs, providers, version, card")
    async def model(model: str) -> Response:
        served = registry.get(model)
        return reply({**describe(served, settings), "card": served.model.bundle.card})

    docs.add(app)
    routes.add(app, registry, exposition, manage=settings.manage)
    repository.add(app, registry, orders, settings)
    if settings.manage:
        manage.add(app, orders)
    if settings.playground:
        pages.add(app, registry)
    app.openapi = lambda: openapi.document(app, registry)  # type: ignore[method-assign]  # FastAPI's documented way
    return app


def reply(
    document: Any, status: int = 200, headers: Mapping[str, str] | None = None, kind: str = "application/json"
) -> Response:
    return Response(orjson.dumps(document), status, headers, kind)


async def refused(request: Request, error: Any) -> Response:
    headers = {name.decode(): value.decode() for name, value in problems.headers(error)}
    if request.url.path.startswith("/v2"):  # a protocol with a form of its own
        return reply({"error": error.detail}, error.status, headers)
    return reply(problems.problem(error), error.status, headers, problems.KIND.decode())


async def unrouted(request: Request, error: Any) -> Response:
    """What the router itself refuses: an unknown path, a wrong method."""
    if error.status_code == MethodNotAllowed.status:
        response = await refused(request, MethodNotAllowed("this path does not take that method"))
        response.headers["allow"] = (error.headers or {}).get("Allow", "GET")
        return response
    return await refused(request, NotFound("no such path; GET /docs lists them"))
