"""Each task's answer, and what a request may ask of it, through a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import senses
from tests.process import Server, serve

OUTPUTS: dict[str, Any] = {
    "senses": {
        "kind": "multilabel",
        "tensor": "measures",
        "labels": senses.LABELS,
        "activation": "none",
        "threshold": 0.4,
    },
    "level": {"kind": "regression", "tensor": "measures", "names": senses.LABELS, "unit": "%", "scale": 100},
    "vector": {"kind": "embedding", "tensor": "measures", "normalize": True},
}
NEEDS = {"senses": ["text", "audio"], "level": ["audio"]}
INPUTS = {"text": "a", "image": senses.png(51), "audio": senses.wav(0.5)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("tasks")
    bundles = [senses.write(folder / "tasks", "tasks", outputs=OUTPUTS), senses.write(folder / "plain", "plain")]
    bundles.append(senses.write(folder / "needs", "needs", outputs=OUTPUTS, needs=NEEDS))
    with serve(*(bundle.folder for bundle in bundles)) as server:
        yield server


def labels(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["label"] for entry in entries]


def test_each_output_answers_as_its_kind_does(server: Server) -> None:
    outputs = server.predict(text=b"a", image=senses.png(51), audio=senses.wav(0.5)).json()["outputs"]
    assert labels(outputs["senses"]["labels"]) == ["tokens", "loudness"]
    assert labels(outputs["senses"]["top"]) == ["tokens", "loudness", "brightness"]
    assert outputs["level"]["unit"] == "%"
    assert outputs["level"]["values"] == pytest.approx({"tokens": 100, "brightness": 20, "loudness": 50}, abs=0.1)
    assert sum(x * x for x in outputs["vector"]["embedding"]) == pytest.approx(1)


def test_a_control_means_the_same_in_query_form_and_json(server: Server) -> None:
    post = server.client.post
    answers = [
        post("/v1/predict?threshold=0.1", data={"text": "a"}, files={"image": senses.png(51)}),
        post("/v1/predict", data={"text": "a", "threshold": "0.1"}, files={"image": senses.png(51)}),
    ]
    form = [answer.json()["outputs"] for answer in answers]
    assert form[0] == form[1]
    assert labels(form[0]["senses"]["labels"]) == ["tokens", "brightness"]
    text = [
        post("/v1/predict?threshold=2", json={"inputs": {"text": "a"}}),
        post("/v1/predict", json={"inputs": {"text": "a"}, "threshold": 2}),
    ]
    assert [answer.json()["outputs"]["senses"]["labels"] for answer in text] == [[], []]


@pytest.mark.parametrize(
    ("query", "form"),
    [
        ("threshold=high", {}), ("threshold=nan", {}), ("threshold=1e999", {}), ("threshold=", {}),
        ("threshold=0.1&threshold=0.2", {}), ("threshold=0.1", {"threshold": "0.1"}), ("", {"threshold": ""}),
        ("labels=[]", {}), ("", {"labels": '["a"]'}), ("", {"template": "a {}"}), ("explains=parts", {}),
    ],
)  # fmt: skip
def test_a_control_that_is_unknown_or_wrong_is_400(server: Server, query: str, form: dict[str, str]) -> None:
    answer = server.client.post(
        f"/v1/predict?{query}", files={name: (None, value) for name, value in {"text": "a", **form}.items()}
    )
    assert answer.status_code == 400
    assert answer.json()["code"] in {"malformed", "duplicate_part"}


def test_only_models_that_know_a_control_take_it(server: Server) -> None:
    for how in (
        {"files": {"text": (None, "a"), "threshold": (None, "0.1")}},
        {"json": {"inputs": {"text": "a"}, "threshold": 0.1}},
    ):
        assert server.client.post("/v1/models/tasks/predict", **how).status_code == 200
        refused = server.client.post("/v1/models/plain/predict", **how)
        assert refused.status_code == 400
        assert "threshold" in refused.json()["detail"]


def test_the_openapi_document_shows_each_models_controls_and_answer(server: Server) -> None:
    paths = json.loads(server.client.get("/openapi.json").content)["paths"]
    tasks, plain = (paths[f"/v1/models/{name}/predict"]["post"] for name in ("tasks", "plain"))
    assert {parameter["name"] for parameter in tasks["parameters"]} >= {"threshold", "top_k", "raw"}
    assert not {"threshold", "labels"} & {parameter["name"] for parameter in plain["parameters"]}
    form = tasks["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert form["threshold"]["type"] == "number"
    answer = tasks["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["outputs"]
    assert set(answer["properties"]) == set(OUTPUTS)


@pytest.mark.parametrize(
    ("parts", "given"),
    [(("image",), ["vector"]), (("text", "image"), ["senses", "vector"]), (("audio",), ["senses", "level", "vector"])],
)
def test_what_an_answer_is_about_must_have_been_sent(server: Server, parts: tuple[str, ...], given: list[str]) -> None:
    inputs = {"text": b"a", "image": senses.png(51), "audio": senses.wav(0.5)}
    files = {name: ("", inputs[name]) for name in parts}
    answer = server.client.post("/v1/models/needs/predict", files=files)
    assert list(answer.json()["outputs"]) == given
    explained = server.client.post("/v1/models/needs/predict?explain=parts&output=level", files=files)
    assert explained.status_code == (200 if "level" in given else 400), explained.text


def test_the_openapi_document_shows_what_may_not_be_given(server: Server) -> None:
    spec = json.loads(server.client.get("/openapi.json").content)["paths"]["/v1/models/needs/predict"]["post"]
    outputs = spec["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["outputs"]
    assert (outputs["required"], set(outputs["properties"])) == (["vector"], set(OUTPUTS))
