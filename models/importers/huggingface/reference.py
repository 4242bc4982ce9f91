"""What transformers' own processors, where it is installed, make of the example: the row that ours must equal."""

import io
import wave
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from models.importers.bundles import Reference
from models.importers.huggingface.layout import Json
from models.importers.huggingface.tokens import LOCAL
from service.types import Array, Row


def row(
    parts: Mapping[str, bytes], manifest: Mapping[str, Json], processors: Mapping[str, tuple[str, Json]], folder: Path
) -> Reference:
    """`manifest`: part -> its spec; `processors`: part -> transformers' class and its JSON; `folder`: of the tokenizer.

    Raises ImportError where transformers is not installed, and what its classes raise.
    """
    transformers: Any = import_module("transformers")
    transformers.logging.set_verbosity_error()
    made: Row = {}
    for part, data in parts.items():
        spec = manifest[part]
        if part == "text":
            found = tokenized(transformers, folder, spec, data.decode())
            names = {"ids": "input_ids", "mask": "attention_mask", "types": "token_type_ids"}
        else:
            name, given = processors[part]
            processor = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
            found = processed(processor.from_dict(dict(given)), part, data, spec.get("max_seconds"))
            names = {"pixels": "pixel_values", "mask": "pixel_mask", "features": "", "longer": "is_longer"}
        for role, tensor in spec["tensors"].items():
            key = names.get(role) or next((key for key in ("input_features", "input_values") if key in found), role)
            if key in found:
                array = np.asarray(found[key][0])
                made[tensor] = np.moveaxis(array, 0, -1) if key == "pixel_values" and "layout" in spec else array
    return Reference(f"transformers {transformers.__version__}", made)


def tokenized(transformers: Any, folder: Path, spec: Json, text: str) -> Mapping[str, Any]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **LOCAL)
    text = spec.get("prefix", "") + text
    text = text.lower() if spec.get("lowercase") else text
    padding = "max_length" if "pad_to" in spec else False
    given: Mapping[str, Any] = tokenizer(
        [text], truncation=True, max_length=spec["max_tokens"], padding=padding, return_token_type_ids=True
    )
    return given


def processed(processor: Any, part: str, data: bytes, seconds: float | None) -> Mapping[str, Any]:
    """Sounds by their head, as ours: of longer ones CLAP's extractor takes any piece."""
    if part == "image":
        found: Mapping[str, Any] = processor(PIL.Image.open(io.BytesIO(data)), return_tensors="np")
        return found
    samples, rate = heard(data)
    head = samples if seconds is None else samples[: round(seconds * rate)]
    found = processor(head, sampling_rate=rate, return_tensors="np")
    return found


def heard(data: bytes) -> tuple[Array, int]:
    """The samples of the example, which is 16-bit PCM of one channel."""
    with wave.open(io.BytesIO(data)) as file:
        levels = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return levels.astype(np.float32) / 32768, file.getframerate()
