"""python -m tests.bench.tracing [BUNDLE]: CPU time of a request without traces, with 1 % and with all of them.

Three servers take turns under the same load, so that whatever else the machine does is done to all; medians of rounds.
"""

import subprocess
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from threading import Thread
from typing import Annotated

import typer

from tests.process import COMMAND, Server, serve
from tests.test_tracing import Collector, sent

SHARES = ("0", "0.01", "1")


def seconds(server: Server, bundle: Path, load: float) -> float:
    """CPU seconds of the server for each request."""

    def spent() -> tuple[float, float]:
        return server.metric("process_cpu_seconds_total"), server.metric("braid_requests_total", status="200")

    command = [*COMMAND, "bench", str(server.client.base_url), "--bundle", str(bundle), "--connections", "16"]
    cpu, requests = spent()
    subprocess.run([*command, "--seconds", str(load)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after, answered = spent()
    return (after - cpu) / (answered - requests)


def main(
    bundle: Annotated[Path, typer.Argument()] = Path("models/bundles/digits"),
    rounds: Annotated[int, typer.Option()] = 9,
    load: Annotated[float, typer.Option(help="seconds of each load")] = 3.0,
) -> None:
    collector = Collector()
    Thread(target=collector.server.serve_forever, daemon=True).start()
    usual = {"OTEL_BSP_SCHEDULE_DELAY": "5000"}
    took: dict[str, list[float]] = {share: [] for share in SHARES}
    with ExitStack() as stack:
        servers = {share: stack.enter_context(serve(bundle, **(sent(collector, share) | usual))) for share in SHARES}
        for number in range(rounds + 1):
            for share, server in servers.items():
                one = seconds(server, bundle, load)
                if number:  # the first round warms up
                    took[share].append(one)
    for share in SHARES:
        ratios = [one / off for one, off in zip(took[share], took["0"], strict=True)]
        each = f"{1e6 * median(took[share]):7.1f} us a request, {100 * (median(ratios) - 1):+5.1f} %"
        typer.echo(f"BRAID_TRACES={share:<5} {each} ({100 * min(ratios) - 100:+.1f} to {100 * max(ratios) - 100:+.1f})")


if __name__ == "__main__":
    typer.run(main)
