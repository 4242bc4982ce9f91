"""A URL to where requests go: host, port, path, TLS or not."""

import http.client
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from service.errors import BraidError

PREDICT = "/v1/predict"  # where the default model answers
PORTS = {"http": 80, "https": 443}
PATIENCE = 5.0  # seconds that the list of models may take


@dataclass(frozen=True, slots=True)
class Target:
    scheme: str
    host: str
    port: int
    path: str  # with the query

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if PORTS[self.scheme] == self.port else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def tls(self) -> ssl.SSLContext | None:
        return ssl.create_default_context() if self.scheme == "https" else None


def parse(url: str) -> Target:
    """A URL without a path means the default model's predict. Raises BraidError."""
    try:
        split = urlsplit(url)
        host, port = split.hostname, split.port
        (host or "").encode("idna")
    except ValueError as error:
        raise BraidError(f"{url}: not a URL: {error}") from error
    if split.scheme not in PORTS or not host:
        raise BraidError(f"{url}: not a URL; give one such as http://127.0.0.1:8000")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise BraidError(f"{url}: a URL has plain characters only; write others as %XX")
    path = split.path if split.path not in ("", "/") else PREDICT
    query = f"?{split.query}" if split.query else ""
    return Target(split.scheme, host, port or PORTS[split.scheme], path + query)


def parts(target: Target, headers: Sequence[tuple[str, str]]) -> list[str]:
    """What the server's default model takes, nothing if it does not say. Raises BraidError if no server is there."""
    connect = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    connection = connect(target.host, target.port, timeout=PATIENCE)
    try:
        connection.request("GET", "/v1/models", headers=dict(headers))
        return list(json.loads(connection.getresponse().read())["data"][0]["inputs"])
    except OSError as error:
        raise unreachable(target, error) from error
    except (http.client.HTTPException, ValueError, LookupError, TypeError):
        return []
    finally:
        connection.close()


def unreachable(target: Target, error: OSError) -> BraidError:
    reason = error.strerror or str(error) or type(error).__name__
    return BraidError(f"cannot connect to {target.authority}: {reason}; is `braid serve` running there?")
