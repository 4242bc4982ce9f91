"""What a request asks besides its parts, from query, form fields or JSON keys alike: text or JSON values -> Asked."""

import math
from collections.abc import Mapping

import orjson

from service.errors import DuplicatePart, Malformed, OverLimit
from service.limits import Limits
from service.types import Asked

NAMES = ("threshold", "labels", "template")
TEMPLATE = 1000  # characters


def asked(
    top_k: int | None, query: Mapping[str, str], body: Mapping[str, object], known: frozenset[str], limits: Limits
) -> Asked:
    """Raises Malformed for a control that the model does not know or that is not valid, DuplicatePart, OverLimit."""
    if not query and not body:
        return Asked(top_k)
    if unknown := (query.keys() | body.keys()) - known:
        raise Malformed(f"this model's answers know no {sorted(unknown)[0]}")
    if query.keys() & body.keys():
        raise DuplicatePart("a control stands in the query and in the body")
    given: dict[str, object] = {**query, **body}
    return Asked(top_k, threshold(given), labels(given, limits), template(given))


def threshold(given: Mapping[str, object]) -> float | None:
    value = given.get("threshold")
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise Malformed("threshold is a number")
    return number


def labels(given: Mapping[str, object], limits: Limits) -> tuple[str, ...] | None:
    """Candidates: a JSON array of different, not empty strings; in JSON bodies the array itself."""
    value = given.get("labels")
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            raise Malformed('labels is a JSON array such as ["a cat", "a dog"]') from error
    if not isinstance(value, list) or not value or not all(isinstance(label, str) and label for label in value):
        raise Malformed('labels is a JSON array such as ["a cat", "a dog"]')
    if len(set(value)) < len(value):
        raise Malformed("a label stands twice")
    if len(value) > limits.labels:
        raise OverLimit(f"{len(value)} labels", limit=limits.labels)
    return tuple(value)


def template(given: Mapping[str, object]) -> str | None:
    """A sentence with one {} where the label goes."""
    value = given.get("template")
    if value is None:
        return None
    if not isinstance(value, str) or value.count("{}") != 1 or len(value) > TEMPLATE:
        raise Malformed("template is a short sentence with one {} where the label goes")
    return value
