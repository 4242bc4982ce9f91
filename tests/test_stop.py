"""The end of a server: nobody is cut off who could be answered, and nobody holds it up."""

import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import Any

import pytest

from service.bundle import Bundle
from tests import attacks
from tests.attacks import GOOD, JSON, get, head
from tests.process import Server, eventually, serve
from tests.wire import connected, heard, statuses

QUICK: dict[str, Any] = {"BRAID_DRAIN": "0", "BRAID_GRACE": "1"}


@contextmanager
def stopping(server: Server) -> Iterator[None]:
    """Told to stop; at the end it must have ended well within these seconds."""
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    yield
    assert server.process.wait(20) == 0
    assert time.monotonic() - began < 1 + 3


def test_answers_end_their_connections_from_the_first_moment_on(bundle: Bundle) -> None:
    with serve(bundle.folder, BRAID_DRAIN="1") as server, connected(server, GOOD) as kept:
        first = kept.recv(4000)
        assert statuses(first) == [200]
        assert b"connection: close" not in first
        with stopping(server):
            eventually(lambda: server.client.get("/health/ready").status_code == 503)
            kept.sendall(GOOD)
            last = heard(kept)
            assert statuses(last) == [200]
            assert b"\r\nconnection: close\r\n" in last


def test_a_connection_without_a_request_has_a_moment_for_one(bundle: Bundle) -> None:
    """A client that has connected just before, or sends its next request just now, is answered, not reset."""
    with serve(bundle.folder, **QUICK) as server, connected(server) as fresh, connected(server, GOOD) as kept:
        assert statuses(kept.recv(4000)) == [200]
        time.sleep(0.1)
        with stopping(server):
            time.sleep(0.2)  # the listening has ended
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port))
            for connection in (fresh, kept):
                connection.sendall(GOOD)
                answer = heard(connection)
                assert statuses(answer) == [200]
                assert b"\r\nconnection: close\r\n" in answer


def test_who_has_just_connected_to_a_busy_worker_is_answered(slow: Bundle) -> None:
    """A graph that runs on the event loop keeps it from accepting, up to the moment when it stops."""
    outcomes: Counter[str] = Counter()

    def ask(server: Server) -> None:
        """One connection after the other, until they are refused."""
        while True:
            try:
                with connected(server, GOOD, patience=30) as new:
                    outcomes[str(statuses(heard(new)))] += 1
            except ConnectionRefusedError:
                return
            except OSError as error:
                outcomes[type(error).__name__] += 1

    settings: dict[str, Any] = {"BRAID_ENGINE": "loop", "BRAID_BATCH": "1", "BRAID_DRAIN": "1", "BRAID_GRACE": "20"}
    with serve(slow.folder, **settings) as server:
        users = [Thread(target=ask, args=(server,)) for _ in range(8)]
        server.process.send_signal(signal.SIGTERM)
        for user in users:
            user.start()
        for user in users:
            user.join()
        assert server.process.wait(30) == 0
    assert set(outcomes) == {"[200]"}


def test_idle_connections_are_closed_and_not_reset(bundle: Bundle) -> None:
    with serve(bundle.folder, **QUICK) as server, ExitStack() as stack:
        idle = [stack.enter_context(connected(server, data)) for data in (b"", GOOD) for _ in range(5)]
        for connection in idle[5:]:
            assert statuses(connection.recv(4000)) == [200]
        with stopping(server):
            assert [heard(connection) for connection in idle] == [b""] * 10


def test_stalled_clients_do_not_hold_it_past_the_grace(bundle: Bundle) -> None:
    stalled = [b"GET /hea", head(attacks.HOST, attacks.KIND, b"Content-Length: 100"), GOOD[:-1], b""]
    with serve(bundle.folder, **QUICK) as server, ExitStack() as stack:
        held = [stack.enter_context(connected(server, data)) for data in stalled]
        time.sleep(0.2)
        with stopping(server):
            answers = [heard(connection) for connection in held]
        assert [statuses(answer) for answer in answers] == [[], [503], [503], []]


def test_who_is_not_answered_within_the_grace_is_told_so(slow: Bundle) -> None:
    """48 rows of a quarter of a second, two at a time, are more than three seconds."""
    patient = QUICK | {"BRAID_GRACE": "3", "BRAID_QUEUE_SECONDS": "60"}
    with serve(slow.folder, BRAID_BATCH="1", **patient) as server, ExitStack() as stack:
        held = [stack.enter_context(connected(server, GOOD)) for _ in range(48)]
        eventually(lambda: server.metric("braid_in_flight") == 48)
        with stopping(server):
            answers = [heard(connection) for connection in held]
        found = [statuses(answer) for answer in answers]
        assert {tuple(one) for one in found} == {(200,), (503,)}
        assert all(b"retry-after" in answer for answer in answers if b" 503 " in answer)


def test_a_client_that_does_not_read_holds_nothing_up(bundle: Bundle) -> None:
    with serve(bundle.folder, **QUICK) as server, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect(("127.0.0.1", server.port))
        deaf.sendall(get(b"GET /openapi.json HTTP/1.1") * 12)
        time.sleep(0.3)
        with stopping(server):
            pass


def test_a_second_signal_ends_it_at_once(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_BATCH="1", BRAID_DRAIN="30") as server, connected(server, GOOD * 8):
        eventually(lambda: server.metric("braid_in_flight") > 0)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert time.monotonic() - began < 3


def test_requests_that_were_sent_ahead_are_answered_too(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_DRAIN="0", BRAID_GRACE="20") as server, connected(server, GOOD * 3) as ahead:
        eventually(lambda: server.metric("braid_in_flight") > 0)
        server.process.send_signal(signal.SIGTERM)
        found = statuses(heard(ahead))
        assert found
        assert set(found) == {200}  # the one in work, after which the connection ends
        assert server.process.wait(20) == 0


def test_a_body_on_its_way_when_the_signal_comes_is_still_taken(bundle: Bundle) -> None:
    with serve(bundle.folder, BRAID_DRAIN="0", BRAID_GRACE="10") as server:
        with connected(server, GOOD[: -len(JSON)]) as upload:
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(1)
            upload.sendall(JSON)
            assert statuses(heard(upload)) == [200]
        assert server.process.wait(20) == 0


def test_lines_of_the_log_that_wait_for_others_are_written_at_the_end(slow: Bundle) -> None:
    """The last ones are answered together; then nothing is left to wait for."""
    with serve(slow.folder, BRAID_BATCH="2", BRAID_ENGINE="thread", BRAID_LOG="info", BRAID_GRACE="10") as server:
        with ExitStack() as stack:
            waiting = [stack.enter_context(connected(server, GOOD)) for _ in range(8)]
            eventually(lambda: server.metric("braid_in_flight") == 8)
            with stopping(server):
                assert [statuses(heard(connection)) for connection in waiting] == [[200]] * 8
        assert server.stop() == 0
        assert [line["status"] for line in server.events("request")] == [200] * 8
