"""python -m tests.bench.overload: a server that is asked for ten times what it can do, hammered, killed.

Ten times: the capacity of a slow graph in a closed loop, then ten times as much in an open one, while probes are asked.
Goodput is what nine refusals leave of the time for an answer: the heavier the graph, the more. The server has a core of
its own there, or what the clients take of it would count as its loss.
Hammered: a cheap graph, and clients that ask again as soon as they are refused: as much as can be sent at all. Each
round measures 64 clients, whom it can answer, then 600, whom it cannot; the share is the median of the rounds.
Idle: clients that say nothing, by the thousand, while others ask. Killed: one worker of two, again and again.
"""

import json
import os
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from service.bench import requests, target
from tests import senses
from tests.attacks import JSON, get, sized
from tests.process import COMMAND, CORES, ROOT, Server, environment, eventually, serve
from tests.wire import children, cpu, hammered, many, memory, said, statuses

DIGITS = ROOT / "models/bundles/digits"
PROBES = (b"/health/live", b"/health/ready")
EVERY = 0.1  # seconds between two looks
MIB = 2**20


def load(server: Server, folder: Path, *options: str) -> Any:
    """What `braid bench` reports."""
    report = folder / "report.json"
    command = [*COMMAND, "bench", str(server.client.base_url), "--text", "a b", "--json", str(report), *options]
    subprocess.run(command, env=environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return json.loads(report.read_text())


class Watch:
    """Asks probes, each on a connection of its own, and looks at the memory, until the `with` ends."""

    def __init__(self, server: Server) -> None:
        self._server, self._over = server, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seconds: list[float] = []
        self.failed = 0
        self.memory: list[int] = [memory(server)]

    def _look(self) -> None:
        while not self._over.wait(EVERY):
            for path in PROBES:
                start = time.perf_counter()
                try:
                    answer = said(self._server, get(b"GET %b HTTP/1.1" % path, b"Connection: close"))
                    self.failed += statuses(answer) != [200]
                except OSError:
                    self.failed += 1
                self.seconds.append(time.perf_counter() - start)
            self.memory.append(memory(self._server))

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def show(self) -> None:
        probes = sorted(self.seconds)
        typer.echo(
            f"  probes      {len(probes)} asked, {self.failed} failed, p50 {probes[len(probes) // 2]:.3f} s, "
            f"p99 {probes[int(0.99 * len(probes))]:.3f} s, longest {probes[-1]:.3f} s"
        )
        typer.echo(f"  memory      {self.memory[0] / MIB:.0f} MiB before, at most {max(self.memory) / MIB:.0f} MiB")


def answered(server: Server, folder: Path, *options: str) -> tuple[Any, float]:
    """A report, and good answers a processor second of the server, which does not depend on who else is busy."""
    spent, before = cpu(server), server.metric("braid_requests_total", status="200")
    report = load(server, folder, *options)
    return report, (server.metric("braid_requests_total", status="200") - before) / (cpu(server) - spent)


@contextmanager
def others() -> Iterator[None]:
    """This thread, and what it starts, leaves the first core to the server, if there is another."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, everywhere - {CORES[0]} or everywhere)
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def many_times(folder: Path, seconds: float, times: float, slow: float, connections: int) -> None:
    folder.mkdir()
    bundle = senses.write(folder / "bundle", slow=slow).folder
    own = ("taskset", "--cpu-list", str(CORES[0]))
    with others(), serve(bundle, under=own, BRAID_BATCH="2", BRAID_ENGINE="thread", BRAID_LOG="info") as server:
        closed = "--seconds", str(seconds / 2), "--connections", "16"
        before, usual = answered(server, folder, *closed)
        options = ["--rate", f"{times * before['requests_per_second']:.0f}", "--connections", str(connections)]
        with Watch(server) as watch:
            found, hard = answered(server, folder, "--seconds", str(seconds), "--warmup", "3", *options)
        after, usual_again = answered(server, folder, *closed)
    capacity = (before["requests_per_second"] + after["requests_per_second"]) / 2
    good, latency = found["requests_per_second"], found["latency"]
    share = hard / ((usual + usual_again) / 2)
    refused = {status: fault["count"] for status, fault in found["errors"].items()}
    late = found["late"]["p99"] if found["late"] else 0.0
    typer.echo(f"  capacity    {capacity:.1f} requests/s in a closed loop of 16 connections, before and after")
    typer.echo(f"  offered     {found['sent'] / found['seconds']:.1f} requests/s; refused: {refused}")
    typer.echo(
        f"  goodput     {good:.1f} requests/s: {good / capacity:.2f} of the capacity, {share:.2f} by processor time"
    )
    typer.echo(f"  accepted    p50 {latency['p50']:.2f} s, p99 {latency['p99']:.2f} s, longest {latency['max']:.2f} s")
    typer.echo(f"  client      {found['client_cores']:.2f} cores, late by {late:.3f} s (p99)")
    watch.show()


def hammer(seconds: float, rounds: int, connections: int) -> None:
    """Its shares by the clock, and by the processor time of the server."""
    shares, dear, waits, refused = list[float](), list[float](), list[float](), list[float]()
    with serve(DIGITS) as server:
        where = target.parse(str(server.client.base_url))
        samples = requests.example(DIGITS)
        data = b"".join(next(requests.requests(where, samples, requests.mix("", samples))).pieces)
        hammered(server, data, 64, 1)
        with Watch(server) as watch:
            for _ in range(rounds):
                rates = []
                for clients in (64, connections):
                    spent = cpu(server)
                    found = hammered(server, data, clients, seconds, warmup=2)
                    rates.append((found.statuses[200] / seconds, found.statuses[200] / (cpu(server) - spent)))
                shares.append(rates[1][0] / rates[0][0])
                dear.append(rates[1][1] / rates[0][1])
                refused.append(found.statuses[429] / seconds)
                waits.append(found.seconds[int(0.99 * len(found.seconds))])
    typer.echo(
        f"  goodput     {statistics.median(shares):.2f} of the capacity; {[round(share, 2) for share in shares]}"
    )
    typer.echo(f"              {statistics.median(dear):.2f} by processor time; {[round(share, 2) for share in dear]}")
    typer.echo(
        f"  refused     {statistics.median(refused):.0f} a second; accepted p99 {statistics.median(waits):.2f} s"
    )
    watch.show()


def idle(clients: int) -> None:
    with serve(DIGITS) as server:
        before = memory(server)
        with many(server, clients), Watch(server) as watch:
            time.sleep(1)  # until then they are as good as any others, and too many
            took = []
            for _ in range(50):
                start = time.perf_counter()
                assert statuses(said(server, sized(JSON, b"Connection: close"))) == [200]
                took.append(time.perf_counter() - start)
        typer.echo(
            f"  {clients} idle clients: 50 requests meanwhile, all answered, the longest after {max(took):.3f} s; "
            f"memory {(max(watch.memory) - before) / MIB:+.1f} MiB"
        )


def kill(times: int) -> None:
    with serve(DIGITS, BRAID_WORKERS="2") as server:
        took = []
        for number in range(times):
            eventually(lambda ready=number + 2: len(list(server.events("ready"))) == ready)  # type: ignore[misc]
            time.sleep(1.1)  # a worker that lives no longer is not replaced at once
            start = time.perf_counter()
            os.kill(next(children(server.process.pid)), signal.SIGKILL)
            eventually(lambda ready=number + 3: len(list(server.events("ready"))) == ready)  # type: ignore[misc]
            took.append(time.perf_counter() - start)
    typer.echo(
        f"  {times} workers killed: the next was ready after {statistics.median(took):.2f} s, at most {max(took):.2f} s"
    )


def main(
    seconds: Annotated[float, typer.Option(help="of each load")] = 15.0,
    times: Annotated[float, typer.Option(help="the capacity")] = 10.0,
    slow: Annotated[list[float], typer.Option(help="processor seconds of a run of two rows")] = [0.03, 0.1],  # noqa: B006  # typer's form
    connections: Annotated[int, typer.Option(help="of those who ask for too much")] = 600,
    rounds: Annotated[int, typer.Option(help="of hammering")] = 5,
    clients: Annotated[int, typer.Option(help="that are idle")] = 5000,
    kills: Annotated[int, typer.Option(help="of workers")] = 5,
) -> None:
    typer.echo(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        for each in slow:
            typer.echo(f"{times:g} times the capacity, a graph of {each:g} s a run of two rows")
            many_times(Path(name) / str(each), seconds, times, each, connections)
    typer.echo(f"hammered by {connections} clients, digits")
    hammer(seconds, rounds, connections)
    typer.echo("idle, killed; digits")
    idle(clients)
    kill(kills)


if __name__ == "__main__":
    typer.run(main)
