"""Several processes on one port: one view of their metrics, replaced when they die, gone together."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.bundle import Bundle
from tests.process import Server, eventually, serve


def workers(server: Server) -> list[int]:
    pid = server.process.pid
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


@pytest.fixture(scope="module")
def pair(bundle: Bundle) -> Iterator[Server]:
    with serve(bundle.folder, BRAID_WORKERS="2") as running:
        eventually(lambda: len(list(running.events("ready"))) == 2)
        yield running


def ask(server: Server) -> int:
    """On a connection of its own, so that any worker may take it."""
    return httpx.post(
        f"http://127.0.0.1:{server.port}/v1/predict", json={"inputs": {"text": "a"}}, timeout=30
    ).status_code


def test_metrics_are_summed_over_workers(pair: Server) -> None:
    before = pair.metric("braid_requests_total", status="200")
    assert [ask(pair) for _ in range(20)] == [200] * 20
    assert pair.metric("braid_requests_total", status="200") == before + 20
    assert len(workers(pair)) == 2


def test_a_worker_that_dies_is_replaced(pair: Server) -> None:
    victim = workers(pair)[0]
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: any(pair.events("worker died")))
    eventually(lambda: len(workers(pair)) == 2 and victim not in workers(pair))
    eventually(lambda: len(list(pair.events("ready"))) == 3)
    assert [ask(pair) for _ in range(10)] == [200] * 10


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them_with_exit_code_0(bundle: Bundle, how: signal.Signals) -> None:
    with serve(bundle.folder, BRAID_WORKERS="2") as server:
        eventually(lambda: len(list(server.events("ready"))) == 2)
        pids = workers(server)
        assert len(pids) == 2
        assert server.stop(how) == 0
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_workers_do_not_outlive_a_supervisor_that_was_killed(bundle: Bundle) -> None:
    with serve(bundle.folder, code=-signal.SIGKILL, BRAID_WORKERS="2") as server:
        eventually(lambda: len(list(server.events("ready"))) == 2)
        pids = workers(server)
        server.process.kill()
    eventually(lambda: not [pid for pid in pids if Path(f"/proc/{pid}").exists()])


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.4])
def test_a_signal_during_the_start_reaches_every_worker(bundle: Bundle, delay: float) -> None:
    with serve(bundle.folder, wait=False, BRAID_WORKERS="3") as server:
        time.sleep(delay)
        assert server.stop() == 0
