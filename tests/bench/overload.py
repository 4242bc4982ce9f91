"""python -m tests.bench.overload: ten times as many requests as a server can answer, and what becomes of them.

First the capacity, in a closed loop. Then the overload, in an open one, while probes are asked ten times a second.
Prints goodput as a share of the capacity, latencies of what was accepted, the probes' and the server's memory.
"""

import json
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from tests import senses
from tests.process import COMMAND, Server, environment, eventually, serve
from tests.wire import memory

PROBES = ("/health/live", "/health/ready")
EVERY = 0.1  # seconds between two looks


def load(server: Server, folder: Path, *options: str) -> Any:
    """What `braid bench` reports."""
    said = folder / "report.json"
    command = [*COMMAND, "bench", str(server.client.base_url), "--text", "a b", "--json", str(said), *options]
    subprocess.run(command, env=environment({}), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return json.loads(said.read_text())


class Watch:
    """Asks probes, each on a connection of its own, and looks at the memory, until the `with` ends."""

    def __init__(self, server: Server) -> None:
        self._server, self._over = server, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.seconds: list[float] = []
        self.failed = 0
        self.memory: list[int] = []

    def _look(self) -> None:
        while not self._over.wait(EVERY):
            for path in PROBES:
                start = time.perf_counter()
                try:
                    self.failed += httpx.get(f"{self._server.client.base_url}{path}", timeout=5).status_code != 200
                except httpx.HTTPError:
                    self.failed += 1
                self.seconds.append(time.perf_counter() - start)
            self.memory.append(memory(self._server))

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


def main(
    seconds: Annotated[float, typer.Option(help="of each load")] = 15.0,
    times: Annotated[float, typer.Option(help="the capacity")] = 10.0,
    slow: Annotated[float, typer.Option(help="seconds of a run")] = 0.03,
    batch: Annotated[int, typer.Option(help="rows of a run")] = 2,
    connections: Annotated[int, typer.Option()] = 600,
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = senses.write(folder / "bundle", slow=slow).folder
        with serve(bundle, BRAID_BATCH=str(batch), BRAID_ENGINE="thread", BRAID_LOG="info") as server:
            eventually(lambda: any(server.events("calibrated")))
            usual = load(server, folder, "--seconds", str(seconds), "--connections", "16")
            capacity = usual["requests_per_second"]
            before = memory(server)
            options = ["--rate", f"{times * capacity:.0f}", "--connections", str(connections), "--warmup", "3"]
            with Watch(server) as watch:
                found = load(server, folder, "--seconds", str(seconds), *options)
            after = load(server, folder, "--seconds", "5", "--connections", "16")
    show(capacity, found, watch, before)
    typer.echo(f"afterwards    {after['requests_per_second']:8.1f} requests/s")


def show(capacity: float, found: Any, watch: Watch, before: int) -> None:
    good, latency = found["requests_per_second"], found["latency"]
    refused = {status: fault["count"] for status, fault in found["errors"].items()}
    probes = sorted(watch.seconds)
    typer.echo(f"capacity      {capacity:8.1f} requests/s in a closed loop of 16 connections")
    typer.echo(f"offered       {found['sent'] / found['seconds']:8.1f} requests/s; refused: {refused}")
    typer.echo(f"goodput       {good:8.1f} requests/s: {good / capacity:.2f} of the capacity")
    typer.echo(f"accepted      p50 {latency['p50']:.2f} s, p99 {latency['p99']:.2f} s, longest {latency['max']:.2f} s")
    late = found["late"]["p99"] if found["late"] else 0.0
    typer.echo(f"client        {found['client_cores']:.2f} cores, late by {late:.3f} s (p99)")
    typer.echo(
        f"probes        {len(probes)} asked, {watch.failed} failed, "
        f"p50 {probes[len(probes) // 2]:.3f} s, p99 {probes[int(0.99 * len(probes))]:.3f} s, longest {probes[-1]:.3f} s"
    )
    typer.echo(f"memory        {before / 2**20:.0f} MiB before, at most {max(watch.memory) / 2**20:.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
