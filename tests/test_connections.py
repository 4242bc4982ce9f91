"""Clients as they are, against a real server: slow, silent, dripping, gone, too many, lying."""

import re
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from service.bundle import Bundle
from tests import attacks, senses
from tests.attacks import CANARY, GOOD, JSON, get, head, post, sized
from tests.process import Server, eventually, serve
from tests.wire import connected, cpu, heard, limited, many, memory, most_memory, said, statuses

PROMPT = 2.0  # seconds; an attack that is not slowness itself is answered within
SHORT: dict[str, Any] = {  # deadlines
    "BRAID_HEAD_SECONDS": "0.6", "BRAID_BODY_SECONDS": "1.2", "BRAID_BODY_RATE": "1000", "BRAID_BODY_GRACE": "0.4",
    "BRAID_KEEP_ALIVE": "0.6", "BRAID_ANSWER_SECONDS": "0.8",
}  # fmt: skip
LIBRARIES = re.compile(rb"httptools|llhttp|uvloop|uvicorn|starlette|traceback|exception|pydantic|0x[0-9a-f]{6}", re.I)


@pytest.fixture(scope="module")
def brief(bundle: Bundle) -> Iterator[Server]:
    with serve(bundle.folder, **SHORT) as running:
        yield running


@pytest.fixture(scope="module")
def slowly(slow: Bundle) -> Iterator[Server]:
    """A quarter of a second a row."""
    with serve(slow.folder, BRAID_BATCH="1", BRAID_QUEUE_SECONDS="30", **SHORT) as running:
        yield running


def refused(server: Server, reason: str) -> float:
    return server.metric("braid_connections_refused_total", reason=reason)


# -- what is not HTTP, or could be read in two ways -------------------------------------------------------------------


HOSTILE = {name: (data, expected) for name, data, expected in attacks.hostile()}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_refused_at_once_without_an_echo(brief: Server, name: str) -> None:
    data, expected = HOSTILE[name]
    start = time.monotonic()
    answers = said(brief, data)
    assert statuses(answers) == expected, answers
    assert time.monotonic() - start < PROMPT
    assert CANARY not in answers.lower()
    assert not LIBRARIES.search(answers), answers
    last = answers[answers.rindex(b"HTTP/1.1 %d" % expected[-1]) :]
    if expected[-1] >= 400:
        assert b"\r\ncontent-type: application/problem+json\r\n" in last
        assert b'"status":%d' % expected[-1] in last
        assert b"\r\nx-content-type-options: nosniff\r\n" in last
    if expected[-1] != 405:
        assert b"\r\nconnection: close\r\n" in last
    assert statuses(said(brief, sized(JSON, b"Connection: close"))) == [200]


@pytest.mark.parametrize("name", attacks.HONEST)
def test_an_unusual_request_that_is_right_is_answered(brief: Server, name: str) -> None:
    data, expected = attacks.HONEST[name]
    assert statuses(said(brief, data)) == expected


@pytest.mark.parametrize("name", [name for name, (_, expected) in attacks.HONEST.items() if expected == [200]])
@pytest.mark.parametrize("size", [1, 7])
def test_it_does_not_matter_in_which_pieces_a_request_comes(brief: Server, name: str, size: int) -> None:
    data, expected = attacks.HONEST[name]
    with connected(brief) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, 100 * size, size):
            connection.sendall(data[i : i + size])
        connection.sendall(data[100 * size :])
        assert statuses(heard(connection)) == expected


def test_what_a_trailer_says_is_not_heard(brief: Server) -> None:
    """Neither in this request, nor in the next."""
    trailers = b"0\r\nBraid-Timeout: 0\r\nX-Request-Id: trailer\r\n\r\n"
    data = post(attacks.CHUNKED, body=attacks.chunks(JSON, end=trailers)) + GOOD
    answers = said(brief, data)
    assert statuses(answers) == [200, 200]
    assert b"trailer" not in answers


# -- slow clients -----------------------------------------------------------------------------------------------------


def dripped(server: Server, start: bytes, drop: bytes, every: float = 0.05) -> tuple[bytes, float]:
    """What is said to a client that sends `start`, then drop after drop, and after how many seconds."""
    began = time.monotonic()
    with connected(server, start) as connection:
        while not select.select([connection], [], [], every)[0]:
            connection.sendall(drop)
            assert time.monotonic() - began < 5
        return heard(connection), time.monotonic() - began


@pytest.mark.parametrize(
    ("start", "status", "seconds"),
    [
        (b"", None, 0.6),
        (b"\r\n", 408, 0.6),
        (b"POST", 408, 0.6),
        (b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nX: ", 408, 0.6),
        (head(attacks.HOST, attacks.KIND, b"Content-Length: 100"), 408, 0.4),
        (head(attacks.HOST, attacks.KIND, b"Content-Length: 100") + b'{"inputs', 408, 0.4),
        (post(attacks.CHUNKED, body=b"1b\r\n{"), 408, 0.4),
        (post(attacks.CHUNKED, body=b"5\r\n     \r\n0\r\n"), 408, 0.4),
    ],
    ids=["silent", "an end of line", "a method", "a field", "no body", "half a body", "half a chunk", "no last line"],
)
def test_who_stops_is_told_so_and_left(brief: Server, start: bytes, status: int | None, seconds: float) -> None:
    began = time.monotonic()
    with connected(brief, start) as connection:
        answers = heard(connection)
    assert statuses(answers) == ([status] if status else [])
    assert seconds <= time.monotonic() - began < seconds + PROMPT


@pytest.mark.parametrize(
    ("start", "drop", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: a\r\n", b"slow_head"),
        (b"", b"\r\n", b"slow_head"),
        (b"GET /", b"a", b"slow_head"),
        (head(attacks.HOST, attacks.KIND, b"Content-Length: 100000"), b" ", b"slow_body"),
        (post(attacks.CHUNKED, body=b""), b"1\r\n \r\n", b"slow_body"),
    ],
    ids=["fields", "ends of lines", "a URL", "a body", "chunks"],
)
def test_who_drips_is_no_better(brief: Server, start: bytes, drop: bytes, code: bytes) -> None:
    answers, seconds = dripped(brief, start, drop)
    assert statuses(answers) == [408]
    assert code in answers
    assert seconds < PROMPT


def test_a_body_that_comes_fast_enough_for_its_rate_is_still_bounded_in_time(brief: Server) -> None:
    answers, seconds = dripped(brief, head(attacks.HOST, attacks.KIND, b"Content-Length: 10000000"), b" " * 400)
    assert statuses(answers) == [408]
    assert 1.2 <= seconds < 1.2 + PROMPT


def test_a_kept_connection_is_closed_when_no_request_follows(brief: Server) -> None:
    began = time.monotonic()
    assert statuses(said(brief, GOOD)) == [200]
    assert 0.6 <= time.monotonic() - began < 0.6 + PROMPT


def test_a_slow_head_after_an_answer_has_its_own_deadline(brief: Server) -> None:
    assert statuses(said(brief, GOOD + b"GET /health")) == [200, 408]


def test_who_does_not_read_its_answers_is_cut_off(brief: Server) -> None:
    """Its requests stop being read, too: nothing piles up."""
    before = refused(brief, "unread")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", brief.port))
        began = time.monotonic()
        with suppress(ConnectionError):
            for _ in range(10):
                connection.sendall(get(b"GET /openapi.json HTTP/1.1") * 12)
                time.sleep(0.05)
        eventually(lambda: refused(brief, "unread") == before + 1)
        assert time.monotonic() - began < 4
    assert brief.measures(text=b"a b") == [2, 0, 0]


def test_an_answer_that_is_read_slowly_but_in_time_is_whole(brief: Server) -> None:
    with connected(brief, get(b"GET /openapi.json HTTP/1.1", b"Connection: close")) as connection:
        answer = b""
        while piece := connection.recv(1000):
            answer += piece
            time.sleep(0.001)
    begun, _, body = answer.partition(b"\r\n\r\n")
    assert int(re.search(rb"content-length: (\d+)", begun)[1]) == len(body)  # type: ignore[index]


# -- clients that leave, wholly or by half ----------------------------------------------------------------------------


@pytest.mark.parametrize("server_name", ["brief", "slowly"])
def test_who_sends_no_more_and_waits_is_answered(server_name: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(server_name)
    assert statuses(said(server, GOOD, half=True)) == [200]
    assert statuses(said(server, GOOD + GOOD, half=True)) == [200, 200]


def test_a_client_of_http_1_0_that_sends_no_more_is_answered_without_an_interim_answer(slowly: Server) -> None:
    answers = said(slowly, post(attacks.LENGTH, line=b"POST /v1/predict HTTP/1.0"), half=True)
    assert answers.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "data",
    [
        b"POST", get()[:-2], head(attacks.HOST, attacks.KIND, b"Content-Length: 100") + JSON,
        post(attacks.CHUNKED, body=b"1b\r\n{"), post(attacks.CHUNKED, body=b""),
    ],
    ids=["a method", "a head", "a body", "a chunk", "no chunk"],
)  # fmt: skip
def test_a_request_that_ends_too_early_is_malformed(brief: Server, data: bytes) -> None:
    began = time.monotonic()
    assert statuses(said(brief, data, half=True)) == [400]
    assert time.monotonic() - began < 0.3
    assert said(brief, b"", half=True) == b""


def test_who_leaves_while_it_waits_frees_its_place_at_once(slowly: Server) -> None:
    before = slowly.metric("braid_disconnects_total")
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(connected(slowly, GOOD))
        eventually(lambda: slowly.metric("braid_in_flight") > 25)
    began = time.monotonic()
    eventually(lambda: slowly.metric("braid_in_flight") == 0)
    assert time.monotonic() - began < 1.5
    assert slowly.metric("braid_disconnects_total") - before > 25
    assert slowly.metric("braid_queue_depth") == 0


def test_a_client_that_vanishes_in_the_midst_of_an_upload_leaves_nothing_behind(brief: Server) -> None:
    for cut in (10, 60, 150):
        with connected(brief, sized(b" " * 10_000)[:cut]):
            pass
    eventually(lambda: brief.metric("braid_in_flight") == 0 and brief.metric("braid_connections") <= 1)


# -- bodies and what is said before them ------------------------------------------------------------------------------


def test_who_asks_whether_to_send_is_told_and_served(brief: Server) -> None:
    with connected(brief, head(attacks.HOST, attacks.KIND, attacks.LENGTH, b"Expect: 100-continue")) as connection:
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(JSON)
        assert statuses(heard(connection)) == [200]


def test_who_asks_whether_to_send_too_much_is_told_not_to(brief: Server) -> None:
    asked = head(attacks.HOST, attacks.KIND, b"Content-Length: 99999999", b"Expect: 100-continue")
    answers = said(brief, asked)
    assert answers.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nconnection: close\r\n" in answers


def test_a_body_that_comes_all_the_same_does_not_hide_the_refusal(brief: Server) -> None:
    """Its sender reads only when all is sent; a reset would take the answer away."""
    for data in (sized(b" " * (40 * 2**20)), post(attacks.CHUNKED, body=attacks.chunks(*[b" " * 2**20] * 40))):
        began = time.monotonic()
        assert statuses(said(brief, data)) == [413]
        assert time.monotonic() - began < PROMPT


def test_who_goes_on_sending_what_was_refused_is_cut_off_in_the_end(brief: Server) -> None:
    began = time.monotonic()
    with connected(brief, head(attacks.HOST, attacks.KIND, b"Content-Length: 99999999")) as connection:
        with suppress(ConnectionError):
            while time.monotonic() - began < 10:
                connection.sendall(b" " * 1000)
                time.sleep(0.01)
        assert 0.8 <= time.monotonic() - began < 0.8 + PROMPT


def test_a_short_body_that_nobody_wants_costs_no_connection(brief: Server) -> None:
    start = head(attacks.HOST, attacks.KIND, attacks.LENGTH, line=b"POST /nowhere HTTP/1.1")
    with connected(brief, start) as connection:
        assert statuses(connection.recv(4000)) == [404]
        connection.sendall(JSON + GOOD)
        assert statuses(heard(connection)) == [200]


def test_a_long_body_that_nobody_wants_is_not_waited_for(brief: Server) -> None:
    began = time.monotonic()
    with connected(
        brief, head(attacks.HOST, b"Content-Length: 20000000", line=b"POST /nowhere HTTP/1.1")
    ) as connection:
        answers = connection.recv(4000)
        assert statuses(answers) == [404]
        assert b"\r\nconnection: close\r\n" in answers
        assert connection.recv(1000) == b""  # not after a deadline: at once
    assert time.monotonic() - began < 0.5


# -- too many ---------------------------------------------------------------------------------------------------------


def test_idle_clients_in_thousands_give_way_to_those_who_ask(bundle: Bundle) -> None:
    with serve(bundle.folder) as server:
        before = memory(server)
        with many(server, 3000):
            time.sleep(1)
            assert server.metric("braid_connections") <= 1251
            spent = cpu(server)
            time.sleep(1)
            assert cpu(server) - spent < 0.15
            for _ in range(3):
                began = time.monotonic()
                assert statuses(said(server, sized(JSON, b"Connection: close"))) == [200]
                assert statuses(said(server, get(b"GET /health/ready HTTP/1.1", b"Connection: close"))) == [200]
                assert time.monotonic() - began < 1
        assert memory(server) - before < 30 * 2**20


def test_a_thousand_hostile_requests_cost_little_memory(bundle: Bundle) -> None:
    with serve(bundle.folder, **SHORT) as server:
        assert server.predict(text=b"a", image=senses.png(), audio=senses.wav()).status_code == 200
        before = most_memory(server)
        for data, _ in list(HOSTILE.values()) * 5:
            said(server, data)
        said(server, sized(b" " * (40 * 2**20)))
        said(server, post(attacks.CHUNKED, body=attacks.chunks(*[b" " * 2**20] * 40)))
        assert most_memory(server) - before < 48 * 2**20
        assert server.measures(text=b"a b") == [2, 0, 0]


FEW: dict[str, Any] = {"BRAID_CONNECTIONS": "8", "BRAID_BATCH": "1"}


def test_beyond_the_limit_only_probes_are_answered(slow: Bundle) -> None:
    with serve(slow.folder, **FEW) as server, many(server, 8, GOOD) as busy:
        time.sleep(0.3)
        refusal = said(server, GOOD)
        assert refusal.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in refusal
        assert b'"code":"unavailable"' in refusal
        began = time.monotonic()
        for path in (b"/health/live", b"/health/ready", b"/metrics"):
            assert statuses(said(server, get(b"GET %b HTTP/1.1" % path, b"Connection: close"))) == [200]
        assert time.monotonic() - began < 1
        assert all(connection.recv(1000).startswith(b"HTTP/1.1 200") for connection in busy)


def test_a_probe_is_answered_among_hundreds_that_come_again_and_again(slow: Bundle) -> None:
    """Each of them is one too many; however many there are, the newest may be a probe's."""
    with serve(slow.folder, **FEW) as server, many(server, 8, GOOD * 20), ThreadPoolExecutor(4) as pool:
        time.sleep(0.3)
        over = threading.Event()

        def again() -> Counter[int]:
            found = Counter[int]()
            while not over.is_set():
                with many(server, 50) as clients:  # all are there before one of them asks
                    for client in clients:
                        with suppress(ConnectionError):
                            client.sendall(GOOD)
                            found.update(statuses(heard(client)))
            return found

        flood = [pool.submit(again) for _ in range(4)]
        try:
            for _ in range(20):
                began = time.monotonic()
                assert statuses(said(server, get(b"GET /health/ready HTTP/1.1", b"Connection: close"))) == [200]
                assert time.monotonic() - began < 1
        finally:
            over.set()
        found = sum((each.result() for each in flood), Counter[int]())
        assert found.keys() == {503}
    assert found[503] > 100


def test_who_lingers_after_a_refusal_takes_nobodys_place(bundle: Bundle) -> None:
    """They go on sending and do not close; however many they are, there are not more than the limit and its reserve."""
    refused_ones = head(attacks.HOST, b"Content-Length: 20000000", line=b"POST /nowhere HTTP/1.1")
    with serve(bundle.folder, BRAID_CONNECTIONS="8") as server, many(server, 100, refused_ones) as lingering:
        for connection in lingering[-8:]:
            connection.sendall(b" " * 1000)
        for _ in range(20):
            assert statuses(said(server, sized(JSON, b"Connection: close"))) == [200]
        with many(server, 8, head(attacks.HOST, attacks.KIND, b"Content-Length: 99")):
            time.sleep(0.3)
            look = get(b"GET /metrics HTTP/1.1", b"Connection: close")
            (count,) = re.findall(rb"\nbraid_connections ([0-9.]+)\n", said(server, look))
            assert float(count) <= 8 + 2 * 32


def test_dripping_bodies_give_way_too(bundle: Bundle) -> None:
    with (
        serve(bundle.folder, **FEW) as server,
        many(server, 8, head(attacks.HOST, attacks.KIND, b"Content-Length: 99")),
    ):
        time.sleep(0.3)  # who looks too early may have come before the last of them
        look = get(b"GET /metrics HTTP/1.1", b"Connection: close")
        eventually(lambda: b'\nbraid_in_flight{model="senses"} 8.0\n' in said(server, look))
        eventually(lambda: statuses(said(server, sized(JSON, b"Connection: close"))) == [200])
        assert refused(server, "crowded") > 0


def test_where_there_are_few_descriptors_there_are_fewer_connections(bundle: Bundle) -> None:
    with serve(bundle.folder, under=limited("-n 256")) as server:
        (line,) = server.events("few file descriptors")
        assert line["connections"] == 102
        with many(server, 600):
            time.sleep(1)
            assert statuses(said(server, sized(JSON, b"Connection: close"))) == [200]
            spent = cpu(server)
            time.sleep(1)
            assert cpu(server) - spent < 0.3  # no loop of accepting in vain
