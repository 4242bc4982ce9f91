"""Braid beside its peers: the same model, the same client, one after the other, in rounds; medians.

    pip install '.[bench]'; apt-get install wrk espeak-ng
    python -m tests.bench.compare --shared ../shared/bench

--shared is the comparison: bench.py, make_assets.py, contestants.toml and the servers it knows. What is missing is made
under --work: assets (MEDIUM's need torch, onnxscript and scikit-learn), Braid's bundles, an environment for each peer.
Written to --output, for each size: README's table and plot. All of it takes an hour of a machine that nobody else uses.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer import echo

from tests.bench import bundles, chart, machine, table

OURS = Path(__file__).parent / "contestants.toml"
CONTESTANTS = "ours_w2,mosec,hand,ours,hand_w2,hand_batch_w2,litserve,triton"  # neighbours are compared


@dataclass(frozen=True)
class Bench:
    """Where the comparison and what it needs lie."""

    shared: Path
    work: Path

    @property
    def contestants(self) -> dict[str, dict[str, Any]]:
        return tomllib.loads((self.shared / "contestants.toml").read_text() + OURS.read_text())

    def run(self, script: str, *arguments: str) -> None:
        """One of its scripts, by this Python; its tables are dropped, what it says meanwhile is shown."""
        paths = {"BENCH_ASSETS": str(self.work / "assets"), "BENCH_ENVS": str(self.work / "envs")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where `braid` is
        command = [sys.executable, str(self.shared / script), *arguments]
        subprocess.run(command, env={**os.environ, **paths, "PATH": path}, stdout=subprocess.DEVNULL, check=True)

    def environment(self, name: str) -> Path:
        return self.work / "envs" / str(self.contestants[name].get("venv", "base"))


def main() -> None:
    given = options()
    bench = Bench(given.shared.resolve(), given.work.resolve())
    names, sizes = given.contestants.split(","), given.size.split(",")
    if unknown := [name for name in names if name not in bench.contestants]:
        sys.exit(f"no contestant {', '.join(unknown)}; there are {', '.join(bench.contestants)}")
    rows = bench.work / "rows.jsonl"
    if given.rounds:
        if shutil.which("wrk") is None:
            sys.exit("the comparison's client is missing; try: apt-get install wrk")
        for size in sizes:
            prepare(bench, size)
        set_up(bench, names)
        rows.unlink(missing_ok=True)
        measure(bench, names, sizes, rows, given)
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    write(bench, given.output, [row for row in found if row["size"] in sizes], names, given.seconds)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the comparison")
    parser.add_argument("--work", type=Path, default=Path("build/bench"), help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("tests/bench/results"), help="default: %(default)s")
    parser.add_argument("--size", default="small,medium", help="default: %(default)s")
    parser.add_argument("--contestants", default=CONTESTANTS, help="default: %(default)s")
    parser.add_argument("--connections", default="1,32", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="0: only write the last run's table again; default: 3")
    parser.add_argument("--seconds", type=int, default=10, help="of each load; default: %(default)s")
    return parser.parse_args()


def prepare(bench: Bench, size: str) -> None:
    """Assets and Braid's bundle, if they are not there."""
    assets, folder = bench.work / "assets" / size, bench.work / "bundles" / size
    if not (assets / "expected.json").exists():
        if (bench.shared / "assets" / size).is_dir():
            shutil.copytree(bench.shared / "assets" / size, assets, copy_function=shutil.copyfile)
        else:
            bench.run("make_assets.py", size)
    shutil.rmtree(folder, ignore_errors=True)  # quickly made, and what a manifest may say changes
    bundles.make(assets, folder, size)


def set_up(bench: Bench, names: Sequence[str]) -> None:
    """The environments that are not there. One that cannot be made leaves its servers out of the table."""
    missing = {bench.environment(name) for name in names if not name.startswith("ours")}
    missing = {folder for folder in missing if not folder.exists()}
    for name, contestant in bench.contestants.items():
        if contestant.get("pip") and bench.environment(name) in missing:
            try:
                bench.run("bench.py", "--setup", "--contestants", name)
            except subprocess.CalledProcessError:
                shutil.rmtree(bench.environment(name), ignore_errors=True)
                echo(f"{name}: no environment; it is left out", err=True)


def measure(bench: Bench, names: Sequence[str], sizes: Sequence[str], rows: Path, given: argparse.Namespace) -> None:
    """Each round begins with another contestant: whatever the machine does over time, it does to all."""
    for number in range(given.rounds):
        first = number % len(names)
        turn = ",".join([*names[first:], *names[:first]])
        for size in sizes:
            echo(f"round {number + 1} of {given.rounds}, {size}", err=True)
            load = ("--size", size, "--concurrency", given.connections, "--seconds", str(given.seconds))
            bench.run("bench.py", "--config", str(OURS), "--contestants", turn, *load, "--save", str(rows))


def write(bench: Bench, output: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str], seconds: int) -> None:
    output.mkdir(parents=True, exist_ok=True)
    found = table.medians(rows)
    environments = {name: bench.environment(name) for name in names}
    notes = [*machine.describe(), *machine.versions(environments, bench.contestants), *table.notes(rows, seconds)]
    for size in sorted({line.size for line in found}, reverse=True):
        lines = [line for line in found if line.size == size]
        text = "\n".join([*table.markdown(lines), "", *table.ratios(lines), "", *notes, ""])
        (output / f"{size}.md").write_text(text)
        (output / f"{size}.svg").write_text(chart.svg(lines))
        echo(text)


if __name__ == "__main__":
    main()
