"""The client for programs without asyncio."""

from __future__ import annotations  # aliases of types that only a checker needs

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from service.client.answers import Answer, BraidError, Unreachable, flat, read, refusal
from service.client.calls import EXPLAIN, Call, Common, asked, deadline, progress_bar
from service.client.content import Picture, Sound, absent

if TYPE_CHECKING:
    import pandas


class Client(Common):
    """Synchronous; may be used by several threads."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(url, **options)
        self._http = httpx.Client(base_url=self.url, headers=self._headers, limits=httpx.Limits(max_connections=None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def predict(
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
        return read(self._send(call, timeout))

    def explain(self, *, model: str | None = None, timeout: float | None = None, **parts: Any) -> dict[str, Any]:
        """Where in each part the answer lies. Options of the query (target, method, budget, ...) are keywords, too."""
        query = {name: parts.pop(name) for name in EXPLAIN if name in parts}
        return dict(self._send(self.call("explain", parts, model, query), timeout).json())

    def map(
        self, rows: Iterable[Mapping[str, Any]], *, concurrency: int = 16, progress: bool = True, **options: Any
    ) -> list[Answer | BraidError]:
        """Many at once: rows of keywords for `predict` -> answers in their order; a row that fails is its error."""

        def one(row: Mapping[str, Any]) -> Answer | BraidError:
            try:
                return self.predict(**{**options, **row})
            except BraidError as error:
                return error

        rows = list(rows)
        with ThreadPoolExecutor(concurrency) as pool, progress_bar(len(rows), progress) as advance:
            return [advance(found) for found in pool.map(one, rows)]

    def predict_frame(self, frame: pandas.DataFrame, **options: Any) -> pandas.DataFrame:
        """Columns named after parts -> columns named after the answers' numbers, with the same index."""
        import pandas

        rows = [{k: v for k, v in row.items() if not absent(v)} for row in frame.to_dict("records")]
        return pandas.DataFrame([flat(found) for found in self.map(rows, **options)], index=frame.index)

    def models(self) -> list[dict[str, Any]]:
        return list(self._get("/v1/models")["data"])

    def describe(self, model: str) -> dict[str, Any]:
        return self._get(f"/v1/models/{quote(model, safe='')}")

    def ready(self) -> bool:
        try:
            return self._http.get("/health/ready", timeout=self.timeout).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._http.get(path, timeout=self.timeout)
        if answer.is_error:
            raise refusal(answer)
        return dict(answer.json())

    def _send(self, call: Call, timeout: float | None) -> httpx.Response:
        until = time.monotonic() + (timeout or self.timeout)
        for attempt in range(self.tries):
            answer = None
            try:
                answer = self._http.post(call.path, params=call.query, files=call.files, **deadline(until))
                if answer.is_success:
                    return answer
            except httpx.TransportError as error:
                trouble: Exception = error
            try:
                pause = self.pause(answer, attempt, until)
            except Unreachable as gone:
                raise gone from trouble
            time.sleep(pause)
        raise Unreachable(f"{self.url} does not answer")
