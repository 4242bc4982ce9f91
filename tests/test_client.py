"""service.client against a real server: every form of a part, refusals, tries again, many at once, data frames."""

import asyncio
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image

from service.client import Answer, AsyncClient, Client, Refused, Unreachable
from tests import senses
from tests.process import Server

PIXELS = np.full((10, 20), 51, np.uint8)
SAMPLES = np.tile(np.array([0.25, -0.25]), 400)


@pytest.fixture
def braid(server: Server) -> Iterator[Client]:
    with Client(str(server.client.base_url)) as client:
        yield client


def measures(answer: Answer) -> list[float]:
    assert answer.raw
    return list(answer.raw["measures"])


def pictures(folder: Path) -> dict[str, Any]:
    file = folder / "picture.png"
    file.write_bytes(senses.png(51))
    made = {"path": file, "name": str(file), "bytes": senses.png(51), "PIL": Image.fromarray(PIXELS)}
    return made | {"uint8": PIXELS, "float": PIXELS / 255, "RGB": np.dstack([PIXELS] * 3)}


def sounds(folder: Path) -> dict[str, Any]:
    file = folder / "sound.wav"
    file.write_bytes(senses.wav(0.25))
    whole = (SAMPLES * 32768).astype(np.int16)
    made = {"path": file, "bytes": senses.wav(0.25), "float": (senses.RATE, SAMPLES), "int16": (senses.RATE, whole)}
    return made | {"stereo": (senses.RATE, np.column_stack([SAMPLES, SAMPLES]))}


@pytest.mark.parametrize("form", ["path", "name", "bytes", "PIL", "uint8", "float", "RGB"])
def test_a_picture_may_be(braid: Client, tmp_path: Path, form: str) -> None:
    answer = braid.predict(image=pictures(tmp_path)[form], raw=True)
    assert measures(answer) == pytest.approx([0, 0.2, 0], abs=1e-5)


@pytest.mark.parametrize("form", ["path", "bytes", "float", "int16", "stereo"])
def test_a_sound_may_be(braid: Client, tmp_path: Path, form: str) -> None:
    answer = braid.predict(audio=sounds(tmp_path)[form], raw=True)
    assert measures(answer) == pytest.approx([0, 0, 0.25], abs=1e-4)


def test_an_answer_is_typed(braid: Client) -> None:
    answer = braid.predict("a white noise", senses.png(51), top_k=1, explain="parts", model="senses")
    assert answer.label == "tokens"
    assert answer.score == answer.outputs["sense"]["score"]
    assert answer.parts["audio"] == {"used": False}
    assert answer.explanation
    assert set(answer.explanation["parts"]) == {"text", "image"}
    assert answer.stages["run"] > 0
    with pytest.raises(AttributeError, match="the outputs are sense"):
        _ = answer.embedding


def test_places_are_explained(braid: Client) -> None:
    assert braid.explain(text="a white noise", target="tokens")["parts"]["text"]["words"]


def test_models_are_listed_and_described(braid: Client) -> None:
    assert "senses" in [model["id"] for model in braid.models()]
    assert braid.describe("senses")["version"] == "7"
    assert braid.ready()


def test_a_refusal_names_the_part(braid: Client) -> None:
    with pytest.raises(Refused) as refused:
        braid.predict(image=b"no picture")
    assert (refused.value.status, refused.value.code, refused.value.part) == (415, "unsupported_type", "image")
    with pytest.raises(Refused) as refused:
        braid.predict("a", model="none")
    assert refused.value.status == 404


def test_many_at_once_keep_their_order_and_their_errors(braid: Client) -> None:
    rows = [{"text": " ".join(["a"] * (1 + i % 9))} if i != 20 else {"image": b"no picture"} for i in range(60)]
    found = braid.map(rows, progress=False, raw=True)
    assert isinstance(found[20], Refused)
    assert [measures(one)[0] for one in found if isinstance(one, Answer)] == [1 + i % 9 for i in range(60) if i != 20]


def test_a_data_frame_becomes_a_data_frame(braid: Client) -> None:
    frame = pandas.DataFrame({"text": ["a b c", None], "image": [None, senses.png(51)]}, index=["x", "y"])
    found = braid.predict_frame(frame, progress=False, top_k=1)
    assert list(found.index) == ["x", "y"]
    assert list(found["sense.label"]) == ["tokens", "brightness"]


def test_the_asynchronous_client_does_the_same(server: Server) -> None:
    async def work() -> tuple[Answer, list[Any], list[Any], int]:
        async with AsyncClient(str(server.client.base_url), model="senses") as braid:
            rows = [{"text": " ".join(["a"] * (1 + i % 9))} for i in range(40)]
            one = await braid.predict("a b", raw=True)
            streamed = [found async for found in braid.stream(rows, concurrency=4, raw=True)]
            return one, await braid.map(rows, progress=False, raw=True), streamed, len(await braid.models())

    one, mapped, streamed, models = asyncio.run(work())
    assert measures(one)[0] == 2
    for found in (mapped, streamed):
        assert [measures(answer)[0] for answer in found] == [1 + i % 9 for i in range(40)]
    assert models >= 1


class Busy(BaseHTTPRequestHandler):
    """Says 429 twice, then passes the third try on."""

    asked: list[float] = []  # noqa: RUF012

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.asked.append(time.monotonic())
        good = len(self.asked) > 2
        body = (
            b'{"id": "x", "model": "m", "version": "1", "outputs": {}, "parts": {}}' if good else b'{"detail": "full"}'
        )
        self.send_response(200 if good else 429)
        self.send_header("content-length", str(len(body)))
        self.send_header("retry-after", "1")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[str]:
    Busy.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_comes_back_when_the_server_says(busy: str) -> None:
    with Client(busy) as client:
        assert client.predict("a").id == "x"
    first, second, third = Busy.asked
    assert min(second - first, third - second) >= 1


def test_it_does_not_come_back_after_its_deadline(busy: str) -> None:
    with Client(busy) as client, pytest.raises(Refused) as refused:
        client.predict("a", timeout=0.5)
    assert refused.value.status == 429
    assert refused.value.retry_after == 1
    assert len(Busy.asked) == 1


def test_a_server_that_is_not_there_is_said_so() -> None:
    with Client("http://127.0.0.1:9", timeout=1) as client:
        assert not client.ready()
        with pytest.raises(Unreachable):
            client.predict("a")
