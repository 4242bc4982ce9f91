"""WebP (RFC 9649) to the pixels of its first frame, by libwebp itself.

Pillow's reader is one of animations and holds a picture four times over; it brings libwebp, which is found through it.
"""

import ctypes
import mmap
import struct
from collections.abc import Iterator
from contextlib import suppress

import PIL._webp
import PIL.Image

from service.errors import InvalidInput
from service.inputs import pose
from service.inputs.containers import Container, check_size, count, early
from service.limits import Limits

STRIP = 250_000  # pixels handed on at once
BITMAP, LOSSLESS, ALPHA, EXTENDED, FRAME = b"VP8 ", b"VP8L", b"ALPH", b"VP8X", b"ANMF"
HAS_ALPHA = 0x10  # flag of VP8X

Chunk = tuple[bytes, int, int]  # name, where its body begins and ends


def opened(data: bytes, limits: Limits) -> Container:
    """The first frame as a still picture of its own. Raises OverLimit, InvalidInput."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise early("WebP")
    canvas, clear, said, place = (0, 0), False, [0, 0], (0, 0)
    bitmap: list[Chunk] = []
    for number, chunk in enumerate(chunks(data, 12, end), 1):
        count(number, limits)
        name, body, after = chunk
        if number == 1:
            canvas, clear = size(chunk, data), has_alpha(chunk, data)
            check_size(*canvas, limits)
        if name in (BITMAP, LOSSLESS, ALPHA) and not complete(bitmap):
            bitmap.append(chunk)
        elif name == FRAME and not complete(bitmap):
            place = (2 * number24(data, body), 2 * number24(data, body + 3))
            bitmap = [inner for inner in chunks(data, body + 16, after) if inner[0] in (BITMAP, LOSSLESS, ALPHA)]
        elif name == b"EXIF":
            said[0] = pose.of_exif(data[body:after]) or 0
        elif name == b"XMP ":
            said[1] = pose.of_xmp(data[body:after]) or 0
    if not complete(bitmap):
        raise early("WebP")
    wide, high = size(bitmap[-1], data)
    if place[0] + wide > canvas[0] or place[1] + high > canvas[1]:
        raise InvalidInput("a picture of two sizes")
    frame = *place, wide, high
    return Container("WEBP", *canvas, still(bitmap, data, (wide, high)), said[0] or said[1] or 1, clear, frame)


def chunks(data: bytes, at: int, end: int) -> Iterator[Chunk]:
    while at + 8 <= end:
        after = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if after > end:
            raise early("WebP")
        yield data[at : at + 4], at + 8, after
        at = after + (after & 1)


def complete(bitmap: list[Chunk]) -> bool:
    return bool(bitmap) and bitmap[-1][0] != ALPHA


def number24(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def size(chunk: Chunk, data: bytes) -> tuple[int, int]:
    """Raises InvalidInput."""
    name, at, _ = chunk
    if name == EXTENDED:
        return number24(data, at + 4) + 1, number24(data, at + 7) + 1
    if name == BITMAP:
        width, height = struct.unpack_from("<HH", data.ljust(at + 10, b"\0"), at + 6)
        return width & 0x3FFF, height & 0x3FFF
    if name == LOSSLESS:
        bits = int.from_bytes(data[at + 1 : at + 5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise InvalidInput("not a readable WebP picture")


def has_alpha(first: Chunk, data: bytes) -> bool:
    name, at, _ = first
    if name == LOSSLESS:
        return bool(data[at + 4 : at + 5] and data[at + 4] & 0x10)
    return name == EXTENDED and bool(data[at : at + 1] and data[at] & HAS_ALPHA)


def still(bitmap: list[Chunk], data: bytes, size: tuple[int, int]) -> bytes:
    made = [b"WEBP"]
    if len(bitmap) > 1:
        width, height = (side - 1 for side in size)
        flags = struct.pack("<I", HAS_ALPHA) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
        made.append(EXTENDED + struct.pack("<I", len(flags)) + flags)
    for name, body, after in bitmap:
        made.append(name + struct.pack("<I", after - body) + data[body:after] + b"\0" * (after - body & 1))
    whole = b"".join(made)
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


# -- pixels -----------------------------------------------------------------------------------------------------------


def simple_api() -> ctypes.CDLL | None:
    """Two functions of webp/decode.h that have not changed for many years; None: Pillow has no libwebp to share."""
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(PIL._webp.__file__)
        for function in (library.WebPDecodeRGBInto, library.WebPDecodeRGBAInto):
            pointer, size = ctypes.c_void_p, ctypes.c_size_t
            function.argtypes, function.restype = [ctypes.c_char_p, size, pointer, size, ctypes.c_int], pointer
        return library
    return None


LIBRARY = simple_api()


def strips(library: ctypes.CDLL, opened: Container) -> Iterator[tuple[int, PIL.Image.Image]]:
    """The frame from top to bottom, RGB or RGBA; what was handed on is given back to the system.

    Raises InvalidInput.
    """
    mode, decode = ("RGBA", library.WebPDecodeRGBAInto) if opened.alpha else ("RGB", library.WebPDecodeRGBInto)
    _, _, width, height = opened.frame
    line = width * len(mode)
    memory = mmap.mmap(-1, line * height, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # no file, and given back at once
    place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if not decode(opened.data, len(opened.data), place, line * height, line):
        raise InvalidInput("not a readable WebP picture")
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        high = min(rows, height - top)
        yield top, PIL.Image.frombytes(mode, (width, high), memory[top * line : (top + high) * line])
        if done := (top + high) * line // mmap.PAGESIZE * mmap.PAGESIZE:
            memory.madvise(mmap.MADV_DONTNEED, 0, done)
