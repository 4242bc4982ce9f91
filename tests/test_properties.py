"""The promises of DESIGN.md, section 1, against real server processes."""

import base64
import io
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.bundle import Bundle
from service.model import Model
from tests import senses
from tests.process import Server, descendants, eventually, serve, written

WHITE = senses.png(255)


@pytest.fixture(scope="module")
def crowded(folder: Path) -> Iterator[Server]:
    """Each run takes long enough (20 ms) for company to arrive."""
    made = senses.write(folder / "crowded", slow=0.02)
    with serve(made.folder, BRAID_ENGINE="thread", BRAID_BATCH="16") as running:
        yield running


@pytest.fixture(scope="module")
def patient(slow: Bundle) -> Iterator[Server]:
    """One row at a time, a quarter of a second each."""
    with serve(slow.folder, BRAID_BATCH="1", BRAID_QUEUE_SECONDS="30") as running:
        yield running


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(calls)) as pool:
        futures: list[Future[httpx.Response]] = [pool.submit(call) for call in calls]
        return [future.result() for future in futures]


def some_parts(chance: random.Random) -> dict[str, Any]:
    """A random subset of the parts, of random lengths."""
    every: dict[str, Any] = {
        "text": b"a " * chance.randint(1, 16),
        "image": senses.png(chance.randint(0, 255)),
        "audio": senses.wav(chance.choice([0.25, 0.5]), chance.uniform(0.01, 1.0)),
    }
    return {name: every[name] for name in chance.sample(list(every), chance.randint(1, 3))}


# -- 1, 2: alone = in company, missing is data ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_an_answer_does_not_depend_on_its_company(crowded: Server, bundle: Bundle, seed: int) -> None:
    chance, model = random.Random(seed), Model(bundle)
    requests = [some_parts(chance) for _ in range(48)]
    batches = crowded.metric("braid_batch_size_count")
    answers = at_once([lambda parts=parts: crowded.predict(query="?raw=true", **parts) for parts in requests])  # type: ignore[misc]  # mypy#12557
    for parts, answer in zip(requests, answers, strict=True):
        raw = answer.raise_for_status().json()["raw"]
        for tensor, alone in model.run([model.encode(parts, {})])[0].items():
            np.testing.assert_allclose(raw[tensor], alone, rtol=1e-5, atol=1e-5)
    assert crowded.metric("braid_batch_size_count") - batches < len(requests) / 2  # there was company


@pytest.mark.parametrize(
    "names", [["text"], ["image"], ["audio"], ["text", "image"], ["image", "audio"], list(senses.PARTS)]
)
def test_an_absent_part_is_masked_and_what_was_used_is_echoed(server: Server, names: list[str]) -> None:
    every: dict[str, Any] = {"text": (b"a b", 2.0), "image": (WHITE, 1.0), "audio": (senses.wav(0.5), 0.5)}
    answer = server.predict(query="?raw=true", **{name: every[name][0] for name in names}).json()
    expected = [every[name][1] if name in names else 0 for name in every]
    np.testing.assert_allclose(answer["raw"]["measures"], expected, rtol=1e-5)
    assert {name: part["used"] for name, part in answer["parts"].items()} == {name: name in names for name in every}
    weights = [part.get("weight") for part in answer["parts"].values()]
    assert weights == [pytest.approx(1 / len(names)) if name in names else None for name in every]


def test_black_and_silence_are_not_absence(server: Server) -> None:
    answer = server.predict(text=b"a", image=senses.png(0), audio=senses.wav(0.0)).json()
    assert all(part == {"used": True, "weight": pytest.approx(1 / 3)} for part in answer["parts"].values())


def test_a_model_that_cannot_do_without_a_part_says_so(server: Server) -> None:
    refusal = server.predict(model="strict", text=b"a", image=WHITE)
    assert refusal.status_code == 422
    assert refusal.json()["code"] == "missing_part"
    assert refusal.json()["part"] == "audio"
    assert server.predict(model="strict", text=b"a", image=WHITE, audio=senses.wav()).status_code == 200


def test_several_bundles_are_served_by_name_and_the_first_by_none(server: Server) -> None:
    parts: dict[str, Any] = {"text": b"a b c", "image": WHITE, "audio": senses.wav(0.5)}
    for name in (None, "senses", "strict", "single"):
        answer = server.predict(model=name, query="?raw=true", **parts).json()
        assert answer["model"] == (name or "senses")
        assert answer["version"] == "7"
        np.testing.assert_allclose(answer["raw"]["measures"], [3, 1, 0.5], rtol=1e-5)


@pytest.mark.parametrize("names", [["text"], ["image", "audio"], list(senses.PARTS)])
def test_json_means_exactly_what_multipart_means(server: Server, names: list[str]) -> None:
    every: dict[str, Any] = {"text": "ä b".encode(), "image": senses.png(77), "audio": senses.wav(0.3)}
    parts = {name: every[name] for name in names}
    inputs: dict[str, Any] = {name: {"base64": base64.b64encode(data).decode()} for name, data in parts.items()}
    if "text" in parts:
        inputs["text"] = parts["text"].decode()
    by_form = server.predict(query="?raw=true", **parts).json()
    by_json = server.client.post("/v1/predict?raw=true", json={"inputs": inputs}).json()
    assert by_form | {"id": ""} == by_json | {"id": ""}


# -- 4: one bad upload hurts its sender only --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "status", "code"),
    [
        ({"text": b"a", "image": WHITE[:40]}, 422, "invalid_input"),
        ({"text": b"a", "image": b"no picture"}, 415, "unsupported_type"),
        ({"audio": senses.wav()[:44]}, 422, "invalid_input"),
        ({"text": b"\xff"}, 422, "invalid_input"),
        ({"text": b"a poison b"}, 500, "failed"),
    ],
    ids=["broken picture", "no picture", "no samples", "no UTF-8", "poison for the graph"],
)
def test_one_bad_upload_among_31_good_ones_costs_exactly_one_error(
    crowded: Server, bad: dict[str, Any], status: int, code: str
) -> None:
    requests: list[dict[str, Any]] = [{"text": b"a " * (1 + i % 16), "image": WHITE} for i in range(31)]
    requests.insert(13, bad)
    answers = at_once([lambda parts=parts: crowded.predict(query="?raw=true", **parts) for parts in requests])  # type: ignore[misc]  # mypy#12557
    refusal = answers.pop(13)
    assert refusal.status_code == status
    assert refusal.json()["code"] == code
    assert refusal.headers["content-type"] == "application/problem+json"
    for i, answer in enumerate(answers):
        np.testing.assert_allclose(answer.raise_for_status().json()["raw"]["measures"], [1 + i % 16, 1, 0])


def test_poison_does_not_stop_a_model_that_runs_on_the_event_loop(server: Server) -> None:
    assert server.predict(text=b"poison").status_code == 500
    assert server.measures(text=b"a b") == [2, 0, 0]


# -- 5: overload is said, not suffered --------------------------------------------------------------------------------


def test_a_full_queue_is_429_with_the_seconds_to_wait(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_QUEUE_ITEMS="4", BRAID_BATCH="1") as server:
        answers = at_once([lambda: server.predict(text=b"a")] * 16)
        refusals = [answer for answer in answers if answer.status_code != 200]
        assert len(answers) - len(refusals) >= 4
        assert len(refusals) >= 4
        for refusal in refusals:
            assert refusal.status_code == 429
            assert refusal.json()["code"] == "queue_full"
            assert int(refusal.headers["retry-after"]) >= 1
        assert server.predict(text=b"a").status_code == 200  # all places are free again


def test_the_queue_is_bounded_in_bytes_too(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_QUEUE_BYTES="20000", BRAID_BATCH="1") as server:
        sound = senses.wav(seconds=0.9)  # 14,400 bytes: two are too many
        answers = at_once([lambda: server.predict(audio=sound)] * 4)
        assert {answer.status_code for answer in answers} == {200, 429}
        assert server.metric("braid_in_flight_bytes") == 0


def sent(server: Server, path: str = "/v1/predict") -> socket.socket:
    """A complete request whose answer nobody has read yet."""
    body = b'{"inputs": {"text": "a"}}'
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", server.port))
    connection.sendall(head.encode() + body)
    return connection


def test_clients_that_hang_up_free_their_places(patient: Server) -> None:
    before = patient.metric("braid_disconnects_total")
    waiting = [sent(patient) for _ in range(40)]  # at least five seconds of work
    eventually(lambda: patient.metric("braid_in_flight") > 30)
    for connection in waiting:
        connection.close()
    start = time.perf_counter()
    assert patient.predict(text=b"a").status_code == 200
    assert time.perf_counter() - start < 2.5
    eventually(lambda: patient.metric("braid_in_flight") == 0)
    assert patient.metric("braid_disconnects_total") - before > 30
    assert patient.metric("braid_queue_depth") == 0


def test_a_deadline_that_has_passed_is_504_before_the_graph_runs(patient: Server) -> None:
    before = patient.metric("braid_batch_size_sum")
    with ThreadPoolExecutor(8) as pool:
        early = [pool.submit(patient.predict, text=b"a") for _ in range(8)]
        eventually(lambda: patient.metric("braid_queue_depth") > 2)
        late = patient.predict(text=b"a", headers={"Braid-Timeout": "0.01"})
        assert all(answer.result().status_code == 200 for answer in early)
    assert late.status_code == 504
    assert late.json()["code"] == "deadline_exceeded"
    assert patient.metric("braid_batch_size_sum") - before == len(early)


def test_probes_answer_while_the_model_works(patient: Server) -> None:
    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(patient.predict, text=b"a") for _ in range(4)]
        eventually(lambda: patient.metric("braid_in_flight") > 0)
        start = time.perf_counter()
        assert patient.client.get("/health/live").status_code == 200
        assert time.perf_counter() - start < 0.2
        assert all(answer.result().status_code == 200 for answer in work)


# -- 6: probes tell the truth -----------------------------------------------------------------------------------------


def test_live_at_once_and_ready_only_after_the_proof(folder: Path) -> None:
    heavy = senses.write(folder / "heavy", "heavy", slow=0.6)
    with serve(heavy.folder, wait=False) as server:
        eventually(lambda: connects(server))
        for path in ("/health/ready", "/v1/models/heavy"):
            loading = server.client.get(path)
            assert loading.status_code == 503
            assert loading.json()["code"] == "unavailable"
            assert int(loading.headers["retry-after"]) >= 1
        assert server.predict(text=b"a").status_code == 503
        assert server.predict(model="other", text=b"a").status_code == 404
        assert server.client.get("/health/live").json() == {"status": "live"}
        assert not any(server.events("loaded"))  # all that was while loading
        eventually(lambda: server.ready)
        eventually(lambda: any(server.events("loaded")))


def connects(server: Server) -> bool:
    try:
        return server.client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


def test_sigterm_means_not_ready_at_once_and_every_accepted_request_answered(slow: Bundle) -> None:
    with serve(slow.folder, BRAID_BATCH="1", BRAID_DRAIN="4") as server, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(server.predict, text=b"a") for _ in range(5)]
        eventually(lambda: server.metric("braid_in_flight") == 5)
        server.process.terminate()
        eventually(lambda: not server.ready)
        assert server.client.get("/health/ready").json()["detail"] == "draining"
        assert server.client.get("/health/live").status_code == 200
        assert server.predict(text=b"a").status_code == 200  # still accepted: endpoints are removed with a delay
        late = sent(server)  # in flight when the listening ends
        assert all(answer.result().status_code == 200 for answer in waiting)
        with late:
            assert late.recv(1000).startswith(b"HTTP/1.1 200")
        assert server.process.wait(20) == 0


# -- 7: nothing of an upload is written to disk or into a log ---------------------------------------------------------

CANARY = "kanarienvogel"


def big_picture() -> bytes:
    """Larger than what form parsers spool, with a comment inside."""
    noise = np.random.default_rng(0).integers(0, 256, (1400, 1400, 3), np.uint8)
    said = PngInfo()
    said.add_text("Comment", CANARY)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG", pnginfo=said, compress_level=0)
    return out.getvalue()


def test_nothing_of_an_upload_is_written_to_disk_or_log_or_sent_back(bundle: Bundle, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with serve(bundle.folder, folder=empty, TMPDIR=str(empty), HOME=str(empty), PYTHONDONTWRITEBYTECODE="1") as server:
        before = written(server)
        picture = (f"{CANARY}.png", big_picture(), f"image/{CANARY}")
        assert len(picture[1]) > 5 * 2**20
        post = server.client.post
        answers = [
            post("/v1/predict", files={"image": picture, "text": ("", f"a {CANARY}".encode())}),
            post("/v1/predict", files={"text": ("", f"poison {CANARY}".encode())}),
            post("/v1/predict", files={"image": (CANARY, CANARY.encode())}),
            post("/v1/predict", files={"image": (CANARY, senses.png()[:40] + CANARY.encode())}),
            post("/v1/predict", files={"text": (CANARY, CANARY.encode() + b"\xff")}),
            post("/v1/predict", files={CANARY: ("", b"a")}),
            post("/v1/predict", content=json.dumps({"inputs": CANARY}), headers={"content-type": "application/json"}),
            post("/v1/predict", content=CANARY, headers={"content-type": f"application/{CANARY}"}),
            post(f"/v1/predict?{CANARY}={CANARY}", files={"text": ("", b"a")}),
            post(f"/v1/models/{CANARY}/predict", files={"text": ("", b"a")}),
            post("/v1/predict", files={"text": ("", b"a")}, headers={"Braid-Timeout": CANARY, "Cookie": CANARY}),
        ]
        statuses = [answer.status_code for answer in answers]
        assert statuses == [200, 500, 415, 422, 422, 400, 400, 415, 400, 404, 400]
        said = [answer.text + str(answer.headers) for answer in answers] + [server.client.get("/metrics").text]
        assert not [text for text in said if CANARY in text]
        assert written(server) == before
        for pid in descendants(server.process.pid):
            links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
            assert not [link for link in links if str(empty) in link or "/tmp/tmp" in link]
    assert not list(empty.iterdir())
    assert CANARY.encode() not in b"".join(server.lines)
    assert all(json.loads(line)["event"] for line in server.lines)  # each line is ours
