"""Engines that hang or are broken are found; those that only get bad uploads are not."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from service.batcher import Batcher
from service.calibrate import Plan
from service.errors import Failed, Unavailable
from service.health import FAILURES, Health
from service.logs import Log
from service.threads import Threads

Run = Callable[[list[Any]], Sequence[Any]]


def served(run: Run, engine: Threads | None, seconds: float = 0.001) -> Any:
    """A model that runs a plain function, and whose example is the row 0."""
    model = SimpleNamespace(
        run=run, example=SimpleNamespace(row=0), manifest=SimpleNamespace(name="plain")
    )  # what is looked at of one
    batcher: Batcher[Any, Any] = Batcher(run, engine=engine, size=1)
    return Holder(model=model, batcher=batcher, plan=Plan(encode=0.0, runs={1: seconds}))


class Holder(SimpleNamespace):
    __hash__ = object.__hash__  # type: ignore[assignment]  # identity, as that of what is served


def health(seconds: float, decoders: Threads | None = None) -> Health:
    return Health(seconds, decoders or Threads(1, "decode"), Log("off"))


def test_a_pool_knows_how_long_its_longest_job_has_been_running() -> None:
    pool, gate = Threads(2, "pool"), threading.Event()
    assert pool.longest == 0
    first = pool.submit(gate.wait, 10)
    time.sleep(0.1)
    second = pool.submit(gate.wait, 10)
    assert 0.1 <= pool.longest < 5
    gate.set()
    first.result()
    second.result()
    quiet = pool.pool.submit(time.sleep, 0.1)
    assert pool.longest == 0
    quiet.result()
    pool.shutdown()


@pytest.mark.parametrize("usual", [0.001, 0.05])
def test_a_run_is_held_to_hang_after_the_bound_or_ten_times_the_usual(usual: float) -> None:
    gate, engine = threading.Event(), Threads(1, "engine")

    def run(items: list[Any]) -> list[Any]:
        gate.wait(20)
        return items

    async def main() -> None:
        one, looking = served(run, engine, usual), health(0.2)
        looking.watch(one)
        calls = [asyncio.ensure_future(one.batcher(i, {})) for i in range(3)]
        began = time.monotonic()
        while not looking.failing:
            assert time.monotonic() - began < 5
            await asyncio.sleep(0.01)
            looking.look()
        assert time.monotonic() - began > max(0.2, 10 * usual)
        for call in calls:
            with pytest.raises(Unavailable):
                await call
        gate.set()

    asyncio.run(main())
    engine.shutdown()


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("broken", [True, False])
def test_an_engine_of_which_nothing_comes_out_is_asked_for_what_it_must_know(threaded: bool, broken: bool) -> None:
    """The example is the row 0; all others are bad uploads."""

    def run(items: list[Any]) -> list[Any]:
        if broken or any(items):
            raise ValueError
        return items

    engine = Threads(1, "engine") if threaded else None

    async def main() -> None:
        one, looking = served(run, engine), health(30)
        looking.watch(one)
        for _ in range(FAILURES):
            assert not looking.failing
            with pytest.raises(Failed):
                await one.batcher(1, {})
            looking.look()
        await asyncio.sleep(0.1)
        if broken:
            assert looking.failing
            with pytest.raises(Unavailable):
                await one.batcher(0, {})
        else:
            assert not looking.failing
            assert await one.batcher(0, {}) == 0

    asyncio.run(main())
    if engine:
        engine.shutdown()


def test_decoding_that_does_not_end_is_found() -> None:
    decoders, gate = Threads(1, "decode"), threading.Event()
    looking = health(0.1, decoders)
    job = decoders.submit(gate.wait, 10)
    time.sleep(0.05)
    looking.look()
    assert not looking.failing
    time.sleep(0.1)
    looking.look()
    assert looking.failing
    gate.set()
    job.result()
    decoders.shutdown()


def test_what_is_no_longer_served_is_forgotten() -> None:
    async def main() -> None:
        looking = health(30)
        looking.watch(served(lambda items: items, None))
        looking.look()
        assert not looking._watched

    asyncio.run(main())
