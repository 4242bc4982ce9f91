"""A whole table through scorers: in this process, in several, or on a Ray cluster; order kept, memory bounded."""

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context

from service.score.scorer import Options, Scorer
from service.score.tables import Source

CHUNK = 64  # rows that travel and are written together
AHEAD = 2  # chunks a worker that wait for it
SCORER: list[Scorer] = []  # the one of a worker process


def cores() -> int:
    return len(os.sched_getaffinity(0))


def chunks(sources: Iterable[Source], size: int = CHUNK) -> Iterator[list[Source]]:
    sources = iter(sources)
    while chunk := list(itertools.islice(sources, size)):
        yield chunk


def here(options: Options, sources: Iterable[Source]) -> Iterator[list[bytes]]:
    """In this process."""
    scorer = Scorer(options)
    yield from map(scorer, chunks(sources, max(CHUNK, scorer.batch)))


def processes(options: Options, sources: Iterable[Source], workers: int) -> Iterator[list[bytes]]:
    """In `workers` processes, each with its own model."""
    context = get_context("spawn")  # onnxruntime's threads do not survive a fork
    with ProcessPoolExecutor(workers, context, begin, (options,)) as pool:
        waiting: deque[Future[list[bytes]]] = deque()
        for chunk in chunks(sources):
            waiting.append(pool.submit(score, chunk))
            if len(waiting) >= AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def begin(options: Options) -> None:
    SCORER[:] = [Scorer(options)]


def score(chunk: Sequence[Source]) -> list[bytes]:
    return SCORER[0](chunk)


def run(options: Options, sources: Iterable[Source], workers: int) -> Iterator[list[bytes]]:
    return here(options, sources) if workers == 1 else processes(options, sources, workers)
