"""What may befall a server, done to a real one: killed and hanging workers, graphs that do not end, full disks."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.bundle import Bundle
from tests import senses
from tests.attacks import GOOD, JSON, sized
from tests.process import COMMAND, PLAIN, Server, environment, eventually, serve
from tests.wire import children, connected, cpu, limited, many, said, statuses

DARK, WHITE = senses.png(20), senses.png(255)
ONE = sized(JSON, b"Connection: close")
BUSY = 2  # times as long may things take where other tests run


@pytest.fixture(scope="module")
def hanging(folder: Path) -> Bundle:
    """A white picture keeps its graph busy for years."""
    return senses.write(folder / "hanging", "hanging", hang=True)


def workers(server: Server) -> list[int]:
    return list(children(server.process.pid))


def post(server: Server, picture: bytes) -> httpx.Response:
    """On a connection of its own, so that any worker may take it."""
    return httpx.post(f"http://127.0.0.1:{server.port}/v1/predict", files={"image": picture}, timeout=30)


def alive(server: Server) -> int:
    try:
        return httpx.get(f"http://127.0.0.1:{server.port}/health/live", timeout=5).status_code
    except httpx.TransportError:
        return 0


# -- workers ----------------------------------------------------------------------------------------------------------


def kept_asking(server: Server, over: threading.Event, good: list[float], failed: list[float]) -> None:
    """One request after the other on one connection, and on a new one when it breaks."""
    while not over.is_set():
        try:
            with connected(server) as connection:
                while not over.is_set():
                    connection.sendall(GOOD)
                    answer = connection.recv(65536)
                    if not answer:
                        raise ConnectionResetError
                    assert statuses(answer) == [200]
                    good.append(time.monotonic())
        except OSError:
            failed.append(time.monotonic())


def test_a_killed_worker_costs_what_it_was_doing_and_is_replaced_within_two_seconds(bundle: Bundle) -> None:
    over, good, failed = threading.Event(), list[float](), list[float]()
    with serve(bundle.folder, BRAID_WORKERS="2") as server:
        eventually(lambda: len(list(server.events("ready"))) == 2)
        time.sleep(1.1)  # a worker that lives no longer is not replaced at once
        with ThreadPoolExecutor(16) as pool:
            asking = [pool.submit(kept_asking, server, over, good, failed) for _ in range(16)]
            time.sleep(0.5)
            victim = workers(server)[0]
            killed = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: len(list(server.events("ready"))) == 3)
            replaced = time.monotonic()
            time.sleep(0.5)
            over.set()
            assert all(future.result() is None for future in asking)
        assert replaced - killed < 2 * BUSY
        assert 0 < len(failed) <= 16  # one a connection at most: what the worker held
        assert max(failed) < killed + 0.5 * BUSY
        assert [when for when in good if killed < when < replaced]  # the other went on
        assert victim not in workers(server)
        assert len(workers(server)) == 2


def test_a_worker_that_does_not_move_is_replaced(bundle: Bundle) -> None:
    with serve(bundle.folder, BRAID_WORKERS="2", BRAID_HANG_SECONDS="1") as server:
        eventually(lambda: len(list(server.events("ready"))) == 2)
        victim = workers(server)[0]
        os.kill(victim, signal.SIGSTOP)
        eventually(lambda: any(server.events("worker hung")))
        eventually(lambda: len(list(server.events("ready"))) == 3)
        assert victim not in workers(server)
        assert [statuses(said(server, ONE)) for _ in range(10)] == [[200]] * 10


def test_a_supervisor_that_could_not_move_itself_blames_nobody(bundle: Bundle) -> None:
    """As when a container is paused, or a laptop sleeps."""
    with serve(bundle.folder, BRAID_HANG_SECONDS="1") as server:
        pids = [server.process.pid, *workers(server)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3)
        os.kill(pids[0], signal.SIGCONT)  # first, so that it sees a worker which has not moved
        time.sleep(0.3)
        os.kill(pids[1], signal.SIGCONT)
        time.sleep(1.5)
        assert workers(server) == pids[1:]
        assert server.measures(text=b"a b") == [2, 0, 0]


def test_a_graph_that_hangs_on_the_event_loop_costs_its_worker(hanging: Bundle) -> None:
    with serve(hanging.folder, BRAID_ENGINE="loop", BRAID_HANG_SECONDS="1") as server:
        assert post(server, DARK).status_code == 200
        with pytest.raises(httpx.TransportError):
            post(server, WHITE)
        assert any(server.events("worker hung"))
        eventually(lambda: alive(server) == 200)
        eventually(lambda: post(server, DARK).status_code == 200)


# -- engines ----------------------------------------------------------------------------------------------------------


def test_a_graph_that_hangs_turns_live_to_failing_answers_its_queue_and_is_replaced(hanging: Bundle) -> None:
    with serve(hanging.folder, BRAID_ENGINE="thread", BRAID_RUN_SECONDS="1") as server, ThreadPoolExecutor(5) as pool:
        assert post(server, DARK).status_code == 200
        hung = pool.submit(post, server, WHITE)
        eventually(lambda: server.metric("braid_in_flight") == 1)
        time.sleep(0.1)
        behind = [pool.submit(post, server, DARK) for _ in range(3)]
        began = time.monotonic()
        eventually(lambda: alive(server) == 503)
        assert time.monotonic() - began < 5
        for future in (hung, *behind):
            answer = future.result()
            assert answer.status_code == 503
            assert "retry-after" in answer.headers
        assert server.client.get("/health/ready").status_code == 503
        assert server.client.get("/v2/health/live").status_code == 503
        assert post(server, DARK).status_code == 503  # at once
        (line,) = server.events("failing")
        assert (line["model"], line["why"]) == ("hanging", "a run does not end")
        eventually(lambda: any(server.events("worker died")))
        eventually(lambda: alive(server) == 200)
        eventually(lambda: post(server, DARK).status_code == 200)


def test_what_waits_behind_a_graph_that_hangs_hears_when_its_deadline_passes(hanging: Bundle) -> None:
    with serve(hanging.folder, code=0, BRAID_ENGINE="thread", BRAID_GRACE="1") as server, ThreadPoolExecutor(2) as pool:
        hung = pool.submit(post, server, WHITE)
        eventually(lambda: server.metric("braid_in_flight") == 1)
        time.sleep(0.1)
        began = time.monotonic()
        late = server.predict(image=DARK, headers={"Braid-Timeout": "0.3"})
        assert late.status_code == 504
        assert time.monotonic() - began < 1.5
        began = time.monotonic()
        assert server.stop() == 0  # although a thread of it never ends
        assert time.monotonic() - began < 5
        assert hung.result().status_code == 503


def test_uploads_that_the_graph_cannot_take_do_not_end_a_server_that_is_well(bundle: Bundle) -> None:
    for engine in ("loop", "thread"):
        with serve(bundle.folder, BRAID_ENGINE=engine) as server:
            assert [server.predict(text=b"poison").status_code for _ in range(12)] == [500] * 12
            time.sleep(0.5)
            assert alive(server) == 200
            assert not any(server.events("failing"))


# -- the machine ------------------------------------------------------------------------------------------------------


def namespaced(script: str) -> list[str]:
    """A command that mounts what it likes for what it runs."""
    command = ["unshare", "--map-root-user", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    return command


def test_on_a_full_disk_and_a_read_only_tmp_it_serves_as_ever(bundle: Bundle, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    under = namespaced(
        f"mount -t tmpfs -o size=64k tmpfs {full}\n"
        f"dd if=/dev/zero of={full}/all bs=1k 2>/dev/null || true\n"
        "mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp"
    )
    where: dict[str, Any] = {"TMPDIR": "/tmp", "HOME": str(full), "BRAID_CACHE": str(full / "cache")}
    with serve(bundle.folder, under=under, **where) as server:
        assert server.measures(text=b"a b", image=WHITE, audio=senses.wav(0.5)) == pytest.approx([2, 1, 0.5])
        large = senses.png(size=(3000, 2000)) + b"\0" * 5_000_000  # more than form parsers keep in memory
        assert server.predict(image=large).status_code == 200
        assert server.client.get("/metrics").status_code == 200


def test_without_room_for_a_single_byte_it_serves_as_ever(bundle: Bundle, tmp_path: Path) -> None:
    with serve(bundle.folder, under=limited("-f 0"), BRAID_CACHE=str(tmp_path / "cache")) as server:
        assert server.measures(text=b"a b") == [2, 0, 0]


@pytest.mark.parametrize("where", ["/dev/full", "a pipe that nobody reads"])
def test_a_log_that_cannot_be_written_costs_no_request(bundle: Bundle, where: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if where == "/dev/full":
        log = os.open(where, os.O_WRONLY)
    else:
        reader, log = os.pipe()
        os.close(reader)
    command = [*COMMAND, "serve", str(bundle.folder), "--port", str(port)]
    with subprocess.Popen(command, env=environment(PLAIN), stderr=log) as process:
        os.close(log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

                def status(text: str) -> int:
                    try:
                        return client.post("/v1/predict", json={"inputs": {"text": text}}).status_code
                    except httpx.TransportError:
                        return 0

                eventually(lambda: status("a") == 200)
                assert [status("a") for _ in range(20)] == [200] * 20
                assert status("poison") == 500
        finally:
            process.terminate()
        assert process.wait(20) == 0


def prlimit(pid: int, count: int) -> None:
    subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={count}:"], check=True)


@pytest.fixture
def starved(bundle: Bundle) -> Iterator[Server]:
    """It has no descriptors left but a few, and did not know beforehand."""
    if not shutil.which("prlimit"):
        pytest.skip("no prlimit here")
    with serve(bundle.folder) as server:
        (pid,) = workers(server)
        prlimit(pid, len(os.listdir(f"/proc/{pid}/fd")) + 10)
        yield server


def answered(server: Server) -> bool:
    try:
        return statuses(said(server, ONE)) == [200]
    except OSError:
        return False


def test_without_descriptors_it_neither_spins_nor_forgets_how_to_serve(starved: Server) -> None:
    with many(starved, 100):
        time.sleep(0.5)
        spent = cpu(starved)
        time.sleep(1)
        assert cpu(starved) - spent < 0.3
    eventually(lambda: answered(starved))
    assert starved.predict(image=DARK).status_code == 200
