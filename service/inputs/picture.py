"""Picture bytes to upright pixels without transparency, under limits; PNG, JPEG, GIF and WebP, the first frame."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import PIL.Image
from PIL import GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from service.errors import InvalidInput
from service.inputs import containers, webp
from service.inputs.containers import Container
from service.inputs.geometry import Box, Size
from service.limits import Limits
from service.types import Array

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
ASIDE = {5, 6, 7, 8}  # whose rows are the columns of what is stored
BACKWARDS = {3, 4, 7, 8}  # whose first row is the last that is stored, or the last column
CLEAR = ("RGBA", "LA", "PA")  # modes with transparency
PLAIN = {b"\x08\x00\x00\x00\x00": "L", b"\x08\x02\x00\x00\x00": "RGB"}  # PNG's depth, colour, ..., not interlaced
DENSE = 100  # pixels that a byte of a compressed picture may hold
STRIP = 250_000  # pixels converted, turned and resized at once: a large picture must not be there twice
BROKEN = (  # what Pillow raises on broken files
    OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, AttributeError, OverflowError, ZeroDivisionError,
    EOFError, MemoryError, NotImplementedError, struct.error, zlib.error,
)  # fmt: skip


class Upright:
    """A picture as it was stored, and how it is seen: turned, in mode L or RGB, without transparency.

    What makes it so raises InvalidInput where that cannot be done.
    """

    def __init__(
        self, stored: Picture, mode: str, depth: Depth = "scale", alpha: Alpha = "white", orientation: int = 1
    ) -> None:
        self._stored, self._mode, self._orientation = stored, mode, orientation
        self._wide = stored.mode.startswith("I") and depth == "scale"
        self._clear = alpha == "white" and transparent(stored)
        self._same = stored.mode == mode and not self._clear and orientation not in UPRIGHT
        self.size = stored.size[::-1] if orientation in ASIDE else stored.size

    def whole(self) -> Picture:
        if self._same:
            return self._stored
        with readable():
            if self._rows >= self.size[1]:
                return self._strip(0, self.size[1])
            made = PIL.Image.new(self._mode, self.size, None)  # None: its memory is touched as it is filled
            for top, strip in self._strips():
                made.paste(strip, (0, top))
            return made

    def resized(self, size: Size, resample: int, kept: Box) -> Picture:
        """The box `kept` of what Pillow makes: it, too, makes rows narrow, rounds, and then makes fewer of them."""
        if self._same or self._rows >= self.size[1] or not narrowed_first(self.size, size, resample):
            return resized(self.whole(), size, resample, kept)
        width, height = size[0], self.size[1]
        with readable():
            made = PIL.Image.new(self._mode, (width, height), None)
            for top, strip in self._strips():
                made.paste(strip.resize((width, strip.height), resample), (0, top))
        return resized(made, size, resample, kept)

    def levels(self) -> Array:
        """(H, W, C) uint8."""
        width, height = self.size
        if self._rows >= height:
            return levels(self.whole())
        with readable():
            made = np.empty((height, width, len(self._mode)), np.uint8)
            for top, strip in self._strips():
                made[top : top + strip.height] = levels(strip)
            return made

    @property
    def _rows(self) -> int:
        """Of a strip."""
        return max(1, STRIP // self.size[0])

    def _strips(self) -> Iterator[tuple[int, Picture]]:
        height, rows = self.size[1], self._rows
        return ((top, self._strip(top, min(top + rows, height))) for top in range(0, height, rows))

    def _strip(self, top: int, bottom: int) -> Picture:
        """Rows as they are seen."""
        width, height = self.size
        if self._orientation in BACKWARDS:
            top, bottom = height - bottom, height - top
        box = (top, 0, bottom, width) if self._orientation in ASIDE else (0, top, width, bottom)
        part = self._stored if bottom - top == height else self._stored.crop(box)
        part = laid(part, self._mode, self._wide, self._clear)
        how = UPRIGHT.get(self._orientation)
        return part if how is None else part.transpose(how)


def read(data: bytes, mode: str, depth: Depth, alpha: Alpha, limits: Limits) -> Upright:
    """Raises UnsupportedType, OverLimit, InvalidInput."""
    name = containers.sniff(data)
    with readable(name):
        if simple := simple_png(data, limits):
            return Upright(simple, mode)
        opened = OPEN[name](data, limits)
        return Upright(decoded(opened, mode, alpha), mode, depth, alpha, opened.orientation)


@contextmanager
def readable(name: str = "") -> Iterator[None]:
    """What Pillow raises meanwhile is the file's fault."""
    try:
        yield
    except BROKEN as error:
        raise InvalidInput(f"not a readable {name} picture" if name else "not a readable picture") from error


def bulk(data: bytes) -> int:
    """At a glance, how many pixels or bytes there may be to decode."""
    if data[:4] == b"\x89PNG":
        return max(int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big"), len(data))
    return DENSE * len(data)


def decoded(opened: Container, mode: str, alpha: Alpha) -> Picture:
    size = opened.width, opened.height
    if opened.format == "WEBP" and webp.LIBRARY:
        return pasted(opened, mode, alpha, webp.strips(webp.LIBRARY, opened))
    picture = READERS[opened.format](io.BytesIO(opened.data))
    if picture.size != size:
        raise InvalidInput("a picture of two sizes")
    picture.load()
    return picture


def pasted(opened: Container, mode: str, alpha: Alpha, strips: Iterator[tuple[int, Picture]]) -> Picture:
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
    return whole


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


def resized(picture: Picture, size: Size, resample: int, kept: Box) -> Picture:
    """The box `kept` of the resized picture. What is not kept is not made along an axis whose places are multiples of
    1/256 of a pixel, as from any side to 256: there Pillow's arithmetic has no rounding that could differ."""
    if kept == (0, 0, *size):
        return picture.resize(size, resample)
    source, made, rest = [0.0, 0.0, *picture.size], list(size), list(kept)
    for axis, (old, new) in enumerate(zip(picture.size, size, strict=True)):
        start, end = kept[axis], kept[axis + 2]
        if 256 * old % new == 0 and old != new and 0 <= start < end <= new:
            source[axis], source[axis + 2] = start * old / new, end * old / new
            made[axis], rest[axis], rest[axis + 2] = end - start, 0, end - start
    if not all(narrowed_first(picture.size, each, resample) for each in (size, made)):
        return picture.resize(size, resample).crop(kept)
    left, top, right, bottom = rest
    picture = picture.resize((made[0], made[1]), resample, (source[0], source[1], source[2], source[3]))
    return picture if tuple(rest) == (0, 0, *made) else picture.crop((left, top, right, bottom))


def narrowed_first(old: Sequence[float], new: Sequence[int], resample: int) -> bool:
    """Whether Pillow resizes the width before the height: always before version 13, which begins with a height that
    shrinks by more than twice as many pixels. The nearest pixel is taken in one step."""
    narrower, lower = old[0] - new[0], old[1] - new[1]
    return resample != PIL.Image.Resampling.NEAREST and lower <= max(0, 2 * narrower)


def levels(picture: Picture) -> Array:
    """(H, W, C) uint8."""
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width, -1)


def laid(picture: Picture, mode: str, wide: bool, clear: bool) -> Picture:
    """`wide`: 16 bits are scaled to 8. `clear`: what is transparent is laid on white."""
    if wide:
        deep = np.asarray(picture, np.int64).clip(0, 65535)
        picture = PIL.Image.fromarray(((deep + 128) // 257).astype(np.uint8))  # rounds 65535 -> 255
    if clear and transparent(picture):
        picture = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture)
    return picture if picture.mode == mode else picture.convert(mode)


def transparent(picture: Picture) -> bool:
    """Whether parts of it may be."""
    return picture.mode in CLEAR or "transparency" in picture.info
