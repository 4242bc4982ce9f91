"""python -m tests.bench.sizing BUNDLE...: what one worker on one core answers and takes, bundle by bundle, as a table.

CPU time of the server for each request under a closed loop of 32 connections that send the bundle's example; requests a
second a core is its inverse, so that other work on the machine counts less. Memory is the share of it that the kernel
charges to Braid's processes (PSS), at rest and at its highest under load.
"""

import subprocess
import threading
import time
from pathlib import Path
from statistics import median
from typing import Annotated, Any, NamedTuple

import psutil  # type: ignore[import-untyped]  # has no types
import typer

from service.bundle import read
from tests.process import COMMAND, Server, serve

MIB = 2**20
HEAD = (
    "bundle", "graph, MiB", "CPU, ms a request", "requests a second a core", "alone, ms", "at rest, MiB", "loaded, MiB"
)  # fmt: skip


class Cost(NamedTuple):
    cpu: float  # seconds a request
    alone: float  # seconds to the answer of who is alone, median
    rest: float  # MiB
    load: float


def memory(server: Server) -> float:
    """MiB of all its processes."""
    main = psutil.Process(server.process.pid)
    return float(sum(one.memory_full_info().pss for one in [main, *main.children()]) / MIB)


def loaded(server: Server, bundle: Path, seconds: float) -> tuple[float, float]:
    """CPU seconds a request, and the highest memory meanwhile."""
    command = [*COMMAND, "bench", str(server.client.base_url), "--bundle", str(bundle), "--connections", "32"]
    highest, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not over.wait(0.2):
            highest = max(highest, memory(server))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = server.metric("process_cpu_seconds_total"), server.metric("braid_requests_total", status="200")
    subprocess.run([*command, "--seconds", str(seconds)], capture_output=True, check=True)
    after = server.metric("process_cpu_seconds_total"), server.metric("braid_requests_total", status="200")
    over.set()
    watcher.join()
    return (after[0] - before[0]) / (after[1] - before[1]), highest


def lone(server: Server, parts: dict[str, Any], count: int = 30) -> float:
    took = []
    for _ in range(count):
        start = time.perf_counter()
        server.predict(**parts).raise_for_status()
        took.append(time.perf_counter() - start)
    return median(took)


def cost(bundle: Path, seconds: float, rounds: int) -> Cost:
    parts = dict(read(bundle).example().parts)
    with serve(bundle, BRAID_WORKERS="1") as server:
        alone, rest = lone(server, parts), memory(server)
        found = [loaded(server, bundle, seconds) for _ in range(rounds)]
        return Cost(min(cpu for cpu, _ in found), alone, rest, max(most for _, most in found))


def main(
    bundles: Annotated[list[Path], typer.Argument()],
    seconds: Annotated[float, typer.Option(help="of each load")] = 5.0,
    rounds: Annotated[int, typer.Option(help="of which the quickest counts")] = 3,
) -> None:
    typer.echo(f"| {' | '.join(HEAD)} |")
    typer.echo(f"|---|{'---:|' * (len(HEAD) - 1)}")
    for bundle in bundles:
        made = cost(bundle, seconds, rounds)
        size = read(bundle).graph.stat().st_size / MIB
        cells = [size, 1000 * made.cpu, 1 / made.cpu, 1000 * made.alone, made.rest, made.load]
        typer.echo(
            f"| {bundle.name} | {' | '.join(f'{cell:.3g}' if cell < 100 else f'{cell:.0f}' for cell in cells)} |"
        )


if __name__ == "__main__":
    typer.run(main)
