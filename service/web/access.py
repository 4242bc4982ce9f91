"""Who may ask: keys and their rates, and pages of other origins, before the application."""

import math

from prometheus_client import Counter
from starlette.middleware.cors import CORSMiddleware

from service.errors import Forbidden, RateLimited, RequestError, Unauthorized
from service.keys import Key, Keys
from service.logs import Log
from service.metrics import Metrics
from service.settings import Settings
from service.web import problems
from service.web.asgi import App, Headers, Message, Receive, Scope, Send, header

OPEN = {"/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}  # kubelets have no key
PAGES = {"/", "/status", "/docs"}  # they and their files hold nothing of the operator's, and ask for the key themselves
FILES = ("/playground/", "/docs/")
NOBODY = "-"  # no key's name
CHALLENGE = b'Bearer realm="braid"'

ALLOWED = ("Authorization", "X-API-Key", "Content-Type", "X-Request-Id", "Braid-Timeout")  # headers of other origins
EXPOSED = ("X-Request-Id", "Server-Timing", "Retry-After")


def guarded(app: App, settings: Settings, metrics: Metrics, log: Log) -> App:
    """The application behind what the settings ask for. Raises SettingsError."""
    if settings.keys:
        app = Locked(app, settings, metrics, log)
    if settings.cors:  # in front of the keys: a browser asks beforehand, and without one
        app = CORSMiddleware(
            app, settings.cors, allow_methods=("GET", "POST"), allow_headers=ALLOWED, expose_headers=EXPOSED
        )
    return app


class Locked:
    """Adds `braid.key`, the name of the key, to the scope."""

    def __init__(self, app: App, settings: Settings, metrics: Metrics, log: Log) -> None:
        assert settings.keys
        self._app, self._keys, self._count = app, Keys(settings.keys, log), metrics.keys
        self._counters: dict[tuple[str, int], Counter] = {}
        self._pages = settings.playground

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._open(scope):
            await self._app(scope, receive, send)
            return
        key = None
        try:
            key = self._known(scope)
            self._paced(key)
        except RequestError as error:
            self._counted(key, error.status)
            await problems.refuse(send, error, challenge(scope) if error.status == Unauthorized.status else [])
            return
        scope["braid.key"], scope["braid.manage"] = key.name, key.manage

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counted(key, message["status"])
            await send(message)

        await self._app(scope, receive, counting)

    def _open(self, scope: Scope) -> bool:
        path = scope["path"]
        page = path in PAGES or path.startswith(FILES)
        return path in OPEN or (self._pages and page and scope["method"] in ("GET", "HEAD"))

    def _known(self, scope: Scope) -> Key:
        given = presented(scope)
        if not given:
            raise Unauthorized("a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY")
        key = self._keys.find(given)
        if key is None:
            raise Unauthorized("this key is not known here")
        return key

    def _paced(self, key: Key) -> None:
        wait = key.wait()
        if wait:
            raise RateLimited("more requests a second than this key may send", retry_after=max(1, math.ceil(wait)))

    def _counted(self, key: Key | None, status: int) -> None:
        labels = key.name if key else NOBODY, status
        if labels not in self._counters:
            self._counters[labels] = self._count.labels(labels[0], str(status))
        self._counters[labels].inc()


def presented(scope: Scope) -> bytes:
    """The key of Authorization: Bearer, else of X-API-Key, or nothing."""
    scheme, _, key = header(scope, b"authorization").partition(b" ")
    if scheme.lower() == b"bearer":
        return key.strip()
    return header(scope, b"x-api-key").strip()


def challenge(scope: Scope) -> Headers:
    """RFC 6750, 3: no error code where nothing was presented."""
    return [(b"www-authenticate", CHALLENGE + (b', error="invalid_token"' if presented(scope) else b""))]


def may_manage(scope: Scope) -> None:
    """Raises Forbidden for a key without the right, and where there are no keys."""
    if not scope.get("braid.manage"):
        raise Forbidden("this key may not manage models; `braid key NAME --manage` makes one that may")
