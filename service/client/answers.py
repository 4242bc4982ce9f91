"""What comes back: answers and refusals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx


class BraidError(Exception):
    """Anything that this client raises."""


class Unreachable(BraidError):
    """No answer before the deadline."""


class Refused(BraidError):
    """The server's own refusal (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> None:
        super().__init__(str(problem.get("detail") or f"status {status}"))
        self.status = status
        self.code: str = problem.get("code", "")
        self.part: str | None = problem.get("part")
        self.limit: float | None = problem.get("limit")
        self.retry_after = retry_after


@dataclass(frozen=True)
class Answer:
    """What predict gives. `label`, `score`, `value`, `embedding` and `detections` are those of the only output."""

    id: str
    model: str
    version: str
    outputs: dict[str, dict[str, Any]]
    parts: dict[str, dict[str, Any]]
    explanation: dict[str, Any] | None = None
    raw: dict[str, Any] | None = None
    stages: dict[str, float] = field(default_factory=dict)  # seconds, from Server-Timing

    def __getattr__(self, name: str) -> Any:
        outputs = self.__dict__.get("outputs", {})
        if len(outputs) == 1 and name in (only := next(iter(outputs.values()))):
            return only[name]
        raise AttributeError(f"no {name!r}; the outputs are {', '.join(outputs)}: see .outputs")


def seconds(header: str | None) -> float | None:
    return float(header) if header and header.isdigit() else None


def refusal(answer: httpx.Response) -> Refused:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return Refused(answer.status_code, problem, seconds(answer.headers.get("retry-after")))


def read(response: httpx.Response) -> Answer:
    said = response.json()
    stages = {}
    for stage in response.headers.get("server-timing", "").split(", "):
        name, _, milliseconds = stage.partition(";dur=")
        if milliseconds:
            stages[name] = float(milliseconds) / 1000
    known = {name: said[name] for name in Answer.__dataclass_fields__ if name in said}
    return Answer(**known, stages=stages)


def flat(found: Answer | BraidError) -> dict[str, Any]:
    if isinstance(found, BraidError):
        return {"error": str(found)}
    return {f"{output}.{key}": value for output, said in found.outputs.items() for key, value in said.items()}
