"""Rows to batches: padding needs a mask, is bounded, and is zero."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.collate import CELLS, WASTE, Collate
from service.ports import Port
from service.types import Row

PIXELS = Port(np.float32, (None, 1, 2, 2))
ROWS = st.lists(
    st.fixed_dictionaries({}, optional={"ids": st.integers(1, 50), "pixels": st.just(1)}), min_size=1, max_size=12
)


def row(ids: int | None = None, pixels: int | None = None) -> Row:
    made: Row = {} if ids is None else {"ids": np.arange(1, ids + 1)}
    return made if pixels is None else made | {"pixels": np.ones((1, 2, 2), np.float32)}


def collate(masked: bool = True, batch: int | None = None) -> Collate:
    ports = {"ids": Port(np.int64, (batch, None)), "pixels": PIXELS}
    return Collate(ports, {"ids"} if masked else set())


@given(ROWS, st.booleans(), st.sampled_from([None, 1]))
def test_every_row_is_in_one_group_and_nothing_is_padded_beyond_measure(
    sizes: list[dict[str, int]], masked: bool, batch: int | None
) -> None:
    rows = [row(**size) for size in sizes]
    groups = collate(masked, batch).groups(rows)
    assert sorted(i for group in groups for i in group) == list(range(len(rows)))
    for group in groups:
        lengths = [sizes[i].get("ids", 0) for i in group]
        assert max(lengths) <= WASTE * min(lengths) or len(group) == 1
        assert masked or len({sizes[i].get("ids") for i in group}) == 1
        assert batch is None or len(group) == batch


@given(ROWS)
def test_short_rows_and_absent_parts_are_zero_and_nothing_else_changes(sizes: list[dict[str, int]]) -> None:
    rows = [row(**size) for size in sizes]
    feed = collate().feed(rows)
    longest = max((size.get("ids", 0) for size in sizes), default=0) or 1
    assert feed["ids"].shape == (len(rows), longest)
    assert feed["pixels"].shape == (len(rows), 1, 2, 2)
    for i, size in enumerate(sizes):
        length = size.get("ids", 0)
        assert feed["ids"][i].tolist() == [*range(1, length + 1)] + [0] * (longest - length)
        assert (feed["pixels"][i] == size.get("pixels", 0)).all()


def test_memory_does_not_follow_the_longest_row() -> None:
    rows: list[Row] = [{"ids": np.empty(CELLS // 3, np.int8)} for _ in range(7)]
    assert [len(group) for group in collate().groups(rows)] == [3, 3, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int32, np.bool_])
def test_numbers_take_the_graphs_type(dtype: Any) -> None:
    port = Port(dtype, (None, 2))
    assert Collate({"x": port}, set()).feed([{"x": np.ones(2)}, {"x": np.zeros(2)}])["x"].dtype == dtype
    assert Collate({"x": port}, set()).feed([{"x": np.ones(2)}, {}])["x"].dtype == dtype
