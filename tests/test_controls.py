"""Controls: one meaning, whether text in a query or a form, or JSON."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Malformed, OverLimit
from service.limits import Limits
from service.types import Asked
from service.web import controls

KNOWN = frozenset(controls.NAMES)
WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=9, unique=True)


def read(**given: object) -> Asked:
    return controls.asked(None, {}, given, KNOWN, Limits(labels=10))


@given(WORDS, st.floats(allow_nan=False, allow_infinity=False))
def test_text_and_json_values_mean_the_same(labels: list[str], threshold: float) -> None:
    asked = read(labels=labels, threshold=threshold, template="a {}")
    assert asked == Asked(None, threshold, tuple(labels), "a {}")
    assert read(labels=orjson.dumps(labels).decode(), threshold=repr(threshold), template="a {}") == asked


@pytest.mark.parametrize(
    "given",
    [
        {"labels": "a, b"}, {"labels": "{}"}, {"labels": '["a", 1]'}, {"labels": [""]}, {"labels": ["a", "a"]},
        {"labels": 1}, {"template": "no place"}, {"template": "{} and {}"}, {"template": 1},
        {"template": "{}" + "x" * 999}, {"threshold": True}, {"threshold": [1]}, {"threshold": "x"},
        {"threshold": 10**400},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_malformed(given: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        read(**given)


def test_the_number_of_candidates_is_limited() -> None:
    assert len(read(labels=[str(i) for i in range(10)]).labels or ()) == 10
    with pytest.raises(OverLimit) as refusal:
        read(labels=[str(i) for i in range(11)])
    assert refusal.value.limit == 10
