"""Labels that the request names: two towers through a real server; and what of the labels is kept."""

import asyncio
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service import bundle, prompts
from service.errors import BundleError, MissingPart
from service.limits import DEFAULTS
from service.model import Model
from service.prompts import Prompts
from service.types import Asked, Row
from tests import towers
from tests.process import Server, braid, serve

RED = towers.png(255, 0, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return towers.write(tmp_path_factory.mktemp("towers") / "colours").folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serve(folder) as running:
        yield running


def ask(server: Server, labels: Any, query: str = "", **parts: bytes) -> httpx.Response:
    return server.predict(model=None, headers=None, query=query, **parts, labels=json.dumps(labels).encode())


def test_the_label_that_fits_is_the_best(server: Server) -> None:
    answer = ask(server, ["green", "red", "red blue"], "?raw=true", image=RED).raise_for_status().json()
    found = answer["outputs"]["classification"]
    assert [one["label"] for one in found["top"]] == ["red", "red blue", "green"]
    logits = np.array([0, 10, 10 / math.sqrt(2)])
    np.testing.assert_allclose(answer["raw"]["logits"], logits, atol=1e-5)
    shares = np.exp(logits) / np.exp(logits).sum()
    assert found["score"] == pytest.approx(shares[1])
    assert answer["raw"]["text_embeds"] == [[0, 1, 0], [1, 0, 0], [1, 0, 1]]
    assert answer["outputs"].keys() == {"classification"}


def test_top_k_and_template_are_the_requests(server: Server) -> None:
    answer = ask(server, ["green", "red"], "?top_k=1&template=red {}", image=RED).raise_for_status().json()
    assert len(answer["outputs"]["classification"]["top"]) == 1
    logits = np.array([10 / math.sqrt(2), 10])  # `red green` and `red red`
    assert answer["outputs"]["classification"]["score"] == pytest.approx(1 / (1 + math.exp(logits[0] - logits[1])))


def test_each_part_stands_alone(server: Server) -> None:
    text = server.predict(text=b"blue").raise_for_status().json()
    assert text["outputs"] == {"embedding": {"embedding": {"text": [0, 0, 1]}}}
    both = server.predict(text=b"blue", image=RED).raise_for_status().json()
    assert both["outputs"]["embedding"]["embedding"] == {"text": [0, 0, 1], "image": [1, 0, 0]}
    described = server.client.get("/v1/models/colours").json()
    assert [one["required"] for one in described["inputs"].values()] == [False, False]
    assert described["controls"] == ["labels", "template", "top_k"]
    sent = {"model": "colours", "input": ["green", {"image": "data:image/png;base64," + base64(RED)}]}
    vectors = [one["embedding"] for one in server.client.post("/v1/embeddings", json=sent).json()["data"]]
    assert vectors == [[0, 1, 0], [1, 0, 0]]


def base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def test_a_part_alone_is_inferred_by_the_open_inference_protocol(server: Server) -> None:
    def infer(*tensors: dict[str, Any], **more: Any) -> httpx.Response:
        return server.client.post("/v2/models/colours/infer", json={"inputs": tensors, **more})

    text = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["blue", "red green"]}
    (output,) = infer(text).raise_for_status().json()["outputs"]
    assert (output["name"], output["data"]) == ("text_embeds", [0, 0, 1, 1, 1, 0])
    pixels = {"name": "pixels", "shape": [1, 3, 4, 4], "datatype": "FP32", "data": [1.0] * 16 + [0.0] * 32}
    (output,) = infer(pixels).raise_for_status().json()["outputs"]
    assert (output["name"], output["data"]) == ("image_embeds", [1, 0, 0])
    assert infer(pixels, outputs=[{"name": "text_embeds"}]).status_code == 400
    ids = {"name": "ids", "shape": [1, 1], "datatype": "INT64", "data": [0]}
    assert infer(ids).status_code == 400  # its mask is missing
    listed = server.client.get("/v2/models/colours").json()
    assert [one["name"] for one in listed["inputs"]] == ["ids", "mask", "pixels"]


def test_labels_without_what_they_are_for_are_refused(server: Server) -> None:
    answer = ask(server, ["red"], text=b"red")
    assert (answer.status_code, answer.json()["part"]) == (422, "image")


def test_a_clients_labels_are_not_counted(server: Server) -> None:
    ask(server, ["red", "secret word"], image=RED).raise_for_status()
    assert "secret" not in server.client.get("/metrics").text


def test_where_in_the_picture_the_answer_lies(server: Server) -> None:
    half = towers.png(255, 0, 0)
    path = "/v1/explain"
    answer = server.client.post(path, files={"image": half}, data={"labels": '["red", "green"]'}).raise_for_status()
    assert answer.json()["target"] == "red"
    refused = server.predict(model=None, headers=None, query="?explain=parts", image=RED, labels=b'["red", "blue"]')
    assert (refused.status_code, refused.json()["code"]) == (400, "not_explainable")


def test_many_at_once_get_what_they_get_alone(server: Server) -> None:
    sets = [["red", "green"], ["blue", "red"], ["green", "blue", "red blue"]]
    pictures = [towers.png(*colour) for colour in ((255, 0, 0), (0, 90, 200), (3, 200, 7), (50, 50, 50))]
    asked = [(labels, picture) for labels in sets for picture in pictures]

    def outputs(one: tuple[list[str], bytes]) -> Any:
        return ask(server, one[0], image=one[1]).raise_for_status().json()["outputs"]

    alone = [outputs(one) for one in asked]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(outputs, asked * 3)) == alone * 3


def test_the_command_line_takes_labels(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    run = braid("predict", folder, "--image", tmp_path / "red.png", "--label", "green", "--label", "red")
    assert json.loads(run.stdout)["outputs"]["classification"]["label"] == "red"
    run = braid("predict", folder, "--text", "red", "--label", "green")
    assert run.returncode == 2
    assert "image" in run.stderr


# -- what is kept -----------------------------------------------------------------------------------------------------


def kept(model: Model, monkeypatch: pytest.MonkeyPatch, most: int) -> tuple[Prompts, list[Row]]:
    """Prompts that count their runs of the graph."""
    ran: list[Row] = []

    async def run(row: Row, owner: str | None) -> Row:
        ran.append(row)
        return model.run([row])[0]

    monkeypatch.setattr(prompts, "KEPT", most)
    return Prompts(model, run, ThreadPoolExecutor(1), DEFAULTS), ran


def test_labels_are_encoded_once_and_the_last_used_are_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(bundle.read(folder))
    some, ran = kept(model, monkeypatch, most=2 * 2 * 3 * 4)  # one label: its vector and the same of length 1

    async def work() -> None:
        one, two, three = (Asked(labels=(word,)) for word in ("red", "green", "blue"))
        parts = {"image": RED}
        await asyncio.gather(some(parts, one, {}), some(parts, one, {}))  # together, too
        assert len(ran) == 1
        await some(parts, two, {})
        await some(parts, one, {})
        assert len(ran) == 2
        await some(parts, three, {})  # no room: green was not used for longest
        await some(parts, one, {})
        assert len(ran) == 3
        await some(parts, two, {})
        assert len(ran) == 4
        assert await some(parts, Asked(), {}) == {}
        with pytest.raises(MissingPart):
            await some({"text": b"red"}, one, {})

    asyncio.run(work())


def test_labels_that_failed_are_tried_again(folder: Path) -> None:
    model = Model(bundle.read(folder))
    answers = iter([BundleError("once"), None])

    async def run(row: Row, owner: str | None) -> Row:
        if error := next(answers):
            raise error
        return model.run([row])[0]

    some = Prompts(model, run, ThreadPoolExecutor(1), DEFAULTS)

    async def work() -> None:
        asked = Asked(labels=("red",))
        with pytest.raises(BundleError):
            await some({"image": RED}, asked, {})
        assert await some({"image": RED}, asked, {})

    asyncio.run(work())


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        ({"towers": {"text": towers.MANIFEST["towers"]["text"]}}, "towers: one each for text, image"),
        ({"constants": {"x": 1}}, "neither constants"),
        ({"towers": dict.fromkeys(("text", "image"), towers.MANIFEST["towers"]["text"])}, "a file of its own"),
        (
            {"towers": {**towers.MANIFEST["towers"], "text": {"file": "text.onnx", "outputs": {"a": "b"}}}},
            "no output 'b'",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_towers_that_cannot_be_are_refused(folder: Path, manifest: dict[str, Any], why: str) -> None:
    said = {**towers.MANIFEST, "name": "colours", "outputs": towers.OUTPUTS, **manifest}
    with pytest.raises((BundleError, ValueError), match=why):
        Model(bundle.Bundle(folder=folder, manifest=bundle.Manifest.model_validate(said)))
