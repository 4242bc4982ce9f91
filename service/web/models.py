"""What GET /v1/models tells of a model, in OpenAI's shape with our fields added."""

from typing import Any

from service.explain import shapley
from service.limits import Limits
from service.registry import Served


def describe(served: Served, limits: Limits) -> dict[str, Any]:
    model, manifest = served.model, served.model.manifest
    return {
        "id": manifest.name,
        "object": "model",
        "created": model.bundle.created,
        "owned_by": "braid",
        "version": manifest.version,
        "inputs": {
            name: {**spec.model_dump(exclude_none=True), "required": name in manifest.demanded}
            for name, spec in manifest.inputs.items()
        },
        "outputs": {name: spec.model_dump() for name, spec in manifest.outputs.items()},
        "needs": manifest.needs,
        "limits": {name: value for name, value in limits.model_dump().items() if name in Limits.model_fields},
        "controls": sorted(model.controls),
        "explains": {
            "parts": (why := shapley.unexplainable(model)) is None,
            **({"why": why} if why else {}),
            "outputs": [name for name, output in manifest.outputs.items() if output.explains],
        },
        "variant": model.bundle.variant,
        "providers": list(model.engine.providers),
        "calibration": {
            "engine": "loop" if served.inline else "thread",
            "threads": served.threads,
            "lanes": served.batcher.lanes,
            "batch": served.batcher.size,
            "encode_seconds": served.plan.encode,
            "run_seconds": {str(rows): seconds for rows, seconds in served.plan.runs.items()},
        },
    }
