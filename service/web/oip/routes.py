"""/v2 but for infer: liveness, readiness, metadata, statistics."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from service import __version__
from service.errors import Unavailable
from service.registry import RETRY, Registry, Served
from service.web.oip.infer import same_version
from service.web.oip.tensors import NAMES

EXTENSIONS = ["binary_tensor_data", "classification", "statistics", "model_repository"]
MANAGED = ["model_repository(unload_dependents)"]
PLATFORM = "onnx_onnxv1"
NANOSECONDS = 1e9
Scrape = Callable[[], Awaitable[bytes]]


def add(app: FastAPI, registry: Registry, scrape: Scrape, *, manage: bool) -> None:
    tags: list[Any] = ["open inference protocol"]

    @app.get("/v2", tags=tags, summary="Server metadata")
    @app.get("/v2/", include_in_schema=False)
    async def server() -> dict[str, Any]:
        return {"name": "braid", "version": __version__, "extensions": [*EXTENSIONS, *(MANAGED if manage else [])]}

    @app.get("/v2/health/live", tags=tags, summary="The process answers")
    async def live() -> dict[str, bool]:
        registry.alive()
        return {"live": True}

    @app.get("/v2/health/ready", tags=tags, summary="All models are proven and the server is not draining")
    async def ready() -> dict[str, bool]:
        registry.steady()
        return {"live": True, "ready": True}

    @app.get("/v2/models", tags=tags, summary="Names of the models (KServe)")
    async def models() -> dict[str, list[str]]:
        return {"models": list(registry.bundles)}

    @app.get("/v2/models/stats", tags=tags, summary="Statistics of all models, over all workers")
    async def all_statistics() -> dict[str, Any]:
        return statistics(list(registry.served.values()), await scrape())

    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        shown = "version" not in path
        add_model(app, registry, scrape, path, {"tags": tags, "include_in_schema": shown})


def add_model(app: FastAPI, registry: Registry, scrape: Scrape, path: str, how: Mapping[str, Any]) -> None:
    def find(model: str, version: str | None) -> Served:
        served = registry.get(model)
        same_version(served, version)
        return served

    @app.get(path, summary="Names, types and shapes of the graph's tensors", **how)
    async def metadata(model: str, version: str | None = None) -> dict[str, Any]:
        return describe(find(model, version))

    @app.get(f"{path}/ready", summary="The model answers", **how)
    async def ready(model: str, version: str | None = None) -> dict[str, Any]:
        served = find(model, version)
        if registry.draining:
            raise Unavailable("draining", retry_after=RETRY)
        return {"name": served.model.manifest.name, "ready": True}

    @app.get(f"{path}/config", summary="What Triton's tools ask for", **how)
    async def config(model: str, version: str | None = None) -> dict[str, Any]:
        return configuration(find(model, version))

    @app.get(f"{path}/stats", summary="Statistics, over all workers", **how)
    async def stats(model: str, version: str | None = None) -> dict[str, Any]:
        return statistics([find(model, version)], await scrape())


def describe(served: Served) -> dict[str, Any]:
    engine, manifest = served.model.engine, served.model.manifest
    inputs = [
        {"name": name, "datatype": NAMES[np.dtype(port.dtype)], "shape": [size or -1 for size in port.shape]}
        for name, port in engine.inputs.items()
    ]
    outputs = [
        {"name": name, "datatype": NAMES[np.dtype(engine.types[name])], "shape": [size or -1 for size in shape]}
        for name, shape in engine.outputs.items()
    ]
    return {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": PLATFORM,
        "inputs": inputs,
        "outputs": outputs,
    }


def configuration(served: Served) -> dict[str, Any]:
    """Triton's model configuration, as far as it applies: batches are whatever the first axis says."""
    described = describe(served)

    def ports(kind: str) -> list[dict[str, Any]]:
        return [
            {
                "name": one["name"],
                "data_type": f"TYPE_{one['datatype'].replace('BYTES', 'STRING')}",
                "dims": one["shape"],
            }
            for one in described[kind]
        ]

    name = described["name"]
    about = {"name": name, "platform": "onnxruntime_onnx", "backend": "onnxruntime", "max_batch_size": 0}
    return {**about, "input": ports("inputs"), "output": ports("outputs")}


def statistics(models: list[Served], exposition: bytes) -> dict[str, Any]:
    """From the same counters as /metrics, which are one view over all workers."""
    families = text_string_to_metric_families(exposition.decode())
    samples = [sample for family in families for sample in family.samples]

    def total(name: str, **labels: str) -> float:
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())

    def took(model: str, *stages: str) -> dict[str, int]:
        counts = [int(total("braid_stage_seconds_count", model=model, stage=stage)) for stage in stages]
        seconds = sum(total("braid_stage_seconds_sum", model=model, stage=stage) for stage in stages)
        return {"count": max(counts, default=0), "ns": int(seconds * NANOSECONDS)}

    def of(served: Served) -> dict[str, Any]:
        manifest = served.model.manifest
        name = manifest.name
        answered = int(total("braid_requests_total", model=name))
        good = int(total("braid_requests_total", model=name, status="200"))
        seconds = total("braid_request_seconds_sum", model=name)
        fine = total("braid_request_seconds_sum", model=name, outcome="ok")
        nothing = {"count": 0, "ns": 0}
        return {
            "name": name,
            "version": manifest.version,
            "last_inference": int(1000 * total("braid_last_answer_timestamp_seconds", model=name)),
            "inference_count": int(total("braid_batch_size_sum", model=name)),
            "execution_count": int(total("braid_batch_size_count", model=name)),
            "inference_stats": {
                "success": {"count": good, "ns": int(fine * NANOSECONDS)},
                "fail": {"count": answered - good, "ns": int((seconds - fine) * NANOSECONDS)},
                "queue": took(name, "queue"),
                "compute_input": took(name, *(f"encode.{part}" for part in manifest.inputs)),
                "compute_infer": took(name, "run"),
                "compute_output": took(name, "decode"),
                "cache_hit": nothing,
                "cache_miss": nothing,
            },
            "response_stats": {},
            "batch_stats": [],
            "memory_usage": [],
        }

    return {"model_stats": [of(served) for served in models]}
