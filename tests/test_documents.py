"""What counts in a JSON document is what becomes objects, not what stands within strings."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Malformed
from service.web import documents

VALUES = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
PAD = "p" * documents.SMALL  # smaller documents are not looked at


def marks(value: Any) -> tuple[int, int]:
    """Commas and colons; lists, objects and strings."""
    if not isinstance(value, list | dict):
        return 0, int(isinstance(value, str))
    inner = [marks(each) for each in (value.values() if isinstance(value, dict) else value)]
    own = max(0, len(value) - 1) + (len(value) if isinstance(value, dict) else 0)
    keys = len(value) if isinstance(value, dict) else 0
    return own + sum(each[0] for each in inner), 1 + keys + sum(each[1] for each in inner)


@given(value=VALUES)
def test_as_many_as_there_are_is_not_too_many(value: Any) -> None:
    data = json.dumps([PAD, value]).encode()
    values, objects = marks([PAD, value])
    documents.bounded(data, values=values, objects=objects)
    with pytest.raises(Malformed):
        documents.bounded(data, values=values - 1, objects=objects)
    with pytest.raises(Malformed):
        documents.bounded(data, values=values, objects=objects - 1)


def test_a_text_may_hold_any_number_of_marks() -> None:
    documents.bounded(json.dumps({"inputs": {"text": r'",":{[\"' * 20_000}}).encode())
