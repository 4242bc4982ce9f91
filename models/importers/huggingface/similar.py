"""Two towers, and how their vectors are compared: CLIP, SigLIP, CLAP, in one graph or in a graph each."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import TypeAdapter

from models.importers import graphs, media, split
from models.importers.huggingface.layout import Export, Json
from models.importers.huggingface.parts import Parts, roles
from service.collate import Collate
from service.engine import Engine
from service.errors import BundleError
from service.kinds import Input
from service.outputs.embedding import unit
from service.types import FLOAT, Array, Row

CPU = ("CPU",)
COMPARED = {"image": "logits_per_image", "audio": "logits_per_audio"}
TEMPLATES = {"image": "This is a photo of {}.", "audio": "This is a sound of {}."}  # those of transformers' pipelines
LOGARITHM = 7.0  # less is a logarithm, as CLIP's parameter is: no model multiplies by so little, or by its exponential
TEXTS = ("a photo of a cat", "This is a sound of rain.", "12 blue triangles", "the end of the quarter was better")


class Scale(NamedTuple):
    """Of the cosine, and what is added."""

    factor: float
    bias: float = 0.0


class Towers(NamedTuple):
    manifest: Json  # part -> file and outputs
    scale: Scale | None  # None: nothing says it


def compares(found: Parts, outputs: Sequence[str]) -> bool:
    return bool(set(COMPARED.values()) & set(outputs)) and "text" in found.manifest


def query(parts: Mapping[str, Json]) -> str:
    return next(part for part in COMPARED if part in parts)


def cut(export: Export, found: Parts, engine: Engine, folder: Path) -> Towers:
    """The one graph's two towers, written to `folder`; its scale is measured. Raises BundleError."""
    graph = export.graphs["model"]
    parts = {name: part for name, (part, _) in roles(engine.inputs).items()}
    vectors = {part: f"{part}_embeds" for part in found.manifest if f"{part}_embeds" in engine.outputs}
    made = split.towers(graph, folder, parts, vectors)
    graphs.weights(graph, folder)
    towers = {part: {"file": file, "outputs": {f"{part}_embeds": output}} for part, (file, output) in made.items()}
    return Towers(towers, measured(found, engine, folder, towers))


def copied(export: Export, engines: Mapping[str, Engine], folder: Path, said: Scale | None) -> Towers:
    """Graphs of their own, which do not tell how they are compared."""
    names = {part: vector(part, engine) for part, engine in engines.items()}
    clash = len(set(names.values())) < len(names)
    for part, graph in export.graphs.items():
        graphs.copy(graph, folder, f"{part}.onnx")
    towers = {
        part: {"file": f"{part}.onnx", "outputs": {f"{part}_embeds" if clash else name: name}}
        for part, name in names.items()
    }
    return Towers(towers, said or stated(export))


def vector(part: str, engine: Engine) -> str:
    for name in (f"{part}_embeds", "sentence_embedding", "pooler_output"):
        if name in engine.outputs:
            return name
    raise BundleError(f"the graph of {part} gives {', '.join(engine.outputs)}: no vector among them")


def outputs(export: Export, towers: Towers) -> Json:
    """`classification` by the request's labels, where the scale is known, and each part's vector."""
    vectors = {part: next(iter(tower["outputs"])) for part, tower in towers.manifest.items()}
    embedding = {"kind": "embedding", "parts": vectors, "normalize": True}
    if towers.scale is None:
        return {"embedding": embedding}
    asked = query(vectors)
    zero_shot = {
        "kind": "zero_shot", "query": asked, "candidates": "text", "tensor": COMPARED[asked],
        "vectors": {part: vectors[part] for part in ("text", asked)}, "scale": towers.scale.factor,
        "activation": "sigmoid" if str(export.config.get("model_type")).startswith("siglip") else "softmax",
        "template": TEMPLATES[asked],
    }  # fmt: skip
    return {
        "classification": zero_shot | ({"bias": towers.scale.bias} if towers.scale.bias else {}),
        "embedding": embedding,
    }


def measured(found: Parts, engine: Engine, folder: Path, towers: Json) -> Scale:
    """By least squares from the graph's own logits of a few pairs. Raises BundleError where it scales no cosine."""
    asked = query(found.manifest)
    feeds = {part: fed(found.manifest[part], folder, part, engine) for part in ("text", asked)}
    vectors = {}
    for part, rows in feeds.items():
        tower = towers[part]
        run = Engine(folder / tower["file"], CPU, threads=1, wanted=list(tower["outputs"].values()))
        vectors[part] = unit(np.stack([run(row)[0][0] for row in rows]).astype(FLOAT)).astype(np.float64)
    place = list(engine.outputs).index(COMPARED[asked])
    logits = np.array(
        [[float(engine({**text, **one})[place].ravel()[0]) for text in feeds["text"]] for one in feeds[asked]]
    )
    return fitted(logits, vectors[asked] @ vectors["text"].T, half=engine.types[COMPARED[asked]] is np.float16)


def fed(manifest: Json, folder: Path, part: str, engine: Engine) -> list[dict[str, Array]]:
    """A few examples of a part as the graph takes them, one at a time."""
    encode = TypeAdapter(Input).validate_python(manifest).load(folder)
    if part == "text":
        rows: list[Row] = [encode(text.encode()) for text in TEXTS]
    else:
        make = media.picture if part == "image" else media.sound
        rows = [encode(make(seed=seed)) for seed in range(3)]
    ports = {name: port for name, port in engine.inputs.items() if name in rows[0]}
    return [Collate(ports, ()).feed([row]) for row in rows]


def fitted(logits: Array, cosines: Array, *, half: bool) -> Scale:
    """logits = factor x cosines + bias, without bias if it can be."""
    allowed = (2e-3 if half else 1e-5) * max(1.0, float(np.abs(logits).max()))
    factor = float((logits * cosines).sum() / (cosines**2).sum())
    if np.abs(factor * cosines - logits).max() <= allowed:
        return Scale(factor)
    slope, bias = np.polyfit(cosines.ravel(), logits.ravel(), 1)
    if np.abs(slope * cosines + bias - logits).max() <= allowed:
        return Scale(float(slope), float(bias))
    raise BundleError("the graph does not compare its vectors by cosine; export its towers (text_model, vision_model)")


def stated(export: Export) -> Scale | None:
    """By weights beside the graphs or by config.json, whose initial value is only where a training began."""
    file = export.file("model.safetensors")
    scale = (scalar(file, "logit_scale") if file else None) or export.config.get("logit_scale")
    bias = (scalar(file, "logit_bias") if file else None) or export.config.get("logit_bias") or 0.0
    if scale is None and (scale := export.config.get("logit_scale_init_value")) is not None:
        export.say(
            f"config.json: only logit_scale_init_value, {scale:g}, from which a training starts; scores are of that "
            "scale unless --logit-scale gives the trained one (CLIP's is 100)"
        )
    if scale is None:
        export.say(
            "nothing says how the vectors are compared (logit_scale, and SigLIP's logit_bias): the bundle gives "
            "vectors and takes no labels, unless --logit-scale and --logit-bias tell"
        )
        return None
    return Scale(math.exp(scale) if scale < LOGARITHM else float(scale), float(bias))


def scalar(file: Path, name: str) -> float | None:
    """A single number among the weights of a .safetensors file: eight bytes of length, JSON, numbers.

    Raises BundleError.
    """
    graphs.readable(file)
    try:
        return _scalar(file, name)
    except (ValueError, struct.error, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{file}: not a .safetensors file; fetch it again, or take it away") from error


def _scalar(file: Path, name: str) -> float | None:
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(length))
        for key, about in header.items():
            if key.rpartition(".")[2] == name and about["dtype"] in ("F32", "F16") and math.prod(about["shape"]) == 1:
                opened.seek(8 + length + about["data_offsets"][0])
                kind = "<f4" if about["dtype"] == "F32" else "<f2"
                return float(np.frombuffer(opened.read(np.dtype(kind).itemsize), kind)[0])
    return None
