"""A manifest in the making: each value with where it is from, as YAML with comments; what is unknown is ???."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import yaml

from service.errors import BundleError

UNKNOWN = "???"
Place = tuple[str, ...]  # the keys that lead to a value


class Origin(StrEnum):
    """What its comment says of a value."""

    GRAPH = "graph"  # the graph says so
    MEASURED = "measured"  # so it came out on random inputs
    FILE = "file"  # a file beside the graph says so
    GIVEN = "given"  # on the command line
    GUESS = "guess"  # check it: a wrong one changes numbers
    COMPLETE = "COMPLETE"


class Value(NamedTuple):
    value: Any
    origin: Origin
    why: str


class Draft:
    def __init__(self, name: str) -> None:
        self._values: dict[Place, Value] = {}
        self.put("schema", 1, Origin.GIVEN)
        self.put("name", name, Origin.GIVEN, "the folder's")

    def put(self, place: str | Place, value: Any, origin: Origin, why: str = "") -> None:
        """`place`: keys, or keys between dots."""
        self._values[keys(place)] = Value(value, origin, why)

    def __contains__(self, place: str | Place) -> bool:
        return keys(place) in self._values

    def ask(self, place: str | Place, why: str) -> None:
        """Nobody knows it."""
        self.put(place, UNKNOWN, Origin.COMPLETE, why)

    def assign(self, assignments: Iterable[str]) -> None:
        """KEY.KEY=VALUE in YAML; without a value the key goes. Raises BundleError."""
        for assignment in assignments:
            place, equals, text = assignment.partition("=")
            if not (equals and place):
                raise BundleError(f"--set {assignment}: KEY.KEY=VALUE")
            at = keys(place)
            self._values = {each: value for each, value in self._values.items() if each[: len(at)] != at}
            if text:
                self.put(at, parsed(text, f"--set {place}"), Origin.GIVEN)

    def document(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for place, value in self._values.items():
            inner = made
            for key in place[:-1]:
                inner = inner.setdefault(key, {})
            inner[place[-1]] = value.value
        return made

    def text(self) -> str:
        """The manifest, a value a line, with comments."""
        return "\n".join([*self._lines(self.document(), ()), ""])

    def _lines(self, document: dict[str, Any], above: Place) -> Iterable[str]:
        for key, value in document.items():
            place, indent = (*above, key), "  " * len(above)
            known = self._values.get(place)
            if known is None:
                yield f"{indent}{flow(key)}:"
                yield from self._lines(value, place)
            else:
                yield f"{indent}{flow(key)}: {flow(value)}{comment(known)}"

    def listed(self, origin: Origin) -> list[str]:
        """`key.key: value (why)` of each value of this origin."""
        found = [(place, value) for place, value in self._values.items() if value.origin is origin]
        return [f"{'.'.join(place)}: {flow(value.value)}{value.why and f' ({value.why})'}" for place, value in found]


def keys(place: str | Place) -> Place:
    return tuple(place.split(".")) if isinstance(place, str) else place


def comment(value: Value) -> str:
    if value.origin is Origin.GIVEN and not value.why:
        return ""
    return f"  # {value.origin}: {value.why}" if value.why else f"  # {value.origin}"


def flow(value: Any) -> str:
    """YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=2**30)
    return text.removesuffix("...\n").strip()


def parsed(text: str, where: str) -> Any:
    """Raises BundleError."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BundleError(f"{where}: {text!r} is not YAML") from error


def unknowns(text: str) -> list[str]:
    """`line N: what` of what is still to be completed in a manifest's text."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        said, _, why = line.partition("#")
        if UNKNOWN in said:
            found.append(f"line {number}: {said.strip()}{why and f' ({why.strip()})'}")
    return found
