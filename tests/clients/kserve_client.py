"""Runs in an environment of its own, because kserve pins what others need newer: asks a server by KServe's client.

Arguments: URL, model, JSON of the rows' texts. Prints the answer's numbers as JSON.
"""

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig


async def ask(url: str, model: str, texts: list[str]) -> list[float]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, model)
    tensor = InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in texts], np.object_), binary_data=False)
    answer = await client.infer(url, InferRequest(model, [tensor]), model_name=model)
    (measures,) = (output for output in answer.outputs if output.name == "measures")
    return [float(value) for value in measures.as_numpy().ravel()]


if __name__ == "__main__":
    url, model, texts = sys.argv[1:]
    print(json.dumps(asyncio.run(ask(url, model, json.loads(texts)))))  # noqa: T201
