"""Calls to batches: plain functions on plain lists."""

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batcher import Batcher
from service.errors import DeadlineExceeded, Failed, RequestError, Unavailable


@pytest.fixture(params=["on the loop", "in an engine thread"])
def engine(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    if request.param == "on the loop":
        yield None
    else:
        with ThreadPoolExecutor(1) as executor:
            yield executor


class Doubling:
    """Doubles numbers, remembers its batches; text is poison; waits for `gate`."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, items: list[Any]) -> Sequence[Any]:
        self.gate.wait(2)
        self.batches.append(items)
        if any(isinstance(item, str) for item in items):
            raise ValueError("poison")
        return [2 * item for item in items]


def together(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    async def main() -> list[Any]:
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(main())


@given(st.lists(st.one_of(st.integers(), st.just("poison")), max_size=40), st.integers(1, 10))
def test_everyone_gets_their_own_answer_and_only_the_guilty_fail(items: list[Any], size: int) -> None:
    run = Doubling()
    batcher = Batcher(run, size=size)
    for item, answer in zip(items, together(*(batcher(item, {}) for item in items)), strict=True):
        if item == "poison":
            assert isinstance(answer, Failed)
            assert isinstance(answer.__cause__, ValueError)
        else:
            assert answer == 2 * item
    assert all(len(batch) <= size for batch in run.batches)
    assert len(batcher) == 0


def test_a_batch_is_what_arrived_in_this_turn_in_its_order(engine: Executor | None) -> None:
    run, sizes = Doubling(), list[int]()
    batcher = Batcher(run, size=4, engine=engine, observe=sizes.append)
    assert together(*(batcher(i, {}) for i in range(6))) == [0, 2, 4, 6, 8, 10]
    assert run.batches == [[0, 1, 2, 3], [4, 5]]
    assert sizes == [4, 2]


def test_one_call_alone_does_not_wait_for_company(engine: Executor | None) -> None:
    batcher = Batcher(Doubling(), engine=engine)
    start = time.perf_counter()
    assert together(batcher(1, {})) == [2]
    assert time.perf_counter() - start < 0.5


def test_what_arrives_while_the_engine_is_busy_is_the_next_batch() -> None:
    run = Doubling()
    run.gate.clear()

    async def main(batcher: Batcher[int, int]) -> None:
        first = asyncio.create_task(batcher(0, {}))
        await asyncio.sleep(0.02)
        later = [asyncio.create_task(batcher(i, {})) for i in (1, 2, 3)]
        await asyncio.sleep(0.02)
        assert len(batcher) == 3
        run.gate.set()
        assert await asyncio.gather(first, *later) == [0, 2, 4, 6]

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main(Batcher(run, engine=executor)))
    assert run.batches == [[0], [1, 2, 3]]


def test_a_cancelled_call_leaves_the_queue_and_is_not_run() -> None:
    run = Doubling()
    run.gate.clear()
    rows = [np.full(3, i) for i in range(4)]  # as rows are: arrays do not compare to one truth value

    async def main(batcher: Batcher[Any, Any]) -> None:
        tasks = [asyncio.create_task(batcher(row, {})) for row in rows[:1]]
        await asyncio.sleep(0.02)
        tasks += [asyncio.create_task(batcher(row, {})) for row in rows[1:]]
        await asyncio.sleep(0.02)
        tasks[2].cancel()
        await asyncio.wait([tasks[2]])
        assert tasks[2].cancelled()
        assert len(batcher) == 2
        run.gate.set()
        done = await asyncio.gather(tasks[0], tasks[1], tasks[3])
        assert [int(row[0]) for row in done] == [0, 2, 6]

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main(Batcher(run, engine=executor)))
    assert [int(row[0]) for batch in run.batches for row in batch] == [0, 1, 3]


def test_a_call_that_is_cancelled_while_it_runs_disturbs_nobody() -> None:
    run = Doubling()
    run.gate.clear()

    async def main(batcher: Batcher[int, int]) -> None:
        tasks = [asyncio.create_task(batcher(i, {})) for i in range(2)]
        await asyncio.sleep(0.02)
        tasks[0].cancel()
        run.gate.set()
        assert await tasks[1] == 2
        assert await batcher(5, {}) == 10

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(main(Batcher(run, engine=executor)))


def test_who_is_too_late_is_told_so_and_not_run(engine: Executor | None) -> None:
    run = Doubling()
    batcher = Batcher(run, engine=engine)
    past, future = time.perf_counter() - 1, time.perf_counter() + 60
    late, timely = together(batcher(1, {}, deadline=past), batcher(2, {}, deadline=future))
    assert isinstance(late, DeadlineExceeded)
    assert timely == 4
    assert run.batches == [[2]]


def test_an_error_of_ours_is_handed_on_to_its_caller(engine: Executor | None) -> None:
    batcher = Batcher(Doubling(), engine=engine)
    answers = together(batcher(1, {}), batcher("poison", {}), batcher(3, {}))
    assert answers[0::2] == [2, 6]
    assert isinstance(answers[1], RequestError)
    assert "poison" not in answers[1].detail


def test_the_batcher_goes_on_after_a_failure(engine: Executor | None) -> None:
    batcher = Batcher(Doubling(), engine=engine)

    async def main() -> None:
        with pytest.raises(Failed):
            await batcher("poison", {})
        assert await batcher(1, {}) == 2

    asyncio.run(main())


def test_a_run_that_loses_an_answer_is_a_failure_and_no_deadlock(engine: Executor | None) -> None:
    batcher: Batcher[int, int] = Batcher(lambda items: items[1:], engine=engine)

    async def main() -> None:
        async with asyncio.timeout(5):
            answers = await asyncio.gather(batcher(1, {}), batcher(2, {}), return_exceptions=True)
        assert all(isinstance(answer, Failed) for answer in answers)

    asyncio.run(main())


def test_waiting_and_running_are_timed(engine: Executor | None) -> None:
    stages: dict[str, float] = {}
    together(Batcher(Doubling(), engine=engine)(1, stages))
    assert stages.keys() == {"queue", "run"}
    assert min(stages.values()) >= 0


def test_the_patient_run_after_all_others_and_apart_from_them(engine: Executor | None) -> None:
    run = Doubling()
    batcher = Batcher(run, size=2, engine=engine)
    calls = [batcher(item, {}, patient=item > 2) for item in (3, 4, 5, 1, 2)]
    assert together(*calls) == [6, 8, 10, 2, 4]
    assert run.batches == [[1, 2], [3, 4], [5]]


def test_who_comes_while_the_patient_run_waits_for_one_batch_only() -> None:
    run = Doubling()
    run.gate.clear()

    async def main(engine: Executor) -> None:
        batcher = Batcher(run, size=1, engine=engine)
        patient = [asyncio.ensure_future(batcher(item, {}, patient=True)) for item in range(5)]
        await asyncio.sleep(0.01)
        hurried = asyncio.ensure_future(batcher(99, {}))
        await asyncio.sleep(0.01)
        run.gate.set()
        await asyncio.gather(hurried, *patient)

    with ThreadPoolExecutor(1) as engine:
        asyncio.run(main(engine))
    assert run.batches[1] == [99]


def test_a_run_that_ends_its_thread_is_a_failure_and_no_deadlock() -> None:
    """SystemExit and the like are no Exception."""

    def run(items: list[int]) -> list[int]:
        if 0 in items:
            raise SystemExit
        return items

    async def main(engine: Executor) -> None:
        batcher = Batcher(run, engine=engine)
        with pytest.raises(Failed):
            await batcher(0, {})
        assert await batcher(1, {}) == 1

    with ThreadPoolExecutor(1) as engine:
        asyncio.run(main(engine))


def test_who_is_given_up_is_told_so_and_so_is_everybody_after() -> None:
    run = Doubling()
    run.gate.clear()

    async def main(engine: Executor) -> None:
        batcher = Batcher(run, size=1, engine=engine)
        calls = [asyncio.ensure_future(batcher(i, {}, patient=i > 2)) for i in range(4)]
        await asyncio.sleep(0.02)  # one runs, two wait, one is patient
        batcher.give_up("gone")
        for call in calls:
            with pytest.raises(Unavailable, match="gone"):
                await call
        with pytest.raises(Unavailable, match="gone"):
            await batcher(5, {})
        run.gate.set()

    with ThreadPoolExecutor(1) as engine:
        asyncio.run(main(engine))


def test_who_is_too_late_can_be_told_while_the_engine_is_busy() -> None:
    run = Doubling()
    run.gate.clear()

    async def main(engine: Executor) -> None:
        batcher = Batcher(run, size=1, engine=engine)
        first = asyncio.ensure_future(batcher(1, {}))
        await asyncio.sleep(0.02)
        late = asyncio.ensure_future(batcher(2, {}, deadline=time.perf_counter() + 0.05))
        timely = asyncio.ensure_future(batcher(3, {}, deadline=time.perf_counter() + 60))
        await asyncio.sleep(0.1)
        batcher.expire()
        with pytest.raises(DeadlineExceeded):
            await late
        assert not first.done()
        run.gate.set()
        assert [await first, await timely] == [2, 6]

    with ThreadPoolExecutor(1) as engine:
        asyncio.run(main(engine))
    assert run.batches == [[1], [3]]


def test_batches_of_which_nothing_comes_out_are_counted_until_something_does() -> None:
    batcher = Batcher(Doubling())
    for expected in (1, 2):
        together(batcher("poison", {}), batcher("poison", {}))
        assert batcher.failures == expected
    together(batcher("poison", {}), batcher(1, {}))
    assert batcher.failures == 0


def test_owners_are_served_in_turn_where_that_is_wanted() -> None:
    for fair, expected in ((False, [[1, 2], [3, 4], [9]]), (True, [[1, 9], [2, 3], [4]])):
        run = Doubling()
        batcher = Batcher(run, size=2, fair=fair)
        calls = [batcher(item, {}, owner="flood") for item in (1, 2, 3, 4)]
        together(*calls, batcher(9, {}, owner="calm"))
        assert run.batches == expected
