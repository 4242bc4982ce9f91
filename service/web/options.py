"""The query string of predict and explain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import parse_qsl

from service.errors import Malformed
from service.web import controls

BOOLEANS = {"true": True, "1": True, "": True, "false": False, "0": False}
TARGET = ("output", "target", "scale")  # what is explained
METHOD = ("method", "budget", "seed")  # how, inside parts
PREDICT = ("top_k", "raw", "explain", *TARGET, *controls.NAMES)
EXPLAIN = (*TARGET, *METHOD, *controls.NAMES)


@dataclass(frozen=True, slots=True)
class Options:
    top_k: int | None = None
    raw: bool = False
    explain: str | None = None  # parts, or places (in each part)
    controls: Mapping[str, str] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)  # TARGET and METHOD, as they stand


@lru_cache(maxsize=256)
def query(string: bytes, explain: bool = False) -> Options:
    """Raises Malformed for what is not an option, or twice."""
    try:
        pairs = parse_qsl(string.decode("ascii"), keep_blank_values=True, strict_parsing=True) if string else []
    except ValueError as error:
        raise Malformed("not a valid query string") from error
    given = dict(pairs)
    known = EXPLAIN if explain else PREDICT
    if len(given) < len(pairs) or not given.keys() <= {*known}:
        raise Malformed(f"the query takes {', '.join(known)}, each once")
    raw = BOOLEANS.get(given.get("raw", "false"))
    if raw is None:
        raise Malformed("raw is true or false")
    what = "places" if explain else given.get("explain")
    if what not in (None, "parts", "places") or (what == "places" and not explain):
        raise Malformed("explain is parts; POST explain says where in them")
    why = {name: given[name] for name in (*TARGET, *METHOD) if name in given}
    if why and not what:
        raise Malformed(f"{next(iter(why))} belongs to explain=parts")
    said = {name: given[name] for name in controls.NAMES if name in given}
    return Options(whole(given, "top_k"), raw, what, said, why)


def whole(given: Mapping[str, str], name: str, least: int = 1) -> int | None:
    """Raises Malformed."""
    value = given.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) >= least):
        raise Malformed(f"{name} is a whole number of at least {least}")
    return int(value)
