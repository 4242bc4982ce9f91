"""The Open Inference Protocol: forms of request and answer, refusals, and the same numbers as predict."""

import gzip
import json
import struct
import time
import zlib
from typing import Any

import httpx
import numpy as np
import pytest

from service.bundle import Bundle
from service.model import Model
from tests import senses
from tests.process import Server, eventually, serve

PARTS = {"text": b"a white noise", "image": senses.png(51), "audio": senses.wav(0.25)}
LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def row(bundle: Bundle) -> dict[str, Any]:
    model = Model(bundle)
    return {name: array for name, array in model.encode(PARTS, {}).items() if name in model.engine.inputs}


@pytest.fixture(scope="module")
def measures(server: Server) -> list[float]:
    return server.measures(**PARTS)


def said(row: dict[str, Any], count: int = 1, **more: Any) -> dict[str, Any]:
    """An infer request of the graph's own tensors, the same row `count` times."""
    names = {"float32": "FP32", "int64": "INT64"}
    inputs = [
        {
            "name": name,
            "shape": [count, *array.shape],
            "datatype": names[str(array.dtype)],
            "data": [array.tolist()] * count,
        }
        for name, array in row.items()
    ]
    return {"inputs": inputs, **more}


def infer(server: Server, document: Any, model: str = "senses", **headers: str) -> httpx.Response:
    return server.client.post(f"/v2/models/{model}/infer", content=json.dumps(document), headers=headers)


def packed(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def encoded(rows: list[dict[str, bytes]], **more: Any) -> tuple[bytes, dict[str, str]]:
    """Parts as BYTES in the binary form."""
    blobs = {name: b"".join(packed(row.get(name, b"")) for row in rows) for name in PARTS}
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": "BYTES", "parameters": {"binary_data_size": len(blob)}}
        for name, blob in blobs.items()
    ]
    head = json.dumps({"inputs": inputs, **more}).encode()
    return head + b"".join(blobs.values()), {LENGTH: str(len(head)), "content-type": "application/octet-stream"}


def values(answer: httpx.Response, name: str = "measures") -> Any:
    (output,) = (one for one in answer.raise_for_status().json()["outputs"] if one["name"] == name)
    return np.reshape(output["data"], output["shape"])


def test_tensors_give_what_predict_gives(server: Server, row: dict[str, Any], measures: list[float]) -> None:
    answer = infer(server, said(row, 3, id="abc"))
    assert answer.json()["id"] == "abc"
    assert answer.json()["model_name"] == "senses"
    np.testing.assert_allclose(values(answer), [measures] * 3, rtol=1e-6)


def test_a_flat_list_is_the_same_as_a_nested_one(server: Server, row: dict[str, Any], measures: list[float]) -> None:
    document = said(row)
    for one in document["inputs"]:
        one["data"] = np.ravel(one["data"]).tolist()
    np.testing.assert_allclose(values(infer(server, document)), [measures], rtol=1e-6)


def test_encoded_parts_give_what_predict_gives(server: Server, measures: list[float]) -> None:
    """Each row has its own subset; an empty element is an absent part."""
    only = {"text": PARTS["text"]}
    body, headers = encoded([PARTS, only])
    answer = server.client.post("/v2/models/senses/infer", content=body, headers=headers)
    np.testing.assert_allclose(values(answer), [measures, server.measures(**only)], rtol=1e-6)


def test_a_text_may_stand_in_json(server: Server) -> None:
    document = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a white noise", "a b"]}]}
    found = values(infer(server, document))
    np.testing.assert_allclose(found, [server.measures(text=b"a white noise"), server.measures(text=b"a b")], rtol=1e-6)


@pytest.mark.parametrize(
    "how",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "measures", "parameters": {"binary_data": True}}]},
    ],
)
def test_outputs_come_as_bytes(server: Server, row: dict[str, Any], measures: list[float], how: dict[str, Any]) -> None:
    answer = infer(server, said(row, **how)).raise_for_status()
    size = int(answer.headers[LENGTH])
    head, rest = json.loads(answer.content[:size]), answer.content[size:]
    for output in head["outputs"]:
        length = output["parameters"]["binary_data_size"]
        if output["name"] == "measures":
            np.testing.assert_allclose(np.frombuffer(rest[:length], "<f4"), measures, rtol=1e-6)
        rest = rest[length:]
    assert rest == b""


def test_classes_are_named(server: Server, row: dict[str, Any]) -> None:
    outputs = [{"name": "measures", "parameters": {"classification": 2}}]
    (output,) = infer(server, said(row, outputs=outputs)).raise_for_status().json()["outputs"]
    assert output["datatype"] == "BYTES"
    assert output["shape"] == [1, 2]
    best = server.predict(text=PARTS["text"], image=PARTS["image"], audio=PARTS["audio"]).json()["outputs"]["sense"]
    value, index, label = output["data"][0].split(":")
    assert label == best["label"]
    assert float(value) == pytest.approx(best["score"], abs=1e-5)
    assert senses.LABELS[int(index)] == label


@pytest.mark.parametrize(("encoding", "squeeze"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_bodies_may_be_compressed_both_ways(
    server: Server, row: dict[str, Any], measures: list[float], encoding: str, squeeze: Any
) -> None:
    body = squeeze(json.dumps(said(row, 60)).encode())
    headers = {"content-encoding": encoding, "accept-encoding": encoding}
    answer = server.client.post("/v2/models/senses/infer", content=body, headers=headers)
    assert answer.headers["content-encoding"] == encoding
    np.testing.assert_allclose(values(answer), [measures] * 60, rtol=1e-6)


def test_a_bomb_is_refused(server: Server) -> None:
    body = gzip.compress(b" " * 2**26)
    answer = server.client.post("/v2/models/senses/infer", content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert list(answer.json()) == ["error"]


NESTED: list[Any] = [1]  # at the bottom
for _ in range(900):
    NESTED = [NESTED]
TEXT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
REFUSED: dict[str, tuple[Any, int]] = {
    "not an object": ([], 400),
    "no inputs": ({}, 400),
    "no name": ({"inputs": [{"shape": [1], "datatype": "BYTES", "data": ["a"]}]}, 400),
    "no shape": ({"inputs": [{"name": "text", "datatype": "BYTES", "data": ["a"]}]}, 400),
    "negative shape": ({"inputs": [TEXT | {"shape": [-1]}]}, 400),
    "wrong shape": ({"inputs": [TEXT | {"shape": [2]}]}, 400),
    "huge shape": ({"inputs": [TEXT | {"shape": [2**40, 2**40]}]}, 400),
    "a datatype that is no word": ({"inputs": [TEXT | {"datatype": {}}]}, 400),
    "strings nested deeply": ({"inputs": [TEXT | {"data": NESTED}]}, 400),
    "unknown datatype": ({"inputs": [TEXT | {"datatype": "FP8"}]}, 400),
    "numbers in BYTES": ({"inputs": [TEXT | {"data": [1]}]}, 400),
    "strings in FP32": ({"inputs": [TEXT | {"datatype": "FP32"}]}, 400),
    "ragged": ({"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [[1], [1, 2]]}]}, 400),
    "twice": ({"inputs": [TEXT, TEXT]}, 400),
    "unknown part": ({"inputs": [TEXT | {"name": "smell"}]}, 400),
    "unknown output": ({"inputs": [TEXT], "outputs": [{"name": "none"}]}, 400),
    "part of the tensors": (
        {"inputs": [{"name": "ids", "shape": [1, 1], "datatype": "INT64", "data": [1]}]},
        400,
    ),
    "too many rows": ({"inputs": [TEXT | {"shape": [65], "data": ["a"] * 65}]}, 422),
    "empty row": ({"inputs": [TEXT | {"data": [""]}]}, 422),
    "too long a text": ({"inputs": [TEXT | {"data": ["a" * 40000]}]}, 413),
    "not a picture": ({"inputs": [TEXT | {"name": "image", "data": ["no"]}]}, 415),
    "id is a number": ({"inputs": [TEXT], "id": 1}, 400),
    "parameters is a list": ({"inputs": [TEXT], "parameters": [1]}, 400),
    "fails in the graph": ({"inputs": [TEXT | {"data": ["poison"]}]}, 400),
}


@pytest.mark.parametrize(("document", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_refused_in_the_protocols_form(server: Server, document: Any, status: int) -> None:
    answer = infer(server, document)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("rank", "change"), [("datatype", {"datatype": "INT32"}), ("axes", {"shape": [1, 1, 3]}), ("long", {})]
)
def test_tensors_of_another_kind_are_refused(
    server: Server, row: dict[str, Any], rank: str, change: dict[str, Any]
) -> None:
    document = said(row)
    ids = next(one for one in document["inputs"] if one["name"] == "ids")
    if rank == "long":
        change = {"shape": [1, 5000], "data": [1] * 5000}
    ids |= change
    assert infer(server, document).status_code in (400, 422)


@pytest.mark.parametrize("length", ["-1", "abc", "99999999", "3"])
def test_a_lying_length_of_the_json_is_refused(server: Server, length: str) -> None:
    assert infer(server, {"inputs": [TEXT]}, **{LENGTH: length}).status_code == 400


def test_a_raw_body_is_for_graphs_of_one_input(server: Server) -> None:
    answer = server.client.post("/v2/models/senses/infer", content=b"\0" * 8, headers={LENGTH: "0"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path", ["/v2/models/none", "/v2/models/senses/versions/9", "/v2/models/none/stats", "/v2/nothing"]
)
def test_what_is_not_there_is_404_in_the_protocols_form(server: Server, path: str) -> None:
    answer = server.client.get(path)
    assert answer.status_code == 404
    assert list(answer.json()) == ["error"]


def test_metadata_names_the_graphs_tensors(server: Server, row: dict[str, Any]) -> None:
    about = server.client.get("/v2/models/senses").json()
    assert {one["name"] for one in about["inputs"]} == set(row)
    assert about["versions"] == ["7"]
    assert {"name": "measures", "datatype": "FP32", "shape": [-1, 3]} in about["outputs"]
    assert server.client.get("/v2/models/senses/versions/7/ready").json() == {"name": "senses", "ready": True}
    assert server.client.get("/v2").json() == server.client.get("/v2/").json()
    assert server.client.get("/v2/models").json()["models"][0] == "senses"
    assert {one["name"]: one["state"] for one in server.client.post("/v2/repository/index").json()}["senses"] == "READY"


def test_statistics_count_what_was_done(server: Server, row: dict[str, Any]) -> None:
    def stats() -> dict[str, Any]:
        (found,) = server.client.get("/v2/models/senses/stats").json()["model_stats"]
        return dict(found)

    before = stats()
    infer(server, said(row, 5)).raise_for_status()
    infer(server, {"inputs": []})
    after = stats()
    assert after["inference_count"] - before["inference_count"] == 5
    count = [one["inference_stats"]["success"]["count"] for one in (before, after)]
    assert count[1] - count[0] == 1
    assert after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert after["last_inference"] > 1_700_000_000_000


def test_statistics_are_of_all_workers(bundle: Bundle) -> None:
    with serve(bundle.folder, BRAID_WORKERS="2") as server:
        eventually(lambda: server.metric("braid_workers") == 2)
        for _ in range(20):  # connections of their own, so that both workers have some
            server.predict(headers={"connection": "close"}, text=b"a").raise_for_status()
        for _ in range(4):
            (found,) = server.client.get("/v2/models/senses/stats", headers={"connection": "close"}).json()[
                "model_stats"
            ]
            assert found["inference_count"] == found["inference_stats"]["success"]["count"] == 20
            assert found["last_inference"] == pytest.approx(1000 * time.time(), abs=60_000)
