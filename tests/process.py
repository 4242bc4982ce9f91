"""A real `braid serve` process: started, talked to, stopped by SIGTERM."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

COMMAND = [sys.executable, "-c", "from service.cli import main; main()"]
ROOT = Path(__file__).parent.parent
PLAIN = {"BRAID_DRAIN": "0", "BRAID_WORKERS": "1", "BRAID_THREADS": "1", "BRAID_CACHE": "/nowhere"}
CORES = sorted(os.sched_getaffinity(0))[:2]  # of a server: how much it can take must not depend on the machine
PATIENCE = 30.0  # seconds; a test that needs them all has failed


def braid(*arguments: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """A command that ends by itself."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(
        command, env=environment(settings), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def environment(settings: dict[str, str]) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("BRAID_")}
    return plain | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"} | settings


def eventually(true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class Server:
    """A serving process and a client of it."""

    def __init__(
        self, bundles: Sequence[Path], settings: dict[str, str], folder: Path | None, under: Sequence[str] = ()
    ) -> None:
        few = ["taskset", "--cpu-list", ",".join(map(str, CORES))]
        command = [*few, *under, *COMMAND, "serve", *map(str, bundles), "--port", "0"]
        self.process = subprocess.Popen(command, env=environment(settings), cwd=folder, stderr=subprocess.PIPE)
        self.lines: list[bytes] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        eventually(lambda: self.process.poll() is not None or any(self.events("listening")))
        url = next(self.events("listening"))["url"]
        self.client = httpx.Client(base_url=url, timeout=PATIENCE, limits=httpx.Limits(max_connections=None))
        self.port = self.client.base_url.port or 0

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            self.lines.append(line)

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        """What was logged under that name."""
        for line in list(self.lines):
            if f'"event":"{name}"'.encode() in line:
                yield json.loads(line)

    @property
    def ready(self) -> bool:
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def predict(
        self, *, model: str | None = None, headers: Mapping[str, str] | None = None, query: str = "", **parts: bytes
    ) -> httpx.Response:
        path = f"/v1/models/{model}/predict" if model else "/v1/predict"
        files = {name: ("", data) for name, data in parts.items()}
        return self.client.post(path + query, files=files, headers=headers)

    def measures(self, **parts: Any) -> list[float]:
        """tokens, brightness, loudness."""
        answer = self.predict(query="?raw=true", **parts).raise_for_status().json()
        return list(answer["raw"]["measures"])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        found = [s.value for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items()]
        return sum(found)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self.process.stderr:
            self.process.stderr.close()
        self.client.close()
        return code


@contextmanager
def serve(
    *bundles: Path,
    wait: bool = True,
    folder: Path | None = None,
    code: int = 0,
    under: Sequence[str] = (),
    **settings: str,
) -> Iterator[Server]:
    """Ready and at rest, unless `wait` is false; runs in `folder`, `under` another command, and must end with this exit
    code."""
    server = Server(bundles, PLAIN | settings, folder, under)
    try:
        if wait:
            workers = int((PLAIN | settings)["BRAID_WORKERS"])
            eventually(lambda: server.process.poll() is not None or len(list(server.events("calibrated"))) >= workers)
        yield server
    except BaseException:
        server.process.kill()
        server.stop()
        raise
    assert server.stop() == code, server.lines


def descendants(pid: int) -> list[int]:
    """It, and those of its children that are still there."""
    try:
        tasks = [(task / "children").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return [pid]
    return [pid, *(process for children in tasks for child in children for process in descendants(int(child)))]


def written(server: Server) -> int:
    """Bytes that the processes have sent to storage."""
    tables = [Path(f"/proc/{pid}/io").read_text().splitlines() for pid in descendants(server.process.pid)]
    return sum(int(line.split()[1]) for table in tables for line in table if line.startswith("write_bytes"))
