"""python -m tests.soak.run --minutes 30: mixed load on a real server, with swaps and kills; exit code 1 if it suffers.

In each round the clients work for a while, the model is swapped for the next version (SIGHUP), a worker is killed, and
where they decode apart a decoder, too; then all rest, and what the server holds is measured. One worker is never
killed: what grows in it over the rounds is a leak.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.process import ROOT, Server, descendants, eventually, serve
from tests.soak import load

WARM = 0.2  # share of the rounds before memory counts
GROWTH = 0.05
FEW = 8  # threads or files: pools start theirs one by one, up to their sizes; a decoder that is missing has six files
REST = 1.0  # seconds without load before it is measured


@dataclass
class Held:
    """What processes hold."""

    memory: int  # bytes of their own, shared pages counted by their share
    files: int
    threads: int


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def held(pids: list[int]) -> Held:
    memory = files = threads = 0
    for pid in pids:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        memory += 1024 * int(found[1]) if found else 0
        files += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        threads += len(list(Path(f"/proc/{pid}/task").iterdir()))
    return Held(memory, files, threads)


def named(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def workers(server: Server) -> list[int]:
    """The oldest first."""
    ready = {event["pid"] for event in server.events("ready")}
    return [pid for pid in descendants(server.process.pid) if pid in ready]


def put(folder: Path, version: int) -> None:
    """The next version of the model, by renaming."""
    draft = folder.parent / ".new"
    shutil.copytree(ROOT / "models/bundles/digits", draft)
    manifest = draft / "manifest.yaml"
    manifest.write_text(re.sub(r"^version: .*$", f'version: "{version}"', manifest.read_text(), flags=re.MULTILINE))
    if folder.exists():
        folder.rename(folder.parent / ".old")
    draft.rename(folder)
    shutil.rmtree(folder.parent / ".old", ignore_errors=True)


def swap(server: Server, folder: Path, version: int) -> None:
    put(folder, version)
    before = len(list(server.events("changed")))
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(list(server.events("changed"))) > before)


def kill(server: Server, clients: load.Clients) -> None:
    """The youngest worker; returns when there is another."""
    before = len(list(server.events("ready")))
    clients.counts.killed = float("inf")
    os.kill(workers(server)[-1], signal.SIGKILL)
    eventually(lambda: len(list(server.events("ready"))) > before)
    clients.counts.killed = time.monotonic()


def kill_decoder(server: Server) -> None:
    """One that is at rest: the next upload must not notice."""
    with_parent = [pid for pid in descendants(server.process.pid) if b"service.decoder" in named(pid)]
    if with_parent:
        os.kill(with_parent[-1], signal.SIGKILL)


def soak(seconds: float, pause: float, *, isolation: str, clients: int) -> bool:
    """Prints a line a round and a summary. Whether all was well."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "digits"
        put(folder, 0)
        with serve(folder, wait=False, BRAID_WORKERS="2", BRAID_DECODE_ISOLATION=isolation) as server:
            eventually(lambda: len(workers(server)) == 2)
            return work(server, folder, seconds, pause, clients)


def work(server: Server, folder: Path, seconds: float, pause: float, count: int) -> bool:
    clients = load.Clients(server, count, load.hostile(), load.expected(server))
    rounds: list[tuple[Held, Held]] = []
    eldest, start = workers(server)[0], time.monotonic()
    clients.start()
    while time.monotonic() - start < seconds:
        time.sleep(pause)
        swap(server, folder, len(rounds) + 1)
        kill(server, clients)
        time.sleep(pause)
        clients.rest()
        kill_decoder(server)
        time.sleep(REST)
        eventually(lambda: server.metric("braid_in_flight") == 0)
        own, everything = held([eldest]), held(descendants(server.process.pid))
        rounds.append((own, everything))
        served = sum(clients.counts.answers.values())
        say(
            f"{time.monotonic() - start:6.0f} s  {served:7} answers  {sum(clients.counts.refused.values()):6} hostile  "
            f"eldest {own.memory / 2**20:6.1f} MiB {own.files:3} files {own.threads:3} threads  "
            f"all {everything.memory / 2**20:6.1f} MiB {everything.files:3} files {everything.threads:3} threads  "
            f"{len(clients.counts.wrong)} wrong"
        )
        clients.go_on()
    took = time.monotonic() - start
    clients.stop()
    if eldest not in workers(server):
        clients.counts.wrong.append("the worker that nobody killed is gone")
    return summary(clients.counts, rounds, took)


def summary(counts: load.Counts, rounds: list[tuple[Held, Held]], took: float) -> bool:
    warm = rounds[int(WARM * len(rounds)) :]
    third = max(1, len(warm) // 3)
    growth = {}
    for name, index in (("the eldest worker", 0), ("all processes", 1)):
        for what in ("memory", "files", "threads"):
            first, last = (
                statistics.median(getattr(one[index], what) for one in some) for some in (warm[:third], warm[-third:])
            )
            growth[f"{what} of {name}"] = last / first - 1 if what == "memory" or last - first > FEW else 0.0
    seconds = sorted(counts.seconds)
    say(
        f"\n{took / 60:.1f} minutes, {len(rounds)} swaps, {len(rounds)} workers killed\n"
        f"answers by status: {dict(counts.answers)}; hostile by status: {dict(sorted(counts.refused.items()))}\n"
        f"good answers: p50 {1000 * seconds[len(seconds) // 2]:.1f} ms, "
        f"p99 {1000 * seconds[int(0.99 * len(seconds))]:.1f} ms; "
        f"connections lost with a killed worker: {counts.lost}"
    )
    for what, share in growth.items():
        say(f"growth of {what}, first to last third after warm-up: {share:+.1%}")
    for line in counts.wrong[:20]:
        say(f"wrong: {line}")
    grown = [what for what, share in growth.items() if share > GROWTH] if len(rounds) >= 5 else []
    for what in grown:
        say(f"wrong: {what} has grown")
    return not counts.wrong and not grown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--pause", type=float, default=15.0, help="seconds of load before and after what is done to it")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--isolation", choices=("off", "process"), default="off")
    given = parser.parse_args()
    well = soak(60 * given.minutes, given.pause, isolation=given.isolation, clients=given.clients)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
