"""Triton's own Python client, as its users have it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from service.bundle import Bundle
from service.model import Model
from tests import senses
from tests.process import Server

PARTS = {"text": b"a white noise", "image": senses.png(51), "audio": senses.wav(0.25)}
TYPES = {"float32": "FP32", "int64": "INT64"}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(f"127.0.0.1:{server.port}", concurrency=4)
    yield client
    client.close()


@pytest.fixture(scope="module")
def row(bundle: Bundle) -> dict[str, Any]:
    model = Model(bundle)
    return {name: array for name, array in model.encode(PARTS, {}).items() if name in model.engine.inputs}


def tensors(row: dict[str, Any], binary: bool) -> list[InferInput]:
    made = []
    for name, array in row.items():
        tensor = InferInput(name, [1, *array.shape], TYPES[str(array.dtype)])
        tensor.set_data_from_numpy(array[None], binary_data=binary)
        made.append(tensor)
    return made


def test_it_finds_the_server_and_its_models(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("senses")
    assert client.is_model_ready("senses", "7")
    assert not client.is_model_ready("none")
    assert client.get_server_metadata()["name"] == "braid"
    assert client.get_model_metadata("senses")["versions"] == ["7"]
    assert client.get_model_config("senses")["max_batch_size"] == 0
    assert {one["name"] for one in client.get_model_repository_index()} == {"senses", "vectors"}
    assert client.get_inference_statistics("senses")["model_stats"][0]["name"] == "senses"
    assert len(client.get_inference_statistics()["model_stats"]) == 2


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize("squeeze", [None, "gzip", "deflate"])
def test_tensors(
    client: InferenceServerClient, server: Server, row: dict[str, Any], binary: bool, squeeze: str
) -> None:
    wanted = [InferRequestedOutput("measures", binary_data=binary)]
    answer = client.infer(
        "senses",
        tensors(row, binary),
        outputs=wanted,
        request_id="mine",
        request_compression_algorithm=squeeze,
        response_compression_algorithm=squeeze,
    )
    assert answer.get_response()["id"] == "mine"
    np.testing.assert_allclose(answer.as_numpy("measures"), [server.measures(**PARTS)], rtol=1e-6)


def test_files(client: InferenceServerClient, server: Server) -> None:
    """Two rows of encoded parts; the second has no sound."""
    columns = {name: np.array([data, b"" if name == "audio" else data], np.object_) for name, data in PARTS.items()}
    inputs = []
    for name, column in columns.items():
        tensor = InferInput(name, [2], "BYTES")
        tensor.set_data_from_numpy(column)
        inputs.append(tensor)
    found = client.infer("senses", inputs).as_numpy("measures")
    rest = {name: data for name, data in PARTS.items() if name != "audio"}
    np.testing.assert_allclose(found, [server.measures(**PARTS), server.measures(**rest)], rtol=1e-6)


def test_classes(client: InferenceServerClient, row: dict[str, Any]) -> None:
    wanted = [InferRequestedOutput("measures", class_count=3)]
    found = client.infer("senses", tensors(row, True), outputs=wanted).as_numpy("measures")
    assert sorted(entry.decode().split(":")[2] for entry in found[0]) == sorted(senses.LABELS)


def test_refusals_have_a_message(client: InferenceServerClient, row: dict[str, Any]) -> None:
    with pytest.raises(InferenceServerException, match="no such output"):
        client.infer("senses", tensors(row, True), outputs=[InferRequestedOutput("none")])


def test_many_at_once(server: Server, row: dict[str, Any]) -> None:
    """As perf_analyzer asks: several connections, one request after the other on each."""

    def one(_: int) -> Any:
        client = InferenceServerClient(f"127.0.0.1:{server.port}")
        try:
            return [client.infer("senses", tensors(row, True)).as_numpy("measures") for _ in range(20)]
        finally:
            client.close()

    with ThreadPoolExecutor(8) as pool:
        found = np.concatenate([np.concatenate(answers) for answers in pool.map(one, range(8))])
    np.testing.assert_allclose(found, [server.measures(**PARTS)] * 160, rtol=1e-5)
