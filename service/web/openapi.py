"""The OpenAPI document: FastAPI's, with predict written by hand, each model's real parts shown."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.bundle import Manifest
from service.errors import RequestError
from service.outputs.embedding import Embedding
from service.registry import Registry

PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "part": {"type": "string"},
        "limit": {"type": "number"},
    },
}
CONTROLS: dict[str, dict[str, Any]] = {  # what a request may ask of outputs that know it; in the query or in the body
    "top_k": {"type": "integer", "minimum": 1, "description": "labels in the answer"},
    "threshold": {"type": "number", "description": "least score of what is listed, or greatest that is no anomaly"},
    "labels": {"type": "array", "items": {"type": "string"}, "description": "candidates, as a JSON array"},
    "template": {"type": "string", "description": "a sentence with one {} where a candidate goes"},
}


def option(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}


RAW = option("raw", {"type": "boolean"}, "adds the graph's own outputs")
PARTS = option("explain", {"type": "string", "enum": ["parts"]}, "adds what each part contributed")
TARGET = [
    option("output", {"type": "string"}, "explained output"),
    option("target", {"type": "string"}, "explained label or number; the best one unless given"),
    option("scale", {"type": "string", "enum": ["probability", "log_odds", "value"]}, "of the explained number"),
]
METHOD = [
    option("method", {"type": "string", "enum": ["occlusion", "random"]}, "how pieces are taken away"),
    option("budget", {"type": "integer", "minimum": 1}, "rows of the graph that a part may cost"),
    option("seed", {"type": "integer", "minimum": 0}, "of random masks"),
]
MEDIA = {"text": "text/plain", "image": "image/png, image/jpeg, image/gif, image/webp", "audio": "audio/*"}


TEXT = {"type": "string"}
ERROR = {"type": "object", "required": ["error"], "properties": {"error": {}}}
TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": TEXT,
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": TEXT,
        "data": {"type": "array"},
        "parameters": {"type": "object"},
    },
}


def post(tag: str, summary: str, body: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """An operation whose body is JSON of another protocol, and whose errors have that one's form."""
    return {
        "tags": [tag],
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {"schema": answer}}},
            "default": {"description": "A refusal", "content": {"application/json": {"schema": ERROR}}},
        },
    }


UNKNOWN = {"description": "Unknown model", "content": {"application/json": {"schema": ERROR}}}
TENSORS = {"type": "array", "items": TENSOR}
INFER = post(
    "open inference protocol",
    "The graph's tensors, or encoded parts as BYTES tensors named after them",
    {
        "type": "object",
        "required": ["inputs"],
        "properties": {"id": TEXT, "inputs": TENSORS, "outputs": {"type": "array"}},
    },
    {"type": "object", "required": ["model_name", "outputs"], "properties": {"model_name": TEXT, "outputs": TENSORS}},
)
EMBED = post(
    "embeddings",
    "OpenAI's call: texts, or objects of text, image and audio, to vectors",
    {
        "type": "object",
        "required": ["input"],
        "properties": {
            "model": TEXT,
            "input": {"anyOf": [TEXT, {"type": "array"}, {"type": "object"}]},
            "encoding_format": {"type": "string", "enum": ["float", "base64"]},
            "dimensions": {"type": "integer", "minimum": 1},
        },
    },
    {
        "type": "object",
        "required": ["object", "data", "model", "usage"],
        "properties": {"object": TEXT, "data": {"type": "array"}, "model": TEXT, "usage": {"type": "object"}},
    },
)


def document(app: FastAPI, registry: Registry) -> dict[str, Any]:
    spec = get_openapi(title=app.title, version=app.version, routes=app.routes, summary="Multimodal models over REST")
    spec["components"] = {"schemas": {"Problem": PROBLEM}}
    for path, operations in spec["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)  # FastAPI's own, which nothing here answers
            if "{" in path:
                operation["responses"]["404"] = UNKNOWN if path.startswith("/v2") else refusal(["Unknown model"])
    for name, bundle in registry.bundles.items():
        spec["paths"][f"/v1/models/{name}/predict"] = {"post": predict(bundle.manifest)}
        spec["paths"][f"/v1/models/{name}/explain"] = {"post": explain(bundle.manifest)}
        spec["paths"][f"/v2/models/{name}/infer"] = {"post": INFER}
    if any(isinstance(one, Embedding) for each in registry.bundles.values() for one in each.manifest.outputs.values()):
        spec["paths"]["/v1/embeddings"] = {"post": EMBED}
    if registry.bundles:
        default = registry.bundles[registry.default].manifest
        spec["paths"] |= {"/v1/predict": {"post": predict(default)}, "/v1/explain": {"post": explain(default)}}
    return spec


def predict(manifest: Manifest) -> dict[str, Any]:
    shown = [parameter(name) for name in CONTROLS if name in known(manifest)]
    return operation(
        manifest,
        "predict",
        f"Predict with {manifest.name} {manifest.version}",
        [*shown, RAW, PARTS, *TARGET],
        answer(manifest),
    )


def explain(manifest: Manifest) -> dict[str, Any]:
    summary = f"Where in each part the answer of {manifest.name} {manifest.version} lies"
    return operation(manifest, "explain", summary, [*TARGET, *METHOD], {"type": "object"})


def operation(
    manifest: Manifest, tag: str, summary: str, parameters: list[dict[str, Any]], answer: dict[str, Any]
) -> dict[str, Any]:
    content = {
        "multipart/form-data": {"schema": form(manifest), "encoding": encoding(manifest)},
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {"inputs": json(manifest), **asked(manifest)},
                "additionalProperties": False,
            }
        },
    }
    return {
        "tags": [tag],
        "summary": summary,
        "parameters": parameters,
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {"schema": answer}}},
            **{str(status): refusal(titles) for status, titles in refusals().items()},
        },
    }


def form(manifest: Manifest) -> dict[str, Any]:
    parts = {name: {"type": "string"} for name in manifest.inputs}
    schema: dict[str, Any] = {"type": "object", "properties": {**asked(manifest), **parts}}
    for name, spec in manifest.inputs.items():
        if spec.kind != "text":
            schema["properties"][name]["format"] = "binary"
    return schema | required(manifest)


def encoding(manifest: Manifest) -> dict[str, Any]:
    return {name: {"contentType": MEDIA.get(spec.kind, "*/*")} for name, spec in manifest.inputs.items()}


def json(manifest: Manifest) -> dict[str, Any]:
    base64 = {"type": "object", "required": ["base64"], "properties": {"base64": {"type": "string", "format": "byte"}}}
    parts = {
        name: {"oneOf": [{"type": "string"}, base64]} if spec.kind == "text" else base64
        for name, spec in manifest.inputs.items()
    }
    return {"type": "object", "properties": parts, "additionalProperties": False} | required(manifest)


def known(manifest: Manifest) -> frozenset[str]:
    return frozenset[str]().union(*(output.controls for output in manifest.outputs.values()))


def asked(manifest: Manifest) -> dict[str, Any]:
    """The controls that may stand in a body."""
    return {name: schema for name, schema in CONTROLS.items() if name in known(manifest) and name != "top_k"}


def parameter(name: str) -> dict[str, Any]:
    schema = {key: value for key, value in CONTROLS[name].items() if key != "description"}
    description = CONTROLS[name]["description"]
    if schema["type"] == "array":
        return {
            "name": name,
            "in": "query",
            "description": description,
            "content": {"application/json": {"schema": schema}},
        }
    return option(name, schema, description)


def required(manifest: Manifest) -> dict[str, Any]:
    return {"required": manifest.demanded} if manifest.demanded else {"minProperties": 1}


def answer(manifest: Manifest) -> dict[str, Any]:
    text = {"type": "string"}
    used = record({"used": {"type": "boolean"}}, {"weight": {"type": "number"}})
    outputs = {name: output.answer_schema() for name, output in manifest.outputs.items() if output.kind != "weights"}
    # labels of the request are answered by one output, and no labels by the others
    named = any(output.kind == "zero_shot" for output in manifest.outputs.values())
    sure = {name: schema for name, schema in outputs.items() if name not in manifest.needs and not named}
    told = record(sure, {name: schema for name, schema in outputs.items() if name not in sure})
    always = {"id": text, "model": text, "version": text, "outputs": told}
    parts = record(dict.fromkeys(manifest.inputs, used))
    return record({**always, "parts": parts}, {"raw": {"type": "object"}})


def record(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def refusals() -> dict[int, list[str]]:
    """Status -> titles, from the tree of errors."""
    found: dict[int, list[str]] = {}
    kinds = [RequestError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        titles = found.setdefault(kind.status, [])
        if kind.title not in titles:
            titles.append(kind.title)
    return dict(sorted(found.items()))


def refusal(titles: list[str]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": "; ".join(titles), "content": {"application/problem+json": {"schema": schema}}}
