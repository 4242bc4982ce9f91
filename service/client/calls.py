"""What both clients share: how calls are made, and when they are made again."""

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from service.client.answers import Unreachable, refusal, seconds
from service.client.content import contents

AGAIN = {429, 503}  # the server asks to come back
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds, where the server names none
EXPLAIN = ("output", "target", "scale", "method", "budget", "seed")


@dataclass(frozen=True)
class Call:
    """A request, ready to be sent as often as needed."""

    path: str
    query: dict[str, str]
    files: list[tuple[str, tuple[str, bytes]]]


class Common:
    """What both clients share: how calls are made and answers are read."""

    def __init__(
        self, url: str, *, model: str | None = None, key: str | None = None, timeout: float = 30.0, tries: int = 5
    ) -> None:
        """`timeout`: seconds of a whole call, with all its tries; `key`: an API key."""
        self.url, self.model = url.rstrip("/"), model
        self.timeout, self.tries = timeout, tries
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def call(self, verb: str, parts: Mapping[str, Any], model: str | None, options: Mapping[str, Any]) -> Call:
        name = model or self.model
        path = f"/v1/models/{quote(name, safe='')}/{verb}" if name else f"/v1/{verb}"
        given = {part: value for part, value in parts.items() if value is not None}
        files = [(part, (part, contents(value, as_text=part == "text"))) for part, value in given.items()]
        return Call(path, {key: option(value) for key, value in options.items() if value is not None}, files)

    def pause(self, answer: httpx.Response | None, attempt: int, until: float) -> float:
        """Seconds to wait before the next try. Raises what there is to raise if there is none."""
        if answer is not None and answer.status_code not in AGAIN:
            raise refusal(answer)
        named = seconds(answer.headers.get("retry-after")) if answer is not None else None
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt) * random.uniform(0.5, 1) if named is None else named
        if attempt + 1 >= self.tries or time.monotonic() + pause >= until:
            if answer is not None:
                raise refusal(answer)
            raise Unreachable(f"{self.url} does not answer")
        return pause


def asked(
    top_k: int | None,
    threshold: float | None,
    labels: Sequence[str] | None,
    template: str | None,
    explain: str | None,
    raw: bool | None,
) -> dict[str, Any]:
    given = {"top_k": top_k, "threshold": threshold, "template": template, "explain": explain, "raw": raw}
    return given | {"labels": list(labels) if labels is not None else None}


def option(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def deadline(until: float) -> dict[str, Any]:
    left = max(0.001, until - time.monotonic())
    return {"timeout": left, "headers": {"Braid-Timeout": f"{left:.3f}"}}


@contextmanager
def progress_bar(total: int, shown: bool) -> Iterator[Any]:
    """A function that moves a bar on and gives back what it is given."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), disable=not shown, transient=True) as progress:
        task = progress.add_task("predicting", total=total)

        def advance(found: Any) -> Any:
            progress.advance(task)
            return found

        yield advance
