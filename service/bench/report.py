"""Answers to figures: a report, which is also what --json writes."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from service import __version__
from service.bench.connection import REFUSED, Answer, Outcome
from service.bench.load import Load
from service.bench.requests import Subset

STAGE = re.compile(rb"([^;,\s]+);dur=([0-9.]+)")  # of Server-Timing


class Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Spread(Figures):
    """Seconds; exact, by nearest rank over every answer."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    max: float


class Fault(Figures):
    count: int
    detail: str = ""  # what the first one said


class Part(Figures):
    """One subset of the mix."""

    answered: int
    requests_per_second: float
    latency: Spread | None


class Report(Figures):
    """`sent` is `answered` plus all `errors`. Latencies are those of good answers: a quick refusal flatters nobody."""

    braid: str = __version__
    url: str
    loop: str
    connections: int
    rate: float | None
    warmup: float
    seconds: float
    sent: int
    answered: int
    requests_per_second: float
    latency: Spread | None
    mix: dict[str, Part]
    stages: dict[str, Spread]  # what the server says of itself by Server-Timing
    errors: dict[str, Fault]
    late: Spread | None  # by how much the client missed the schedule of an open loop
    client_cores: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """Nearest rank: the least value that at least this share of the values does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    ordered = sorted(values)
    p50, p90, p99 = (percentile(ordered, share) for share in (0.5, 0.9, 0.99))
    mean = math.fsum(ordered) / len(ordered)
    return Spread(count=len(ordered), mean=mean, p50=p50, p90=p90, p99=p99, max=ordered[-1])


def good(outcome: Outcome) -> bool:
    return isinstance(outcome, int) and outcome < REFUSED


def latencies(load: Load, subset: int | None = None) -> list[float]:
    """Seconds, of good answers to requests begun in the measured time."""
    return [
        answer.end - answer.start
        for answer in load.answers
        if answer.start >= load.start and good(answer.outcome) and subset in (None, answer.subset)
    ]


def report(load: Load, url: str, subsets: Sequence[Subset], client_cores: float) -> Report:
    measured = [answer for answer in load.answers if answer.start >= load.start]
    answered = [answer for answer in measured if good(answer.outcome)]
    plan = load.plan
    return Report(
        url=url,
        loop="closed" if plan.rate is None else "open",
        connections=plan.connections,
        rate=plan.rate,
        warmup=plan.warmup,
        seconds=plan.seconds,
        sent=load.sent,
        answered=len(answered),
        requests_per_second=rate(load),
        latency=spread(latencies(load)),
        mix={subset.name: part(load, number) for number, subset in enumerate(subsets)},
        stages=stages(answered),
        errors=errors(load, measured),
        late=spread(load.late),
        client_cores=client_cores,
    )


def rate(load: Load, subset: int | None = None) -> float:
    """Good answers that came within the measured time, a second of it: also those to requests of the warm-up."""
    within = sum(
        load.start <= answer.end < load.end and good(answer.outcome) and subset in (None, answer.subset)
        for answer in load.answers
    )
    return within / load.plan.seconds


def part(load: Load, subset: int) -> Part:
    found = latencies(load, subset)
    return Part(answered=len(found), requests_per_second=rate(load, subset), latency=spread(found))


def stages(answers: Sequence[Answer]) -> dict[str, Spread]:
    taken: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        for name, milliseconds in STAGE.findall(answer.timing):
            taken[name.decode("latin-1")].append(float(milliseconds) / 1000)
    return {name: found for name, values in taken.items() if (found := spread(values))}


def errors(load: Load, answers: Sequence[Answer]) -> dict[str, Fault]:
    counts: dict[Outcome, int] = defaultdict(int)
    for answer in answers:
        if not good(answer.outcome):
            counts[answer.outcome] += 1
    said = {outcome: detail(load.said.get(outcome, b"")) for outcome in counts}
    return {str(outcome): Fault(count=counts[outcome], detail=said[outcome]) for outcome in sorted(counts, key=str)}


def detail(body: bytes) -> str:
    """The `detail` of application/problem+json."""
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("detail", "")) if isinstance(document, dict) else ""
