"""Changes of what is served, asked for over HTTP: where the operator has enabled it, by keys that have the right."""

from typing import Any

from fastapi import FastAPI, Request

from service.errors import NotLoaded, RequestError, Unavailable, UnknownModel
from service.messages import Outcome, Wish
from service.orders import Orders
from service.registry import RETRY
from service.web import access


def add(app: FastAPI, orders: Orders) -> None:
    @app.post("/v1/reload", tags=["models"], summary="Serve what the bundles' folders hold now, as SIGHUP does")
    async def reload(request: Request) -> dict[str, Any]:
        outcome = await changed(request, orders, Wish("reload"))
        found = {"loaded": outcome.loaded, "unloaded": outcome.unloaded, "kept": outcome.kept}
        return {how: [{"model": name, "version": version} for name, version in some] for how, some in found.items()}


async def changed(request: Request, orders: Orders, wish: Wish) -> Outcome:
    """When all workers have followed. Raises Forbidden, UnknownModel, NotLoaded, Unavailable."""
    access.may_manage(request.scope)
    outcome = await orders.wish(wish)
    if outcome.error:
        raise refusal(outcome)
    return outcome


def refusal(outcome: Outcome) -> RequestError:
    if outcome.status == Unavailable.status:
        return Unavailable(outcome.error, retry_after=RETRY)
    return (UnknownModel if outcome.status == UnknownModel.status else NotLoaded)(outcome.error)
