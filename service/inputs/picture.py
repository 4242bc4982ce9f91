"""Picture bytes to upright pixels without transparency, under limits; PNG, JPEG, GIF and WebP, the first frame."""

import io
import struct
import zlib
from typing import Literal

import numpy as np
import PIL.Image
from PIL import PngImagePlugin

from service.errors import InvalidInput, OverLimit, UnsupportedType
from service.limits import Limits

PIL.Image.preinit()
PIL.Image.MAX_IMAGE_PIXELS = None  # `check_size` applies the operator's limit, before any pixel is decoded
PngImagePlugin.MAX_TEXT_MEMORY = 4 * 2**20  # compressed text chunks may inflate to no more than this

Picture = PIL.Image.Image
Depth = Literal["scale", "clip"]
Alpha = Literal["white", "drop"]
UPRIGHT = {  # EXIF orientation -> what undoes it (CIPA DC-008, tag 0x0112)
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
PLAIN = {b"\x08\x00\x00\x00\x00": "L", b"\x08\x02\x00\x00\x00": "RGB"}  # PNG's depth, colour, ..., not interlaced
HOLDS_EXIF = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}
BROKEN = (  # what Pillow raises on broken files
    OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, OverflowError, ZeroDivisionError,
    EOFError, MemoryError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


def read(data: bytes, mode: str, depth: Depth, alpha: Alpha, limits: Limits) -> Picture:
    """Mode L or RGB. Raises UnsupportedType, OverLimit, InvalidInput."""
    name = sniff(data)
    try:
        return plain(simple_png(data, limits) or upright(opened(name, data, limits)), mode, depth, alpha)
    except BROKEN as error:
        raise InvalidInput(f"not a readable {name} picture") from error


def opened(name: str, data: bytes, limits: Limits) -> Picture:
    """Its header is read, and within limits; no pixel is decoded yet. As Image.open, which tries formats in turn."""
    picture: Picture = PIL.Image.OPEN[name][0](io.BytesIO(data), "")
    check_size(*picture.size, limits)
    # 10,000 scans in 265 kB burn 10 s; inside a scan 0xFF is always escaped, so counting cannot be fooled downwards
    if picture.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > limits.image_scans:
        raise OverLimit("too many scans", limit=limits.image_scans)
    if picture.format == "PNG" and chunks(data, limits.image_chunks) > limits.image_chunks:
        raise OverLimit("too many chunks", limit=limits.image_chunks)
    return picture


def simple_png(data: bytes, limits: Limits) -> Picture | None:
    """The plainest PNG, 8-bit grey or RGB and nothing but pixels, by Pillow's decoder without Pillow's reader of files,
    which costs more than the pixels of a small picture. None: anything else, or not intact."""
    if data[:16] != b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" or data[24:29] not in PLAIN:
        return None
    at, pixels = 33, []
    while (kind := data[at + 4 : at + 8]) == b"IDAT":
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        pixels.append(data[at + 8 : end])
        at = end + 4
    if kind != b"IEND" or zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        return None
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if width == 0 or height == 0:
        return None
    check_size(width, height, limits)
    mode = PLAIN[data[24:29]]
    try:
        return PIL.Image.frombytes(mode, (width, height), b"".join(pixels), "zip", mode, 0)
    except BROKEN:
        return None


def sniff(data: bytes) -> str:
    """The format by its first bytes; what the client calls it does not matter."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise UnsupportedType("not a PNG, JPEG, GIF or WebP picture")


def check_size(width: int, height: int, limits: Limits) -> None:
    """A header against the limits, before any pixel is decoded."""
    if width * height > limits.image_pixels:
        raise OverLimit(f"{width} x {height} pixels", limit=limits.image_pixels)
    if max(width, height) > limits.image_side:
        raise OverLimit(f"a side of {max(width, height)} pixels", limit=limits.image_side)
    if max(width, height) > limits.image_aspect * min(width, height):
        raise OverLimit(f"{width} x {height} pixels is too narrow", limit=limits.image_aspect)


def chunks(data: bytes, most: int) -> int:
    """How many chunks a PNG has, counted to `most` + 1."""
    at, count = 8, 0
    while at + 8 <= len(data) and count <= most:
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        count += 1
    return count


def upright(picture: Picture) -> Picture:
    """Decodes, and undoes what EXIF says of the camera's pose."""
    picture.load()
    if HOLDS_EXIF.isdisjoint(picture.info):
        return picture
    how = UPRIGHT.get(picture.getexif().get(0x0112, 1))
    return picture if how is None else picture.transpose(how)


def plain(picture: Picture, mode: str, depth: Depth, alpha: Alpha) -> Picture:
    """Mode L or RGB without transparency."""
    if picture.mode.startswith("I") and depth == "scale":
        wide = np.asarray(picture, np.int64).clip(0, 65535)
        picture = PIL.Image.fromarray(((wide + 128) // 257).astype(np.uint8))  # rounds 65535 -> 255
    if alpha == "white" and (picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info):
        picture = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture)
    return picture if picture.mode == mode else picture.convert(mode)
