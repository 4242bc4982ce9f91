"""Labels of zero-shot classifications to what a row has of them: encoded once for each set of labels, then kept."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import Executor

from service.errors import DeadlineExceeded, TooLarge
from service.limits import Limits
from service.model import Model
from service.types import Asked, Row, Stages

KEPT = 2**25  # bytes of labels' vectors that are kept; 8000 labels of CLIP
Run = Callable[[Row, str | None], Awaitable[Row]]  # the row, and whose request it belongs to


class Prompts:
    """Belongs to the event loop. `run` answers a row, so that prompts share batches with what else waits."""

    def __init__(self, model: Model, run: Run, pool: Executor, limits: Limits) -> None:
        assert model.zero_shot
        self._model, self._output = model, model.zero_shot
        self._run, self._pool, self._limits = run, pool, limits
        self._kept: dict[tuple[object, ...], asyncio.Task[Row]] = {}

    async def __call__(
        self,
        parts: Collection[str],
        asked: Asked,
        stages: Stages,
        *,
        deadline: float = float("inf"),
        owner: str | None = None,
    ) -> Row:
        """{} where no labels are asked for. Adds to `stages`. Raises MissingPart, TooLarge, DeadlineExceeded."""
        if asked.labels is None:
            return {}
        self._output.fit(parts)
        start = time.perf_counter()
        key = asked.labels, asked.template
        task = self._kept.pop(key, None)
        if task is None:
            task = asyncio.ensure_future(self._made(asked, owner))
            task.add_done_callback(lambda done: self._trim(key, done))
        self._kept[key] = task  # the last used is the last to go
        try:
            async with asyncio.timeout(deadline - start):
                row = await asyncio.shield(task)  # another request may wait for the same labels
        except TimeoutError as error:
            raise DeadlineExceeded("the deadline passed before the labels were encoded") from error
        stages["encode.labels"] = time.perf_counter() - start
        return row

    async def _made(self, asked: Asked, owner: str | None) -> Row:
        texts = [text.encode() for text in self._output.prompts(asked)]
        part = self._output.candidates
        most = self._model.manifest.inputs[part].limit(self._limits)
        if any(len(text) > most for text in texts):
            raise TooLarge("a label", part="labels", limit=most)
        encode = self._model.encode_part
        rows = await asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: [encode(part, text) for text in texts]
        )
        return self._output.compared(await asyncio.gather(*(self._run(row, owner) for row in rows)))

    def _trim(self, key: tuple[object, ...], done: "asyncio.Task[Row]") -> None:
        """Failures are not kept, nor what was not used for longest once there is too much."""
        if done.cancelled() or done.exception():
            if self._kept.get(key) is done:
                del self._kept[key]
            return
        sizes = {
            key: sum(array.nbytes for array in task.result().values())
            for key, task in self._kept.items()
            if task.done() and not task.cancelled() and not task.exception()
        }
        total = sum(sizes.values())
        for oldest, size in sizes.items():
            if total <= KEPT:
                return
            del self._kept[oldest]
            total -= size
