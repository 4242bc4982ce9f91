"""More than a model can do, against a real server: who is accepted, who is told to come back, who is in whose way."""

import re
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from service.bundle import Bundle
from service.keys import make
from service.web.connections import REFUSALS, REST
from tests import attacks
from tests.attacks import GOOD, JSON, get, head, post, sized
from tests.process import Server, eventually, serve
from tests.wire import connected, hammered, heard, many, said, statuses, whole

PROBE = get(b"GET /health/ready HTTP/1.1", b"Connection: close")


def at_once(count: int, call: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(count)]]


def measured(server: Server) -> None:
    """It has seen what it can do, and nothing waits."""
    at_once(10, lambda: server.predict(text=b"a"))
    assert server.predict(text=b"a").status_code == 200


def test_what_cannot_be_answered_in_time_is_refused_at_once(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_BATCH="1", BRAID_QUEUE_SECONDS="1") as server:
        measured(server)
        before = server.metric("braid_rejects_total", reason="queue_full")
        answers = at_once(24, lambda: server.predict(text=b"a"))
        good = [answer for answer in answers if answer.status_code == 200]
        assert 2 <= len(good) <= 8
        assert max(answer.elapsed.total_seconds() for answer in good) < 3
        for refusal in answers:
            if refusal not in good:
                assert refusal.status_code == 429
                assert refusal.json()["code"] == "queue_full"
                assert 1 <= int(refusal.headers["retry-after"]) <= 3
                assert refusal.elapsed.total_seconds() < 1
        assert server.metric("braid_rejects_total", reason="queue_full") - before == 24 - len(good)
        assert server.predict(text=b"a").status_code == 200


def test_who_would_wait_longer_than_it_can_is_told_at_once(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_BATCH="1", BRAID_QUEUE_SECONDS="10") as server, ThreadPoolExecutor(8) as pool:
        measured(server)
        runs = server.metric("braid_batch_size_sum")
        early = [pool.submit(server.predict, text=b"a") for _ in range(8)]
        eventually(lambda: server.metric("braid_in_flight") == 8)
        start = time.monotonic()
        refusal = server.predict(text=b"a", headers={"Braid-Timeout": "0.5"})
        assert refusal.status_code == 429
        assert time.monotonic() - start < 0.3
        late = server.predict(text=b"a", headers={"Braid-Timeout": "0.1"})
        assert late.status_code == 504
        assert all(answer.result().status_code == 200 for answer in early)
        assert server.metric("braid_batch_size_sum") - runs == 8


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The file, and the keys by name."""
    made = {name: make(name, None, manage=False) for name in ("flood", "calm")}
    file = tmp_path / "keys"
    file.write_text("".join(f"{line}\n" for _, line in made.values()))
    file.chmod(0o600)
    return file, {name: key for name, (key, _) in made.items()}


def queued(answers: list[httpx.Response]) -> float:
    """Milliseconds in the queue, as a median of the good ones."""
    waits = [
        re.search(r"queue;dur=([\d.]+)", answer.headers["server-timing"]) for answer in answers if answer.is_success
    ]
    return statistics.median(float(wait[1]) for wait in waits if wait)


def test_a_key_that_floods_does_not_make_another_wait(slow: Bundle, keys: tuple[Path, dict[str, str]]) -> None:
    file, known = keys
    over = threading.Event()
    flooded: list[httpx.Response] = []
    with serve(slow.folder, BRAID_BATCH="1", BRAID_KEYS=str(file), BRAID_QUEUE_SECONDS="4") as server:

        def ask(name: str) -> httpx.Response:
            return server.predict(text=b"a", headers={"x-api-key": known[name]})

        def flood() -> None:
            while not over.is_set():
                flooded.append(ask("flood"))

        assert ask("calm").is_success
        with ThreadPoolExecutor(16) as pool:
            floods = [pool.submit(flood) for _ in range(16)]
            try:
                eventually(lambda: sum(answer.status_code == 429 for answer in flooded) > 16)
                answers = [ask("calm") for _ in range(6)]
            finally:
                over.set()
            assert all(future.result() is None for future in floods)
        assert all(answer.is_success for answer in answers)
        assert queued(answers) < queued(flooded) / 2  # of about eight in its queue, one goes first


def test_slow_senders_hold_no_places(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_QUEUE_ITEMS="2", BRAID_QUEUE_BYTES="1000") as server:
        with many(server, 4, head(attacks.HOST, attacks.KIND, b"Content-Length: 900") + b"{"):
            eventually(lambda: statuses(said(server, sized(JSON, b"Connection: close"))) == [200])
        eventually(lambda: server.metric("braid_in_flight") == 0)
        assert server.metric("braid_in_flight_bytes") == 0


def test_who_sent_slowly_is_answered_when_there_is_room(bundle: Bundle) -> None:
    with serve(bundle.folder, BRAID_QUEUE_ITEMS="1") as server:
        start = head(attacks.HOST, attacks.KIND, attacks.LENGTH, b"Connection: close")
        with connected(server, start + JSON[:5]) as slow_one:
            eventually(lambda: server.predict(text=b"a").status_code == 200)
            slow_one.sendall(JSON[5:])
            assert statuses(heard(slow_one)) == [200]


def test_bodies_of_unknown_size_count_by_what_there_is_of_them(bundle: Bundle) -> None:
    """Sixteen at once; if each counted as the largest that it may become, eight would be all."""
    begun = post(attacks.CHUNKED, b"Connection: close", body=b"5\r\n" + JSON[:5] + b"\r\n")
    rest = attacks.chunks(JSON[5:])
    with serve(bundle.folder) as server, ExitStack() as stack:
        started = [stack.enter_context(connected(server, begun)) for _ in range(16)]
        eventually(lambda: server.metric("braid_in_flight") == 16)
        assert server.metric("braid_in_flight_bytes") == 16 * 5
        for connection in started:
            connection.sendall(rest)
        assert [statuses(heard(connection)) for connection in started] == [[200]] * 16


def test_a_body_that_grows_too_large_for_the_queue_is_refused_on_its_way(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_QUEUE_BYTES="100000") as server:
        with connected(server, sized(b" " * 50_000)[:-1]):  # half of what there is
            eventually(lambda: server.metric("braid_in_flight_bytes") == 50_000)
            answer = said(server, post(attacks.CHUNKED, body=attacks.chunks(*[b" " * 10_000] * 8)))
            assert statuses(answer) == [429]
        eventually(lambda: server.metric("braid_in_flight_bytes") == 0)


@pytest.fixture
def refused(bundle: Bundle, tmp_path: Path) -> Iterator[tuple[Server, Callable[..., bytes]]]:
    """A server, and requests of a key that may send one in 1000 seconds."""
    key, line = make("refused", 0.001, manage=False)
    file = tmp_path / "keys"
    file.write_text(f"{line}\n")
    file.chmod(0o600)
    with serve(bundle.folder, BRAID_KEYS=str(file)) as server:
        ask = partial(sized, JSON, b"X-API-Key: %b" % key.encode())
        assert statuses(said(server, ask(b"Connection: close"))) == [200]
        yield server, ask


def test_who_is_refused_and_asks_again_at_once_is_heard_when_others_had_their_turn(
    refused: tuple[Server, Callable[..., bytes]],
) -> None:
    """Else a server did little but refuse. One client alone does not notice."""
    server, ask = refused
    with connected(server) as alone:
        for _ in range(20):
            began = time.monotonic()
            alone.sendall(ask())
            assert statuses(whole(alone)) == [429]
            assert time.monotonic() - began < REST
    found = hammered(server, ask(), 64, 2).statuses
    assert found.keys() == {429}
    assert found[429] < 2 * REFUSALS + 200


def test_requests_sent_ahead_are_refused_no_faster(refused: tuple[Server, Callable[..., bytes]]) -> None:
    server, ask = refused
    with many(server, 40) as clients:
        began = time.monotonic()
        for client in clients:
            client.sendall(ask() * 15 + ask(b"Connection: close"))
        answers = [status for client in clients for status in statuses(heard(client))]
        assert answers == [429] * 640
        assert 640 / (time.monotonic() - began) < 2 * REFUSALS


def test_who_leaves_while_it_is_not_heard_leaves_nothing_behind(refused: tuple[Server, Callable[..., bytes]]) -> None:
    server, ask = refused
    with many(server, 200, ask() * 2):
        pass
    with many(server, 200, ask() * 2) as clients:
        for client in clients:
            client.shutdown(socket.SHUT_WR)
        assert [statuses(heard(client)) for client in clients] == [[429] * 2] * 200
    eventually(lambda: not any(server.events("failed")) and statuses(said(server, PROBE)) == [200])
    assert server.stop() == 0


def test_a_probe_behind_hundreds_of_new_connections_is_answered_soon(slow: Bundle) -> None:
    """Although each turn of the event loop is long; `once` is how long."""
    with serve(slow.folder, BRAID_ENGINE="loop", BRAID_BATCH="1", BRAID_PIPELINE="200") as server:
        began = time.monotonic()
        with connected(server, GOOD * 4 + PROBE) as connection:
            assert statuses(heard(connection)) == [200] * 5
        once = (time.monotonic() - began) / 4
        with connected(server, GOOD * 150) as busy:
            assert busy.recv(1)
            with many(server, 300):
                began = time.monotonic()
                with connected(server, PROBE, patience=60) as probe:
                    assert statuses(heard(probe)) == [200]
                assert time.monotonic() - began < 35 * once
