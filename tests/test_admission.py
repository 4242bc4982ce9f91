"""How much a model holds at once, and when to come back."""

import time
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.admission import MOST, Admission
from service.errors import QueueFull


@given(st.integers(1, 5), st.integers(1, 100), st.lists(st.integers(0, 60), max_size=12))
def test_neither_items_nor_bytes_ever_exceed_their_bounds_but_one_always_fits(
    items: int, size: int, requests: list[int]
) -> None:
    admission = Admission(items, size)
    with ExitStack() as held:
        for request in requests:
            if admission.items == items or (admission.items and admission.bytes + request > size):
                with pytest.raises(QueueFull):
                    held.enter_context(admission.hold(request))
            else:
                held.enter_context(admission.hold(request))
            assert admission.items <= items
            assert admission.bytes <= size or admission.items == 1
    assert (admission.items, admission.bytes) == (0, 0)


def test_a_request_that_fails_gives_its_place_back() -> None:
    admission = Admission(1, 100)
    with pytest.raises(ValueError, match="broken"), admission.hold(50):
        raise ValueError("broken")
    with admission.hold(50):
        assert admission.items == 1


def test_the_refusal_says_the_limit_and_when_to_come_back() -> None:
    admission = Admission(1, 100)
    with admission.hold(1), pytest.raises(QueueFull) as refusal, admission.hold(1):
        pass
    assert refusal.value.status == 429
    assert refusal.value.limit == 1
    assert refusal.value.retry_after == 1


def test_the_time_to_come_back_follows_the_observed_rate() -> None:
    """100 requests held, and one answer every 50 ms: five seconds of work."""
    admission = Admission(1000, 10**6)
    with ExitStack() as waiting:
        for _ in range(100):
            waiting.enter_context(admission.hold(1))
        for _ in range(40):
            with admission.hold(1):
                time.sleep(0.05)
        assert 3 <= admission.retry_after() <= 8


def test_the_time_to_come_back_is_bounded() -> None:
    admission = Admission(10**4, 10**6)
    with ExitStack() as waiting:
        for _ in range(3000):
            waiting.enter_context(admission.hold(1))
        for _ in range(8):
            with admission.hold(1):
                time.sleep(0.1)
        after = admission.retry_after()
    assert after == MOST
