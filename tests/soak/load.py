"""Clients that send good and hostile requests until they are told to stop, and count what comes back."""

import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import httpx
import pytest

from tests.hostile import bodies, pictures, sounds
from tests.hostile.cases import Case
from tests.process import ROOT, Server

EXAMPLE: dict[str, bytes] = {
    part: next((ROOT / "models/bundles/digits/example").glob(f"{part}.*")).read_bytes()
    for part in ("text", "image", "audio")
}
SUBSETS = [parts for count in (1, 2, 3) for parts in combinations(EXAMPLE, count)]
GROUPS = (
    pictures.bombs, pictures.texts, pictures.ruins, pictures.chimeras, sounds.absurd, sounds.lies, sounds.ruins,
    sounds.chimeras, bodies.texts, bodies.forms, bodies.documents,
)  # fmt: skip
AFTER = 5.0  # seconds after a kill in which connections may have been lost with the worker
HOSTILE = 0.2  # share of the requests
PACE = 0.01  # seconds between two requests of a client


@dataclass
class Counts:
    """Of all clients."""

    answers: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)  # hostile requests by their status
    lost: int = 0  # with a worker that was killed
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of good answers
    killed: float = 0.0  # when a worker was killed last
    lock: threading.Lock = field(default_factory=threading.Lock)


def hostile() -> list[Case]:
    """All but those that are megabytes of nothing: the load is to be on the server, not on its clients."""
    return [case for group in GROUPS for case in group() if len(case.body) < 2**20]


def expected(server: Server) -> dict[tuple[str, ...], Any]:
    """Subset of the parts -> the answer's outputs and weights."""
    return {parts: said(good(server.client, parts)) for parts in SUBSETS}


def good(client: httpx.Client, parts: Sequence[str]) -> httpx.Response:
    return client.post("/v1/predict?raw=true", files={part: ("", EXAMPLE[part]) for part in parts})


def said(answer: httpx.Response) -> list[float]:
    probabilities: list[float] = answer.raise_for_status().json()["raw"]["probabilities"]
    return probabilities


class Clients:
    """`count` of them, each in a thread with connections of its own."""

    def __init__(self, server: Server, count: int, cases: Sequence[Case], answers: dict[tuple[str, ...], Any]) -> None:
        self.counts = Counts()
        self._url, self._cases, self._answers = server.client.base_url, cases, answers
        self._over, self._may = threading.Event(), threading.Event()
        self._resting = threading.Semaphore(0)
        self._threads = [threading.Thread(target=self._run, args=(seed,), daemon=True) for seed in range(count)]

    def start(self) -> None:
        self._may.set()
        for thread in self._threads:
            thread.start()

    def rest(self) -> None:
        """Returns when nothing is under way."""
        self._may.clear()
        for _ in self._threads:
            self._resting.acquire()

    def go_on(self) -> None:
        self._may.set()

    def stop(self) -> None:
        self._over.set()
        self._may.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        client = httpx.Client(base_url=self._url, timeout=60)
        while not self._over.is_set():
            if not self._may.is_set():
                client.close()
                client = httpx.Client(base_url=self._url, timeout=60)
                self._resting.release()
                self._may.wait()
                continue
            start = time.monotonic()
            try:
                if chance.random() < HOSTILE:
                    self._harm(client, chance.choice(self._cases))
                else:
                    self._ask(client, chance.choice(SUBSETS))
            except httpx.TransportError as error:
                with self.counts.lock:
                    self.counts.lost += 1
                    if start - self.counts.killed > AFTER:
                        self.counts.wrong.append(f"{type(error).__name__}, and no worker had been killed")
            time.sleep(PACE)
        client.close()

    def _ask(self, client: httpx.Client, parts: tuple[str, ...]) -> None:
        start = time.monotonic()
        answer = good(client, parts)
        seconds = time.monotonic() - start
        with self.counts.lock:
            self.counts.answers[answer.status_code] += 1
            if answer.status_code == 200:
                self.counts.seconds.append(seconds)
                if said(answer) != pytest.approx(self._answers[parts], abs=1e-5):
                    self.counts.wrong.append(f"another answer to {'+'.join(parts)}")
            elif answer.status_code != 429:
                self.counts.wrong.append(f"{answer.status_code} to {'+'.join(parts)}: {answer.text[:200]}")

    def _harm(self, client: httpx.Client, case: Case) -> None:
        headers = {b"content-type": case.kind.encode()}
        answer = client.post("/v1/predict", content=case.body, headers=headers)
        with self.counts.lock:
            self.counts.refused[answer.status_code] += 1
            if answer.status_code not in (*case.statuses, 429):
                self.counts.wrong.append(f"{answer.status_code} to {case.name}")
