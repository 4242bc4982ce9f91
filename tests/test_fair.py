"""Whoever has little waiting is not behind whoever has much."""

from collections import deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.fair import Turns


@dataclass(frozen=True, eq=False)
class Item:
    owner: str | None
    number: int


def queue(owners: list[str]) -> tuple[Turns[Item], list[Item]]:
    made: Turns[Item] = Turns()
    items = [Item(owner, number) for number, owner in enumerate(owners)]
    for item in items:
        made.append(item)
    return made, items


def taken(turns: Turns[Item]) -> list[Item]:
    return [turns.popleft() for _ in range(len(turns))]


def test_owners_are_served_in_turn_and_what_one_has_in_its_order() -> None:
    turns, _ = queue(list("aaaabbc"))
    assert [(item.owner, item.number) for item in taken(turns)] == [
        ("a", 0), ("b", 4), ("c", 6), ("a", 1), ("b", 5), ("a", 2), ("a", 3),
    ]  # fmt: skip


def test_who_comes_late_waits_for_one_of_each_other_at_most() -> None:
    turns, _ = queue(["flood"] * 1000)
    for _ in range(10):
        turns.popleft()
    turns.append(Item("calm", -1))
    assert "calm" in [turns.popleft().owner for _ in range(2)]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.data())
def test_nothing_is_lost_doubled_or_out_of_order(owners: list[str], data: st.DataObject) -> None:
    turns, items = queue(owners)
    gone = data.draw(st.lists(st.sampled_from(items), unique=True)) if items else []
    for item in gone:
        turns.remove(item)
        with pytest.raises(ValueError, match="not in"):
            turns.remove(item)
    left = [item for item in items if item not in gone]
    assert len(turns) == len(left)
    assert set(turns) == set(left)
    out = taken(turns)
    for owner in "abc":
        assert [item for item in out if item.owner == owner] == [item for item in left if item.owner == owner]
    assert len(turns) == 0
    with pytest.raises(IndexError):
        turns.popleft()


@given(st.lists(st.integers(0, 2), max_size=50))
def test_with_one_owner_it_is_a_deque(steps: list[int]) -> None:
    turns, plain = Turns[Item](), deque[Item]()
    for number, step in enumerate(steps):
        if step:
            item = Item(None, number)
            turns.append(item)
            plain.append(item)
        elif plain:
            assert turns.popleft() is plain.popleft()
        assert list(turns) == list(plain)
