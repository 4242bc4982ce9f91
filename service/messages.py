"""What supervisor and workers tell each other of changes of what is served. Small: a pipe takes them at once."""

from dataclasses import dataclass
from typing import Literal

Change = Literal["reload", "load", "unload"]


@dataclass(frozen=True)
class Wish:
    """An operator's. `reload`: whatever the folders hold now is to be served; else it is about one model."""

    change: Change
    name: str = ""


@dataclass(frozen=True)
class Outcome:
    """Models as (name, version). With an `error` nothing has changed; `status` is what a client is told with it."""

    loaded: tuple[tuple[str, str], ...] = ()
    unloaded: tuple[tuple[str, str], ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    error: str = ""
    status: int = 200


@dataclass(frozen=True)
class Place:
    """Where a bundle lies, and what its manifest must be: the one that was tried."""

    folder: str
    digest: str


@dataclass(frozen=True)
class Asked:
    """Worker: a client wishes this."""

    number: int
    wish: Wish


@dataclass(frozen=True)
class Answer:
    """Supervisor: what became of it."""

    number: int
    outcome: Outcome


@dataclass(frozen=True)
class Prepare:
    """Supervisor: load these beside what is served."""

    number: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Prepared:
    """Worker: they are there, or why they are not."""

    number: int
    error: str = ""


@dataclass(frozen=True)
class Commit:
    """Supervisor: serve these from now on, in this order; they are prepared, or served already."""

    number: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Committed:
    """Worker: so it is."""

    number: int


@dataclass(frozen=True)
class Abort:
    """Supervisor: forget what is prepared."""

    number: int


@dataclass(frozen=True)
class Count:
    """Supervisor, to one worker: a change is over."""

    change: Change
    done: bool


@dataclass(frozen=True)
class Renew:
    """Supervisor: read again what is read only once, such as certificates."""


Order = Prepare | Commit | Abort | Answer | Count | Renew
Report = Prepared | Committed | Asked
