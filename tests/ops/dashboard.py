"""python -m tests.ops.dashboard: the dashboard as Grafana would show it, of a real server under load, as a picture.

Braid with two workers, a real Prometheus that scrapes it, a load that grows and is too much, clients that leave, broken
files; then the queries of docker/grafana/dashboards/braid.json, drawn by matplotlib.
"""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import httpx
import matplotlib as mpl
import typer
from matplotlib.figure import Figure

from tests.ops.test_manifests import DOCKER
from tests.ops.test_prometheus import prometheus
from tests.process import COMMAND, ROOT, Server, serve

DIGITS = ROOT / "models/bundles/digits"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "seven", "seven", "eight", "nine")
MIX = "text+image+audio:1,image:1,text:6"
COLUMNS = 3
UNITS = {"s": " s", "reqps": "/s", "percentunit": " %", "bytes": " MiB", "short": ""}
SCALES = {"percentunit": 100.0, "bytes": 2**-20}


class Panel(NamedTuple):
    title: str
    unit: str
    lines: dict[str, tuple[list[float], list[float]]]  # legend -> seconds since the beginning, values


def load(server: Server, seconds: float) -> None:
    """In five stretches: a little, more, too much with clients that leave, some broken files, a little again."""
    url, stretch = str(server.client.base_url), seconds / 5
    with ThreadPoolExecutor(4) as pool:
        for rate, connections in ((60, 16), (200, 32), (None, 700), (150, 32), (60, 16)):
            command = [*COMMAND, "bench", url, "--bundle", str(DIGITS), "--mix", MIX, "--seconds", f"{stretch:.1f}"]
            command += [argument for word in WORDS for argument in ("--text", word)]
            command += ["--connections", str(connections), "--warmup", "0"] + (["--rate", str(rate)] if rate else [])
            running = pool.submit(subprocess.run, command, capture_output=True, check=False)
            end = time.monotonic() + stretch
            while time.monotonic() < end:
                if rate == 150:
                    pool.submit(server.predict, image=b"no picture")
                if rate is None:
                    pool.submit(leave, server)
                time.sleep(0.1)
            running.result()


def leave(server: Server) -> None:
    """Does not wait for its answer."""
    with contextlib.suppress(httpx.TimeoutException):
        server.client.post("/v1/predict", json={"inputs": {"text": "seven"}}, timeout=0.1)


def panels(client: httpx.Client, start: float, end: float) -> Iterator[Panel]:
    dashboard = json.loads((DOCKER / "grafana/dashboards/braid.json").read_text())
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            continue
        unit = panel["fieldConfig"]["defaults"]["unit"]
        lines = {}
        for target in panel["targets"]:
            for found in ranged(client, target["expr"], start, end):
                legend = named(target["legendFormat"], found["metric"])
                values = [(float(at) - start, SCALES.get(unit, 1) * float(value)) for at, value in found["values"]]
                lines[legend] = ([at for at, _ in values], [value for _, value in values])
        yield Panel(panel["title"], unit, lines)


def ranged(client: httpx.Client, query: str, start: float, end: float) -> list[Any]:
    plain = query.replace("$__rate_interval", "10s").replace("$model", ".*")
    answer = client.get("/api/v1/query_range", params={"query": plain, "start": start, "end": end, "step": 1}).json()
    assert answer["status"] == "success", (plain, answer)
    return list(answer["data"]["result"])


def named(legend: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        legend = legend.replace(f"{{{{{name}}}}}", value)
    return legend


def draw(found: list[Panel], path: Path) -> None:
    mpl.rcParams |= {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9}
    rows = -(-len(found) // COLUMNS)
    figure = Figure(figsize=(13, 2.3 * rows), layout="constrained")
    grid = figure.subplots(rows, COLUMNS)
    end = max(seconds[-1] for panel in found for seconds, _ in panel.lines.values())
    for axes, panel in zip(grid.flat, found, strict=True):
        axes.set_title(panel.title, loc="left", fontweight="bold")
        for legend, (seconds, values) in panel.lines.items():
            axes.plot(seconds, values, linewidth=1.2, label=legend)
        axes.set_ylim(0, 1.15 * axes.get_ylim()[1])  # room for the line at the top and for what the colours mean
        axes.set_xlim(0, end)
        axes.yaxis.set_major_formatter(lambda value, _, unit=panel.unit: f"{value:g}{UNITS[unit]}")
        axes.grid(alpha=0.25)
        if panel.lines:
            axes.legend(fontsize=6.5, frameon=False, ncols=2 if len(panel.lines) > 5 else 1, loc="best")
    figure.savefig(path, dpi=100)


def run(output: Path, seconds: float) -> list[Panel]:
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(DIGITS, BRAID_WORKERS="2") as server,
        prometheus(Path(folder), server.port) as client,
    ):
        start = time.time()
        load(server, seconds)
        found = list(panels(client, start, time.time()))
    draw(found, output)
    return found


def main(
    output: Annotated[Path, typer.Option()] = Path(".github/dashboard.png"),
    seconds: Annotated[float, typer.Option(help="of load")] = 150,
) -> None:
    for panel in run(output, seconds):
        typer.echo(f"{panel.title}: {', '.join(panel.lines) or 'nothing'}")


if __name__ == "__main__":
    typer.run(main)
