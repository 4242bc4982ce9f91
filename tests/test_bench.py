"""braid bench: what it counts, when it sends, what it sends, and what it says."""

import itertools
import json
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from service.bench import command, plot, report, target
from service.bench.connection import Answer
from service.bench.load import Load, Plan
from service.bench.report import Report
from service.bench.requests import Request, Subset, Upload, mix, requests, spread
from service.bundle import Bundle
from service.errors import BraidError
from service.limits import DEFAULTS
from service.web import uploads
from tests.process import Server, braid
from tests.senses import png

SAMPLES = {"text": [Upload(b"a b"), Upload(b"c")], "image": [Upload(png(), "white.png")]}
SVG = "{http://www.w3.org/2000/svg}"
Reply = Callable[[int], bytes | None]  # number of the request -> an HTTP answer, or nothing and the connection closes


def ok(number: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer-Timing: queue;dur=1.5, run;dur=20\r\n\r\n{}"


@contextmanager
def answering(reply: Reply) -> Iterator[target.Target]:
    """A server that answers as told."""
    numbers = itertools.count()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            try:
                while self.request_read() and (said := reply(next(numbers))):
                    self.wfile.write(said)
            except ConnectionError:
                pass

        def request_read(self) -> bool:
            size = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line.startswith(b"Content-Length"):
                    size = int(line.split(b":")[1])
            return size > 0 and len(self.rfile.read(size)) == size

    class Threads(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 100

    with Threads(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield target.parse(f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join()


def measured(aim: target.Target, plan: Plan) -> tuple[Load, Report]:
    subsets = [Subset(("text",), 2), Subset(("text", "image"))]
    load = Load(aim, plan, requests(aim, SAMPLES, subsets))
    uvloop.run(load.run())
    return load, report.report(load, aim.url, subsets, 0.1)


def faults(found: Report) -> int:
    return sum(fault.count for fault in found.errors.values())


def test_what_was_sent_is_what_was_answered_and_what_the_server_counted(server: Server, tmp_path: Path) -> None:
    before = server.metric("braid_requests_total")
    files = ("--json", tmp_path / "b.json", "--plot", tmp_path / "b.svg")
    given = ("--text", "a b", "--mix", "text:2,text+image:1", "--image", write(tmp_path / "white.png", png()))
    length = ("--seconds", "1", "--warmup", "0", "--connections", "4")
    done = braid("bench", f"http://127.0.0.1:{server.port}", *given, *length, *files)
    assert done.returncode == 0, done.stderr
    found = Report.model_validate_json((tmp_path / "b.json").read_text())
    assert found.errors == {}
    assert found.sent == found.answered == server.metric("braid_requests_total") - before > 0
    assert found.sent == sum(part.answered for part in found.mix.values())
    assert abs(found.mix["text"].answered - 2 * found.mix["text+image"].answered) <= 2 * found.connections
    assert {"encode.text", "queue", "run"} <= found.stages.keys()
    assert found.latency
    assert 0 < found.latency.p50 <= found.latency.p90 <= found.latency.p99 <= found.latency.max
    assert f"{found.answered}" in done.stdout
    drawing = ElementTree.parse(tmp_path / "b.svg").getroot()
    assert len(drawing.findall(f"{SVG}polyline")) == 3  # all, and each of the two subsets


def test_an_unknown_part_is_counted_by_its_status_and_explained(server: Server, tmp_path: Path) -> None:
    figures = tmp_path / "b.json"
    wrong = ("--part", f"smell={write(tmp_path / 'rose.bin', b'x')}", "--seconds", "0.3", "--warmup", "0")
    done = braid("bench", f"http://127.0.0.1:{server.port}", *wrong, "--json", figures)
    found = Report.model_validate_json(figures.read_text())
    assert done.returncode == 1  # not one good answer
    assert found.errors.keys() == {"400"}
    assert found.errors["400"].count == found.sent > 0
    assert "takes text, image, audio" in found.errors["400"].detail
    assert (found.answered, found.latency, found.requests_per_second) == (0, None, 0)


def test_a_bundles_example_is_what_is_sent(server: Server, bundle: Bundle, tmp_path: Path) -> None:
    figures = tmp_path / "b.json"
    length = ("--seconds", "0.3", "--warmup", "0", "--json", figures)
    assert braid("bench", f"http://127.0.0.1:{server.port}", "--bundle", bundle.folder, *length).returncode == 0
    (subset,) = json.loads(figures.read_text())["mix"]
    assert sorted(subset.split("+")) == ["audio", "image", "text"]


def test_nothing_to_send_says_what_the_model_takes(server: Server) -> None:
    done = braid("bench", f"http://127.0.0.1:{server.port}")
    assert done.returncode == 2
    assert "--text FILE, --image FILE, --audio FILE" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("127.0.0.1:9",), "not a URL"),
        (("http://[", "--text", "a"), "not a URL"),
        (("http://a..b", "--text", "a"), "not a URL"),
        (("http://a:99999", "--text", "a"), "not a URL"),
        (("http://127.0.0.1:9", "--text", "a"), "cannot connect"),
        (("http://127.0.0.1:9",), "cannot connect"),
        (("http://127.0.0.1:9", "--image", "nothing.png"), "nothing.png"),
        (("http://127.0.0.1:9", "--part", "smell"), "NAME=FILE"),
        (("http://127.0.0.1:9", "--text", "a", "--mix", "image"), "--mix"),
        (("http://127.0.0.1:9", "--text", "a", "--plot", "a.gif"), ".svg"),
        (("http://127.0.0.1:9", "--text", "a", "--json", "nowhere/a.json"), "no folder nowhere"),
        (("http://127.0.0.1:9", "--text", "a", "--header", "x"), "--header"),
        (("http://127.0.0.1:9", "--text", "a", "--rate", "50"), "cannot connect"),
        (("http://127.0.0.1:9", "--bundle", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_is_named_in_one_line(arguments: Sequence[str], said: str) -> None:
    with pytest.raises(BraidError, match=said) as error:
        command.app(list(arguments))
    assert "\n" not in str(error.value)


def test_a_mistake_is_exit_code_2() -> None:
    done = braid("bench", "http://127.0.0.1:9", "--text", "a")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "braid: cannot connect to 127.0.0.1:9: Connection refused; is `braid serve` running there?\n"


def test_an_open_loop_sends_exactly_what_is_due() -> None:
    with answering(ok) as aim:
        load, found = measured(aim, Plan(4, rate=100, warmup=0.2, seconds=1))
    due = sorted(answer.start for answer in load.answers)
    gaps = [after - before for before, after in itertools.pairwise(due)]
    assert found.sent == found.answered == 100
    assert len(due) == 120  # with the warm-up's
    assert all(abs(gap - 0.01) < 1e-6 for gap in gaps)
    assert found.late
    assert found.late.count == 100


def test_a_stall_counts_for_all_that_was_due_during_it() -> None:
    """A closed loop on one connection would tell of one slow request in it."""
    stalls: list[float] = []

    def stall(number: int) -> bytes:
        if number == 10:
            time.sleep(0.5)
            stalls.append(time.perf_counter())
        return ok(number)

    with answering(stall) as aim:
        load, found = measured(aim, Plan(1, rate=50, warmup=0, seconds=1))
    waited = [answer for answer in load.answers if stalls[0] - 0.5 < answer.start < stalls[0]]
    assert found.answered == 50
    assert len(waited) >= 10
    assert all(answer.end >= stalls[0] for answer in waited)


def test_the_clock_of_a_closed_loop_starts_when_the_request_is_sent() -> None:
    def slow(number: int) -> bytes:
        time.sleep(0.02)
        return ok(number)

    with answering(slow) as aim:
        load, found = measured(aim, Plan(2, warmup=0, seconds=0.5))
    assert found.latency
    assert found.latency.p50 >= 0.02
    assert 2 <= found.sent == len(load.answers) <= 2 * 0.5 / 0.02 + 2
    assert found.stages["queue"].p50 == pytest.approx(0.0015)
    assert found.stages["run"].p50 == pytest.approx(0.02)


def test_connections_that_break_are_counted_and_replaced() -> None:
    with answering(lambda number: None if number % 3 == 0 else ok(number)) as aim:
        _, found = measured(aim, Plan(2, warmup=0, seconds=0.5))
    assert found.errors.keys() == {"lost"}
    assert found.sent == found.answered + faults(found)
    assert found.answered > 2 <= faults(found)


def test_what_is_not_http_is_counted_as_lost() -> None:
    with answering(lambda number: b"SSH-2.0-OpenSSH\r\n") as aim:
        _, found = measured(aim, Plan(2, warmup=0, seconds=0.3))
    assert found.errors["lost"].count == found.sent > 0


def test_a_server_that_closes_after_each_answer_is_measured_all_the_same() -> None:
    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with answering(lambda number: closing) as aim:
        _, found = measured(aim, Plan(2, warmup=0, seconds=0.3))
    assert found.errors == {}
    assert found.answered == found.sent > 2


@pytest.mark.parametrize("rate", [None, 40.0])
def test_requests_without_an_answer_time_out_and_the_run_ends(rate: float | None) -> None:
    over = threading.Event()
    with answering(lambda number: b"HTTP/1.1 200 OK\r\n" * (not over.wait(10))) as aim:
        start = time.monotonic()
        _, found = measured(aim, Plan(2, rate=rate, warmup=0, seconds=0.3, timeout=0.4))
        over.set()
    assert found.errors.keys() == {"timeout"}
    assert faults(found) == found.sent == (2 if rate is None else 12)
    assert time.monotonic() - start < 5


def test_a_server_that_goes_away_is_refusals_not_a_hang() -> None:
    with ExitStack() as stack:
        away = threading.Event()
        aim = stack.enter_context(answering(lambda number: None if away.is_set() else ok(number)))

        def go() -> None:
            away.set()
            stack.close()

        leave = threading.Timer(0.3, go)
        leave.start()
        _, found = measured(aim, Plan(2, warmup=0, seconds=1))
        leave.join()
    assert found.errors.keys() == {"lost", "refused"}
    assert found.sent == found.answered + faults(found)
    assert found.answered > 0


def test_bodies_are_forms_that_our_own_parser_takes(bundle: Bundle) -> None:
    aim = target.parse("http://[::1]:8000/?raw=true")
    subsets = mix("text+image:2,image", SAMPLES)
    sent = list(itertools.islice(requests(aim, SAMPLES, subsets, [("X-Key", "k")]), 6))
    forms = [form(request, bundle) for request in sent]
    white = SAMPLES["image"][0].data
    assert Counter(request.subset for request in sent) == {0: 4, 1: 2}
    assert [found.get("text") for found in forms if "text" in found] == [b"a b", b"c", b"a b", b"c"]
    assert all(found["image"] == white for found in forms)
    head = sent[0].pieces[0].decode()
    assert head.startswith("POST /v1/predict?raw=true HTTP/1.1\r\nHost: [::1]:8000\r\n")
    assert "\r\nX-Key: k\r\n" in head


def form(request: Request, bundle: Bundle) -> dict[str, bytes]:
    head, *body = request.pieces
    boundary = head.split(b"boundary=")[1].split(b"\r\n")[0].decode()
    assert f"\r\nContent-Length: {sum(map(len, body))}\r\n".encode() in head
    return uploads.from_form(b"".join(body), boundary, bundle.manifest.inputs, DEFAULTS)[0]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=5))
def test_a_mix_is_kept_in_every_stretch_of_the_run(weights: list[int]) -> None:
    order = spread(weights)
    for index, weight in enumerate(weights):
        share = weight / sum(weights)
        assert order.count(index) == pytest.approx(share * len(order))
        for length in range(len(order)):
            assert abs(order[:length].count(index) - share * length) < len(weights)


@given(st.lists(st.floats(0, 1e3), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_the_least_value_that_covers_its_share(values: list[float], share: float) -> None:
    found = report.percentile(sorted(values), share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_a_plot_ends_at_its_axes_even_with_one_answer() -> None:
    for values in ([0.0], [0.001], [0.1, 20.0], [k / 1000 for k in range(1, 100_000)]):
        root = ElementTree.fromstring(plot.svg("<b>", {"text & image": values}))
        (line,) = root.findall(f"{SVG}polyline")
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert all(plot.LEFT <= x <= plot.WIDTH - plot.RIGHT + 0.1 for x, _ in points)
        assert all(plot.TOP - 0.1 <= y <= plot.HEIGHT - plot.BOTTOM + 0.1 for _, y in points)
        assert points == sorted(points, key=lambda point: (point[0], -point[1]))


def test_only_answers_that_came_within_the_time_make_the_rate() -> None:
    load = Load(target.parse("http://127.0.0.1:9"), Plan(seconds=2), iter(()))
    load.start, load.end = 10.0, 12.0
    load.answers = [
        Answer(9.9, 10.1, 200, 0),
        Answer(10.5, 11, 200, 0),
        Answer(11.9, 12.5, 200, 0),
        Answer(11, 11, 429, 0),
    ]
    found = report.report(load, "", [Subset(("text",))], 0)
    assert found.requests_per_second == 1.0  # the first and the second
    assert found.answered == 2  # the second and the third: begun within the time
    assert found.errors["429"].count == 1


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
