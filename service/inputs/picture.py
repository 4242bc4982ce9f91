"""Picture bytes to upright pixels without transparency, under limits; PNG, JPEG, GIF and WebP, the first frame."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import PIL.Image
from PIL import GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from service.errors import InvalidInput
from service.inputs import containers, webp
from service.inputs.containers import Container
from service.limits import Limits

PIL.Image.MAX_IMAGE_PIXELS = None  # `containers` applies the operator's limit, before Pillow sees a byte

Picture = PIL.Image.Image
Depth = Literal["scale", "clip"]
Alpha = Literal["white", "drop"]
OPEN: dict[str, Callable[[bytes, Limits], Container]] = {
    "PNG": containers.png, "JPEG": containers.jpeg, "GIF": containers.gif, "WEBP": webp.opened,
}  # fmt: skip
READERS: dict[str, Callable[[io.BytesIO], Picture]] = {
    # not Image.open, which tries formats in turn, nor its JPEG reader, which looks for further pictures
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,  # where libwebp is not to be had
}
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
DENSE = 100  # pixels that a byte of a compressed picture may hold
STRIP = 250_000  # pixels converted at once: a large picture must not be there three times
BROKEN = (  # what Pillow raises on broken files
    OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, OverflowError, ZeroDivisionError,
    EOFError, MemoryError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


def read(data: bytes, mode: str, depth: Depth, alpha: Alpha, limits: Limits) -> Picture:
    """Mode L or RGB. Raises UnsupportedType, OverLimit, InvalidInput."""
    name = containers.sniff(data)
    try:
        if simple := simple_png(data, limits):
            return plain(simple, mode, depth, alpha)
        opened = OPEN[name](data, limits)
        picture = decoded(opened, mode, depth, alpha)
        how = UPRIGHT.get(opened.orientation)
        return picture if how is None else picture.transpose(how)
    except BROKEN as error:
        raise InvalidInput(f"not a readable {name} picture") from error


def bulk(data: bytes) -> int:
    """At a glance, how many pixels or bytes there may be to decode."""
    if data[:4] == b"\x89PNG":
        return max(int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big"), len(data))
    return DENSE * len(data)


def decoded(opened: Container, mode: str, depth: Depth, alpha: Alpha) -> Picture:
    size = opened.width, opened.height
    if opened.format == "WEBP" and webp.LIBRARY:
        return pasted(opened, mode, depth, alpha, webp.strips(webp.LIBRARY, opened))
    picture = READERS[opened.format](io.BytesIO(opened.data))
    if picture.size != size:
        raise InvalidInput("a picture of two sizes")
    picture.load()
    return plain(picture, mode, depth, alpha)


def pasted(opened: Container, mode: str, depth: Depth, alpha: Alpha, strips: Iterator[tuple[int, Picture]]) -> Picture:
    """A WebP's frame; where it does not fill the whole, the rest is transparent, or black."""
    left, top, *frame = opened.frame
    clear = opened.alpha and alpha == "white"
    if frame == [opened.width, opened.height]:
        whole = PIL.Image.new(mode, (opened.width, opened.height), None)  # None: its memory is touched as it is filled
        for row, strip in strips:
            whole.paste(laid(strip, mode, False, clear), (0, row))
        return whole
    whole = PIL.Image.new("RGBA" if opened.alpha else "RGB", (opened.width, opened.height))
    for row, strip in strips:
        whole.paste(strip, (left, top + row))
    return plain(whole, mode, depth, alpha)


def simple_png(data: bytes, limits: Limits) -> Picture | None:
    """The plainest PNG, 8-bit grey or RGB and nothing but pixels, by Pillow's decoder without Pillow's reader of files,
    which costs more than the pixels of a small picture. None: anything else, or not intact."""
    if data[:16] != b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" or data[24:29] not in PLAIN:
        return None
    at = 33
    pixels: list[bytes] = []
    while data[at + 4 : at + 8] == b"IDAT" and len(pixels) < limits.image_chunks:
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return None
        pixels.append(data[at + 8 : end])
        at = end + 4
    if data[at : at + 12] != b"\0\0\0\0IEND\xaeB`\x82" or zlib.crc32(data[12:29]) != int.from_bytes(data[29:33], "big"):
        return None
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    containers.check_size(width, height, limits)
    mode = PLAIN[data[24:29]]
    packed = b"".join(pixels)
    containers.check_length(len(packed), height * (width * len(mode) + 1), height)
    return PIL.Image.frombytes(mode, (width, height), packed, "zip", mode, 0)


def plain(picture: Picture, mode: str, depth: Depth, alpha: Alpha) -> Picture:
    """Mode L or RGB without transparency."""
    wide = picture.mode.startswith("I") and depth == "scale"
    clear = alpha == "white" and (picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info)
    if picture.mode == mode and not clear:
        return picture
    width, height = picture.size
    rows = max(1, STRIP // width)
    if rows >= height:
        return laid(picture, mode, wide, clear)
    whole = PIL.Image.new(mode, picture.size, None)
    for top in range(0, height, rows):
        strip = picture.crop((0, top, width, min(top + rows, height)))
        whole.paste(laid(strip, mode, wide, clear), (0, top))
    return whole


def laid(picture: Picture, mode: str, wide: bool, clear: bool) -> Picture:
    """`wide`: 16 bits are scaled to 8. `clear`: what is transparent is laid on white."""
    if wide:
        levels = np.asarray(picture, np.int64).clip(0, 65535)
        picture = PIL.Image.fromarray(((levels + 128) // 257).astype(np.uint8))  # rounds 65535 -> 255
    if clear and (picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info):
        picture = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture)
    return picture if picture.mode == mode else picture.convert(mode)
