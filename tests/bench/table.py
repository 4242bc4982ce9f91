"""The comparison's rows, one a load, to medians and to README's table of them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

NAMES = {
    "ours": "**Braid**",
    "ours_w1": "**Braid**, 1 worker",
    "ours_w2": "**Braid**, 2 workers",
    "hand": "FastAPI by hand",
    "hand_w2": "FastAPI by hand, 2 workers",
    "hand_batch": "FastAPI by hand with batches",
    "hand_batch_w2": "FastAPI by hand with batches, 2 workers",
    "mosec": "mosec, 2 workers",
    "litserve": "LitServe",
    "mlserver": "MLServer",
    "bentoml": "BentoML",
    "ray": "Ray Serve",
    "triton": "Triton (pytriton)",
}
QUIET = 0.2  # cores that others may use before the figures are not to be trusted


@dataclass(frozen=True)
class Line:
    """Medians of one server at one size and number of connections."""

    name: str
    size: str
    connections: int
    rate: float
    slowest: float  # rate of its slowest round
    fastest: float
    p50: float  # milliseconds, as all that follow
    p99: float
    cpu: float  # of the server's processes, a request
    memory: float  # MiB of the server's processes; pages that they share count for each
    start: float  # seconds
    bad: int  # requests that failed, or answers that were not the reference's

    @property
    def title(self) -> str:
        return NAMES.get(self.name, self.name)

    @property
    def ours(self) -> bool:
        return self.name.startswith("ours")


def medians(rows: Sequence[Mapping[str, Any]]) -> list[Line]:
    """By size, then connections, then the fastest first."""
    rounds = defaultdict(list)
    for row in rows:
        rounds[row["name"], row["size"], row["conc"]].append(row)
    lines = [line(*key, found) for key, found in rounds.items()]
    return sorted(lines, key=lambda line: (line.size, line.connections, -line.rate))


def line(name: str, size: str, connections: int, rows: Sequence[Mapping[str, Any]]) -> Line:
    def middle(key: str) -> float:
        return float(median(row[key] for row in rows))

    return Line(
        name=name,
        size=size,
        connections=connections,
        rate=middle("rps"),
        slowest=min(row["rps"] for row in rows),
        fastest=max(row["rps"] for row in rows),
        p50=middle("p50"),
        p99=middle("p99"),
        cpu=middle("cpu_ms"),
        memory=middle("mib"),
        start=middle("ready"),
        bad=sum(row["errors"] + row["wrong"] for row in rows),
    )


def markdown(lines: Sequence[Line]) -> list[str]:
    head = (
        "server | connections | requests/s (all rounds) | p50 ms | p99 ms | CPU ms a request | RSS MiB | start s | bad"
    )
    return [f"| {head} |", "|---|" + "---:|" * head.count("|"), *map(cells, lines)]


def cells(line: Line) -> str:
    rate, slowest, fastest = (f"{rate:.{digits(line.rate)}f}" for rate in (line.rate, line.slowest, line.fastest))
    figures = f"{line.p50:.1f} | {line.p99:.1f} | {line.cpu:.2f} | {line.memory:.0f} | {line.start:.1f} | {line.bad}"
    return f"| {line.title} | {line.connections} | {rate} ({slowest} to {fastest}) | {figures} |"


def digits(rate: float) -> int:
    return 0 if rate >= 100 else 1


def ratios(lines: Sequence[Line]) -> list[str]:
    """Each of ours beside the best of the others, by requests a second and by p50."""
    said = []
    for line in lines:
        others = [other for other in lines if other.connections == line.connections and not other.ours]
        if not line.ours or not others:
            continue
        rate, p50 = max(others, key=lambda other: other.rate), min(others, key=lambda other: other.p50)
        plural = "s" if line.connections > 1 else ""
        said.append(
            f"- {line.title}, {line.connections} connection{plural}: {line.rate / rate.rate:.2f} times the requests/s "
            f"of {rate.title} for {line.cpu / rate.cpu:.2f} times its CPU; p50 {line.p50 / p50.p50:.2f} times that of "
            f"{p50.title}; p99 {line.p99 / line.p50:.1f} times p50."
        )
    return said


def notes(rows: Sequence[Mapping[str, Any]], seconds: int) -> list[str]:
    rounds = max((sum(1 for other in rows if key(other) == key(row)) for row in rows), default=0)
    busy = max((row["other"] for row in rows), default=0.0)
    said = [f"- Medians of {rounds} interleaved rounds of {seconds} s. The client, wrk, runs on the same cores."]
    if busy > QUIET:
        said.append(f"- **Not a quiet machine**: other processes used up to {busy:.2f} cores.")
    return said


def key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["name"], row["size"], row["conc"]
