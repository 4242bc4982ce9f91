"""OpenAI's own Python client against a bundle that embeds, and the dialects that others speak on that path."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from tests import senses
from tests.process import Server

IMAGE, AUDIO = senses.png(51), senses.wav(0.25)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.client.base_url}/v1", api_key="none", max_retries=0) as client:
        yield client


def uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def embed(server: Server, **body: Any) -> httpx.Response:
    return server.client.post("/v1/embeddings", json={"model": "vectors", **body})


def vectors(answer: httpx.Response) -> Any:
    return [one["embedding"] for one in answer.raise_for_status().json()["data"]]


def read(vector: Any) -> Any:
    return np.frombuffer(base64.b64decode(vector), "<f4") if isinstance(vector, str) else vector


def expected(server: Server, **parts: bytes) -> list[float]:
    given: dict[str, Any] = {"model": "vectors", **parts}
    return list(server.predict(**given).json()["outputs"]["vector"]["embedding"])


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_strings(client: openai.OpenAI, server: Server, form: Any) -> None:
    more = {"encoding_format": form} if form else {}
    answer = client.embeddings.create(model="vectors", input=["a white noise", "a b"], **more)
    found: Any = [read(one.embedding) for one in answer.data]
    wanted: Any = [expected(server, text=b"a white noise"), expected(server, text=b"a b")]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert [one.index for one in answer.data] == [0, 1]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 5
    assert answer.model == "vectors"


def test_one_string(client: openai.OpenAI) -> None:
    assert len(client.embeddings.create(model="vectors", input="a b").data) == 1


def test_models(client: openai.OpenAI) -> None:
    assert {model.id for model in client.models.list()} == {"senses", "vectors"}
    assert client.models.retrieve("vectors").object == "model"


def test_dimensions_are_cut_and_of_length_1(client: openai.OpenAI) -> None:
    (one,) = client.embeddings.create(model="vectors", input="a b", dimensions=2).data
    assert len(one.embedding) == 2
    assert np.linalg.norm(one.embedding) == pytest.approx(1)


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.embeddings.create(model="none", input="a")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="senses", input="a")
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model="vectors", input=[1, 2, 3])


FUSED = {"text": "a b", "image": uri("image/png", IMAGE), "audio": base64.b64encode(AUDIO).decode()}
CONTENT = [
    {"type": "text", "text": "a b"},
    {"type": "image_url", "image_url": {"url": uri("image/png", IMAGE)}},
    {"type": "input_audio", "input_audio": {"data": base64.b64encode(AUDIO).decode(), "format": "wav"}},
]
ALL = {"text": b"a b", "image": IMAGE, "audio": AUDIO}
DIALECTS: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {
    "fused": ({"input": [FUSED]}, ALL),
    "one object": ({"input": FUSED}, ALL),
    "infinity, image": ({"input": [uri("image/png", IMAGE)], "modality": "image"}, {"image": IMAGE}),
    "infinity, audio": ({"input": [uri("audio/wav", AUDIO)], "modality": "audio"}, {"audio": AUDIO}),
    "Jina": ({"input": [{"image": uri("image/png", IMAGE)}]}, {"image": IMAGE}),
    "Cohere": ({"inputs": [{"content": CONTENT}]}, ALL),
    "Voyage": (
        {"inputs": [{"content": [{"type": "image_base64", "image_base64": uri("image/png", IMAGE)}]}]},
        {"image": IMAGE},
    ),
    "vLLM": ({"messages": [{"role": "user", "content": CONTENT}]}, ALL),
    "vLLM, text": ({"messages": [{"role": "user", "content": "a b"}]}, {"text": b"a b"}),
}


@pytest.mark.parametrize(("body", "parts"), DIALECTS.values(), ids=DIALECTS)
def test_dialects(server: Server, body: dict[str, Any], parts: dict[str, bytes]) -> None:
    if "messages" in body:
        body = {"messages": [{"content": one["content"]} | {"role": one["role"]} for one in body["messages"]]}
    np.testing.assert_allclose(vectors(embed(server, **body)), [expected(server, **parts)], rtol=1e-6)


REFUSED: dict[str, tuple[dict[str, Any], int]] = {
    "nothing": ({}, 400),
    "empty list": ({"input": []}, 400),
    "a number": ({"input": 7}, 400),
    "an address": ({"input": [{"image": "http://example.com/a.png"}]}, 400),
    "an address, infinity": ({"input": ["http://example.com/a.png"], "modality": "image"}, 400),
    "not base64": ({"input": [{"image": "***"}]}, 400),
    "not a picture": ({"input": [{"image": "AAAA"}]}, 415),
    "unknown part": ({"input": [{"smell": "AAAA"}]}, 400),
    "empty object": ({"input": [{}]}, 400),
    "a part twice": ({"input": [{"content": [CONTENT[0], CONTENT[0]]}]}, 400),
    "too many": ({"input": ["a"] * 65}, 422),
    "too long": ({"input": ["a" * 40_000]}, 413),
    "unknown modality": ({"input": ["a"], "modality": "smell"}, 400),
    "unknown format": ({"input": ["a"], "encoding_format": "int8"}, 400),
    "too many dimensions": ({"input": ["a"], "dimensions": 4}, 400),
    "no dimension": ({"input": ["a"], "dimensions": 0}, 400),
}


@pytest.mark.parametrize(("body", "status"), REFUSED.values(), ids=REFUSED)
def test_refusals_have_openais_form(server: Server, body: dict[str, Any], status: int) -> None:
    answer = embed(server, **body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}


def test_the_media_type_is_json(server: Server) -> None:
    answer = server.client.post("/v1/embeddings", content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert answer.json()["error"]["message"]
