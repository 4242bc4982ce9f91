"""How much a model holds at once, who gets a place, and when to come back. The clock is ours."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission import MOST, UPLOAD, Admission, Pace, Place
from service.errors import QueueFull


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Model:
    """An engine that answers one request every `seconds`, and who waits for it."""

    def __init__(self, seconds: float, *, items: int = 1000, size: int = 10**9, wait: float = 2.0) -> None:
        self.clock = Clock()
        self.seconds = seconds
        self.admission = Admission(items, size, wait, self.clock)
        self.waiting: list[Place] = []

    def ask(self, size: int = 1, *, time: float = 10**9, key: str | None = None) -> None:
        """Raises QueueFull."""
        place = self.admission.hold(size, deadline=self.clock.now + time, key=key)
        place.whole(size)
        self.waiting.append(place)

    def work(self, answers: int = 1) -> None:
        for _ in range(answers):
            self.clock.now += self.seconds
            self.waiting.pop(0).__exit__()

    def learn(self) -> None:
        for _ in range(40):
            self.ask()
            self.work()

    def fill(self, key: str | None = None) -> int:
        """How many are accepted."""
        count = 0
        try:
            while True:
                self.ask(key=key)
                count += 1
        except QueueFull:
            return count


@contextmanager
def held(admission: Admission, size: int) -> Iterator[None]:
    with admission.hold(size) as place:
        place.whole(size)
        yield


# -- items and bytes --------------------------------------------------------------------------------------------------


@given(st.integers(1, 5), st.integers(1, 100), st.lists(st.integers(0, 60), max_size=12))
def test_neither_items_nor_bytes_ever_exceed_their_bounds_but_one_always_fits(
    items: int, size: int, requests: list[int]
) -> None:
    admission = Admission(items, size, 2.0)
    with ExitStack() as stack:
        for request in requests:
            if admission.items == items or (admission.items and admission.bytes + request > size):
                with pytest.raises(QueueFull):
                    stack.enter_context(held(admission, request))
            else:
                stack.enter_context(held(admission, request))
            assert admission.items <= items
            assert admission.bytes <= size or admission.items == 1
    assert (admission.items, admission.bytes) == (0, 0)


def test_a_request_that_fails_gives_its_place_back() -> None:
    admission = Admission(1, 100, 2.0)
    with pytest.raises(ValueError, match="broken"), admission.hold(50):
        raise ValueError("broken")
    with admission.hold(50):
        assert admission.items == 1


def test_the_refusal_says_the_limit_and_when_to_come_back() -> None:
    admission = Admission(1, 100, 2.0)
    with admission.hold(1), pytest.raises(QueueFull) as refusal, admission.hold(1):
        pass
    assert refusal.value.status == 429
    assert refusal.value.limit == 1
    assert refusal.value.retry_after == 1


def test_bytes_that_nobody_announced_are_counted_as_they_come() -> None:
    admission = Admission(10, 100, 2.0)
    with admission.hold(0) as one, admission.hold(0) as other:
        one.grow(60)
        other.grow(30)
        assert admission.bytes == 90
        with pytest.raises(QueueFull, match="bytes"):
            other.grow(30)
        one.whole(65)
        assert admission.bytes == 95
    assert (admission.items, admission.bytes) == (0, 0)


# -- bodies that are long on their way --------------------------------------------------------------------------------


def test_who_sends_slowly_keeps_its_place_for_a_moment_only() -> None:
    clock = Clock()
    admission = Admission(2, 1000, 2.0, clock)
    with admission.hold(400) as slow, admission.hold(400) as slower:
        slow.grow(1)
        slower.grow(1)
        with pytest.raises(QueueFull):
            admission.hold(400)
        clock.now += UPLOAD + 0.1
        with admission.hold(400) as quick:
            quick.whole(400)
            assert (admission.items, admission.bytes) == (1, 402)
            slow.grow(398)
            slow.whole(400)  # it is there, and there is room
            assert (admission.items, admission.bytes) == (2, 801)
            with pytest.raises(QueueFull):
                slower.whole(400)
        assert admission.items == 1
    assert (admission.items, admission.bytes, admission.reading) == (0, 0, {})


def test_a_body_on_its_way_is_no_work() -> None:
    """Slow senders do not make the engine look slow."""
    model = Model(0.01)
    model.learn()
    with model.admission.hold(1000) as slow:
        slow.grow(1)
        model.clock.now += 30
    model.ask()
    model.work()
    assert model.fill() > 150


# -- seconds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.1, 0.5])
def test_what_is_accepted_can_be_answered_in_time(seconds: float) -> None:
    model = Model(seconds)
    model.learn()
    assert model.fill() == pytest.approx(min(1000, 2 / seconds), rel=0.05)
    with pytest.raises(QueueFull) as refusal:
        model.ask()
    assert refusal.value.retry_after == pytest.approx(2, abs=1)
    model.work()
    model.ask()


def test_the_bound_follows_the_rate() -> None:
    model = Model(0.01)
    model.learn()
    model.seconds = 0.05
    model.fill()
    model.work(170)
    assert len(model.waiting) + model.fill() == pytest.approx(40, abs=2)
    model.seconds = 0.01
    model.work(len(model.waiting))
    for _ in range(200):
        model.ask()
        model.work()
    assert model.fill() > 150


def test_who_is_alone_is_never_refused_however_slow_the_model() -> None:
    model = Model(10.0)
    for _ in range(5):
        model.ask()
        model.work()
    model.ask()


def test_what_runs_and_what_is_the_next_batch_are_never_too_much() -> None:
    model = Model(10.0)
    model.admission.floor = 8
    model.ask()
    model.work()
    assert model.fill() == 8


def test_answers_that_come_many_at_once_are_as_good_as_one_by_one() -> None:
    """A batch of 16 every 0.16 seconds: 100 a second."""
    model = Model(0.0)
    for _ in range(30):
        for _ in range(16):
            model.ask()
        model.clock.now += 0.16
        model.work(16)
    assert model.fill() == pytest.approx(200, rel=0.1)


def test_a_burst_after_requests_one_by_one_is_not_taken_for_more_than_batches_can_do() -> None:
    """Alone, a request takes as long as a batch of 16 would: that says little of what the model can do."""
    model = Model(0.1)
    model.admission.full, model.admission.pace = 32, Pace(0.1 / 16)
    model.learn()
    assert model.fill() == pytest.approx(320, abs=2)


def test_what_is_seen_when_there_is_more_to_do_than_can_be_done_counts() -> None:
    model = Model(0.0)
    model.admission.full, model.admission.pace = 32, Pace(0.001)
    for _ in range(48):
        model.ask()
    for _ in range(10):
        model.clock.now += 0.16
        model.work(16)
        for _ in range(16):
            model.ask()
    assert len(model.waiting) + model.fill() == pytest.approx(200, rel=0.1)


def test_a_bound_that_was_too_low_does_not_stay_so() -> None:
    """Long decoding has made it low; it is over, and never again are there as many requests as fill two batches."""
    model = Model(0.5)
    model.admission.full = 32
    for _ in range(40):
        model.ask()
    model.work(40)
    assert model.fill() == 4
    model.work(4)
    model.seconds = 0.01
    for _ in range(400):
        model.ask()
        model.work()
    assert model.fill() > 150


def test_the_pauses_between_requests_are_no_work() -> None:
    model = Model(0.01)
    for _ in range(40):
        model.ask()
        model.work()
        model.clock.now += 5
    assert model.fill() == pytest.approx(200, rel=0.05)


def test_the_time_to_come_back_is_bounded() -> None:
    model = Model(1.0, wait=10**6)
    model.learn()
    model.fill()
    assert model.admission.retry_after() == MOST


def test_those_that_nobody_waits_for_make_no_wait() -> None:
    model = Model(1.0)
    model.learn()
    places = [model.admission.hold(1, patient=True) for _ in range(20)]
    for place in places:
        place.whole(1)
    model.ask()
    assert model.admission.items == 21


# -- deadlines --------------------------------------------------------------------------------------------------------


def test_who_would_wait_past_its_deadline_is_refused_at_once() -> None:
    model = Model(0.1)
    model.learn()
    for _ in range(15):
        model.ask()
    with pytest.raises(QueueFull, match="has time"):
        model.ask(time=1.0)
    model.ask(time=1.6)


@pytest.mark.parametrize("time", [0.0, 0.1, 0.2])
def test_who_has_hardly_any_time_is_not_told_sooner_but_told_504(time: float) -> None:
    model = Model(0.1)
    model.learn()
    for _ in range(15):
        model.ask()
    model.ask(time=time)


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [1000, 50])
def test_a_key_that_floods_leaves_room_for_others(items: int) -> None:
    model = Model(0.01, items=items)
    model.learn()
    most = min(items, 200)
    assert model.fill("flood") == pytest.approx(most / 2, abs=1)
    assert model.fill("other") == pytest.approx(most / 4, abs=2)
    model.ask(key="third")


def test_without_keys_there_are_no_shares() -> None:
    model = Model(0.01)
    model.learn()
    assert model.fill() == pytest.approx(200, abs=2)


def test_a_key_with_little_to_do_is_not_late_because_of_another() -> None:
    """Keys are served in turn, so what another has waiting is not before it."""
    model = Model(0.1)
    model.learn()
    while model.fill("flood") > 1:
        pass
    model.ask(time=0.5, key="calm")
    with pytest.raises(QueueFull):
        model.ask(time=0.5, key="flood")


# -- all of it --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32))
def test_whatever_happens_the_counts_are_right_and_end_at_nothing(seed: int) -> None:
    chance, clock = random.Random(seed), Clock()
    admission = Admission(6, 200, 2.0, clock)
    places: list[tuple[Place, int, int]] = []  # announced, and there
    for _ in range(60):
        clock.now += chance.choice([0, 0.1, 2])
        announced = chance.choice([0, 20, 40])
        try:
            if chance.random() < 0.5 or not places:
                key = chance.choice([None, "a", "b"])
                place = admission.hold(announced, key=key, patient=chance.random() < 0.2)
                places.append((place, announced, 0))
            elif chance.random() < 0.5:
                place, announced, there = places.pop()
                if there >= 0:
                    try:
                        place.grow(10)
                        places.append((place, announced, there + 10))
                        if chance.random() < 0.5:
                            place.whole(there + 10)
                            places[-1] = place, announced, -1
                    except QueueFull:
                        place.__exit__()
                        places = [entry for entry in places if entry[0] is not place]
                        raise
                else:
                    place.__exit__()
            else:
                places.pop(0)[0].__exit__()
        except QueueFull:
            pass
        assert 0 <= admission.items <= 6
        assert admission.bytes >= 0
    for place, _, _ in places:
        place.__exit__()
    assert (admission.items, admission.bytes, admission.reading, admission._keys) == (0, 0, {}, {})


def test_one_late_answer_says_little_and_many_say_all() -> None:
    """As while a graph is measured beside the first requests."""
    pace = Pace(0.05)
    pace.answered(0.7)
    assert pace.interval < 0.1
    for _ in range(10):
        pace.answered(0.7)
    assert pace.interval == pytest.approx(0.7)
    assert Pace().interval == 0
