"""What is sent: paths, bytes, pictures and sounds to the bytes of a part."""

import io
import os
import struct
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

FLOAT_WAVE = 3  # WAVE_FORMAT_IEEE_FLOAT
Path: TypeAlias = str | os.PathLike[str]
Picture: TypeAlias = "Path | bytes | Image | np.ndarray[Any, Any]"
Sound: TypeAlias = "Path | bytes | tuple[int, np.ndarray[Any, Any]]"


def contents(value: Any, *, as_text: bool) -> bytes:
    if isinstance(value, bytes):
        return value
    if as_text:
        return str(value).encode()
    if isinstance(value, str | os.PathLike):
        with open(value, "rb") as file:
            return file.read()
    if isinstance(value, tuple):
        return wav(*value)
    return png(value)


def png(picture: Any) -> bytes:
    """A PIL image, or an array (H, W) or (H, W, channels) of uint8, or of floats from 0 to 1, without loss."""
    from PIL import Image

    if isinstance(picture, np.ndarray):
        if picture.dtype.kind == "f":
            picture = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
        picture = Image.fromarray(picture)
    if not isinstance(picture, Image.Image):
        raise TypeError(f"a part cannot be a {type(picture).__name__}")
    if picture.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        picture = picture.convert("RGB")
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=1)
    return out.getvalue()


def wav(rate: int, samples: Any) -> bytes:
    """(N,) or (N, channels), int16 or floats from -1 to 1, without loss (floats as 32 bits)."""
    samples = np.asarray(samples)
    samples = samples[:, None] if samples.ndim == 1 else samples
    form, data = (1, samples.astype("<i2")) if samples.dtype == np.int16 else (FLOAT_WAVE, samples.astype("<f4"))
    frame = data.dtype.itemsize * data.shape[1]
    head = struct.pack("<HHIIHH", form, data.shape[1], rate, rate * frame, frame, 8 * data.dtype.itemsize)
    body: bytes = data.tobytes()
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def absent(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))
