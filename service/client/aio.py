"""The client for asyncio."""

from __future__ import annotations  # aliases of types that only a checker needs

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Self

import httpx

from service.client.answers import Answer, BraidError, Unreachable, read, refusal
from service.client.calls import EXPLAIN, Call, Common, asked, deadline, progress_bar
from service.client.content import Picture, Sound


class AsyncClient(Common):
    """The same for asyncio."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(base_url=self.url, headers=self._headers, limits=limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def predict(
        self,
        text: str | None = None,
        image: Picture | None = None,
        audio: Sound | None = None,
        *,
        model: str | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        labels: Sequence[str] | None = None,
        template: str | None = None,
        explain: str | None = None,
        raw: bool | None = None,
        timeout: float | None = None,
        **parts: Any,
    ) -> Answer:
        """Any subset of the parts; those of other names as keywords. Raises Refused, Unreachable."""
        options = asked(top_k, threshold, labels, template, explain, raw)
        call = self.call("predict", {"text": text, "image": image, "audio": audio, **parts}, model, options)
        return read(await self._send(call, timeout))

    async def explain(self, *, model: str | None = None, timeout: float | None = None, **parts: Any) -> dict[str, Any]:
        """Where in each part the answer lies."""
        query = {name: parts.pop(name) for name in EXPLAIN if name in parts}
        return dict((await self._send(self.call("explain", parts, model, query), timeout)).json())

    async def map(
        self, rows: Iterable[Mapping[str, Any]], *, concurrency: int = 16, progress: bool = True, **options: Any
    ) -> list[Answer | BraidError]:
        """Many at once: rows of keywords for `predict` -> answers in their order; a row that fails is its error."""
        rows = list(rows)
        room = asyncio.Semaphore(concurrency)
        with progress_bar(len(rows), progress) as advance:

            async def one(row: Mapping[str, Any]) -> Answer | BraidError:
                async with room:
                    found: Answer | BraidError
                    try:
                        found = await self.predict(**{**options, **row})
                    except BraidError as error:
                        found = error
                    advance(found)
                    return found

            return list(await asyncio.gather(*map(one, rows)))

    async def stream(
        self, rows: Iterable[Mapping[str, Any]], *, concurrency: int = 16, **options: Any
    ) -> AsyncIterator[Answer | BraidError]:
        """As `map`, one answer after the other as they come, in the rows' order, with bounded memory."""
        waiting: list[asyncio.Task[Answer]] = []

        async def first() -> Answer | BraidError:
            try:
                return await waiting.pop(0)
            except BraidError as error:
                return error

        for row in rows:
            waiting.append(asyncio.ensure_future(self.predict(**{**options, **row})))
            if len(waiting) >= concurrency:
                yield await first()
        while waiting:
            yield await first()

    async def models(self) -> list[dict[str, Any]]:
        answer = await self._http.get("/v1/models", timeout=self.timeout)
        if answer.is_error:
            raise refusal(answer)
        return list(answer.json()["data"])

    async def _send(self, call: Call, timeout: float | None) -> httpx.Response:
        until = time.monotonic() + (timeout or self.timeout)
        for attempt in range(self.tries):
            answer = None
            try:
                answer = await self._http.post(call.path, params=call.query, files=call.files, **deadline(until))
                if answer.is_success:
                    return answer
            except httpx.TransportError as error:
                trouble: Exception = error
            try:
                pause = self.pause(answer, attempt, until)
            except Unreachable as gone:
                raise gone from trouble
            await asyncio.sleep(pause)
        raise Unreachable(f"{self.url} does not answer")
