"""Bytes to what must hold of them: a RequestError of a 4xx or a sound result, whatever the bytes are."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from service.errors import RequestError
from service.inputs import Audio, Image, Text
from service.limits import Limits
from service.types import Encode, Row
from service.web import uploads
from service.web.asgi import Message, Scope
from service.web.oip import messages
from tests.hostile import bodies, variants
from tests.hostile.cases import FORM, JSON

CORPUS = Path(__file__).parent / "corpus"
BUNDLE = Path(__file__).parents[2] / "models/bundles/digits"
LIMITS = Limits(image_pixels=200_000, image_side=4000, audio_seconds=10)  # so that a run is about bytes, not about size
SPECS: dict[str, Any] = {
    "text": {"kind": "text", "max_characters": 256, "tensors": {"ids": "x", "mask": "m"}},
    "image": {"mode": "RGB", "dtype": "uint8", "tensors": {"pixels": "x"}},
    "audio": {"sample_rate": 8000, "features": {"kind": "waveform"}, "tensors": {"features": "x"}},
}
INPUTS: dict[str, Text | Image | Audio] = {
    "text": Text.model_validate(SPECS["text"]),
    "image": Image.model_validate(SPECS["image"]),
    "audio": Audio.model_validate(SPECS["audio"]),
}
ENCODE: dict[str, Encode] = {name: spec.load(BUNDLE, LIMITS) for name, spec in INPUTS.items()}
SMALL = 20_000  # bytes of a seed
MAGIC = {
    "png": (b"\x89PNG\r\n\x1a\n",), "jpeg": (b"\xff\xd8\xff",), "gif": (b"GIF87a", b"GIF89a"),
    "webp": (b"RIFF",), "wav": (b"RIFF",), "flac": (b"fLaC",), "ogg": (b"OggS",), "mp3": (b"\xff", b"ID3"),
}  # fmt: skip


def refused(work: Callable[[], Any]) -> Any:
    """What it gives, or nothing where it refuses."""
    try:
        return work()
    except RequestError as error:
        refusal = error
    assert 400 <= refusal.status < 500, refusal.status
    assert "0x" not in refusal.detail, refusal.detail
    return None


def decoded(part: str, data: bytes) -> None:
    row: Row | None = refused(lambda: ENCODE[part](data))
    if row is not None:
        assert row["x"].size > 0
        assert np.isfinite(row["x"]).all()


def picture(data: bytes) -> None:
    decoded("image", data)


def sound(data: bytes) -> None:
    decoded("audio", data)


def text(data: bytes) -> None:
    decoded("text", data)


def body(kind: str, data: bytes) -> None:
    pieces: list[Message] = [{"type": "http.request", "body": data, "more_body": False}]

    async def receive() -> Message:
        return pieces.pop(0)

    scope: Scope = {"headers": [(b"content-type", kind.encode("latin-1"))]}
    found = refused(lambda: asyncio.run(uploads.read(scope, receive, INPUTS, LIMITS)))
    if found is not None:
        parts, _ = found
        assert parts.keys() <= INPUTS.keys()
        assert all(type(content) is bytes and content for content in parts.values())


def multipart(data: bytes) -> None:
    body(FORM, data)


def document(data: bytes) -> None:
    body(JSON, data)


def content_type(data: bytes) -> None:
    """A header, a line feed, a body."""
    kind, _, rest = data.partition(b"\n")
    body(kind.decode("latin-1"), rest)


class Port:
    shape, dtype = [None, 3], np.dtype(np.float32)


def infer(data: bytes) -> None:
    """Of /v2: the length of the JSON, a line feed, the body."""
    length, _, rest = data.partition(b"\n")
    refused(lambda: messages.read(rest, length, {"x": Port()}))


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "png": picture, "jpeg": picture, "gif": picture, "webp": picture,
    "wav": sound, "flac": sound, "ogg": sound, "mp3": sound,
    "text": text, "multipart": multipart, "json": document, "content_type": content_type, "infer": infer,
}  # fmt: skip


def seeds(target: str) -> Iterator[bytes]:
    """Small files to begin with: what is in the corpus, and what the hostile tests send."""
    for file in sorted(CORPUS.glob(f"{target}/*")):
        yield file.read_bytes()
    if target in MAGIC:
        pictures = [variants.turned, variants.coloured, variants.decorated]
        pairs = [
            pair for group in (pictures if TARGETS[target] is picture else [variants.recorded]) for pair in group()
        ]
        for data in (data for pair in pairs for data in (pair.strange, pair.plain)):
            if data.startswith(MAGIC[target]) and len(data) < SMALL:
                yield data
    elif target == "text":
        yield from (b"my answer is seven", "sieben ü 七".encode())
    elif target == "multipart":
        yield from (case.body for case in bodies.forms() if len(case.body) < 5000)
    elif target == "json":
        yield from (case.body for case in bodies.documents() if len(case.body) < 5000)
    elif target == "content_type":
        yield from (case.kind.encode() + b"\n" + case.body for case in bodies.forms() if len(case.body) < 500)
    elif target == "infer":
        said = b'{"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]}'
        yield b"\n" + said
        yield b"%d\n" % len(said) + said
        yield b'\n{"inputs": [{"name": "x", "shape": [2], "datatype": "BYTES", "data": [["a"], "b"]}]}'
