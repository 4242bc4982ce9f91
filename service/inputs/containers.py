"""Picture files taken apart before a library sees them: format, size and pose, counted chunks; only what makes pixels.

Pillow spends seconds on a JPEG's million empty segments or fill bytes, keeps all text in memory, and takes a PNG with a
wrong checksum or without its end. Text, profiles, thumbnails and further frames are counted and left out.
"""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from service.errors import InvalidInput, OverLimit, UnsupportedType
from service.inputs import pose
from service.limits import Limits

HEAD = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # PNG's colour type -> samples a pixel
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7
RATIO = 1032  # bytes that one byte of a zlib stream can become at most
SLACK = 4096  # bytes that a zlib stream may be longer than what it holds, and 16 a line
PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
INFLATED = {b"zTXt", b"iTXt", b"iCCP"}
FILL = re.compile(rb"\xff*")
SCANS = re.compile(rb"\xff[\xd9\xda]")  # JPEG's end and starts of scans; 5 times faster than bytes.count of two bytes
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's SOF markers
TABLES = FRAMES | {0xC4, 0xCC, 0xDB, 0xDD, 0xE0, 0xEE}  # Huffman, arithmetic, quantisation, restarts, JFIF, Adobe
BLOCKS = 100_000  # sub-blocks of a GIF: 10 MiB have 41,000 of the usual length


@dataclass(frozen=True, slots=True)
class Container:
    format: str  # Pillow's name
    width: int
    height: int
    data: bytes  # what makes the first frame's pixels
    orientation: int = 1  # CIPA DC-008, tag 0x0112
    alpha: bool = False  # of a WebP
    frame: tuple[int, int, int, int] = (0, 0, 0, 0)  # of a WebP: where in the whole, and how large


def sniff(data: bytes) -> str:
    """The format by its first bytes; what the client calls it does not matter. Raises UnsupportedType."""
    if data[:8] == HEAD:
        return "PNG"
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    raise UnsupportedType("not a PNG, JPEG, GIF or WebP picture")


def check_size(width: int, height: int, limits: Limits) -> None:
    """What a header says against the limits, before any pixel is decoded."""
    if width == 0 or height == 0:
        raise InvalidInput("a picture without pixels")
    if width * height > limits.image_pixels:
        raise OverLimit(f"{width} x {height} pixels", limit=limits.image_pixels)
    if max(width, height) > limits.image_side:
        raise OverLimit(f"a side of {max(width, height)} pixels", limit=limits.image_side)
    if max(width, height) > limits.image_aspect * min(width, height):
        raise OverLimit(f"{width} x {height} pixels is too narrow", limit=limits.image_aspect)


def check_length(compressed: int, size: int, height: int) -> None:
    """A zlib stream of so many bytes cannot hold, or holds much more than, the `size` bytes of a picture's lines."""
    if compressed * RATIO < size:
        raise InvalidInput("fewer bytes than pixels")
    if compressed > size + 16 * height + SLACK:
        raise InvalidInput("more bytes than pixels")


def count(chunks: int, limits: Limits) -> None:
    if chunks > limits.image_chunks:
        raise OverLimit("too many chunks", limit=limits.image_chunks)


def early(kind: str) -> InvalidInput:
    return InvalidInput(f"a {kind} picture that ends too early")


# -- PNG (W3C, third edition) -----------------------------------------------------------------------------------------


def png(data: bytes, limits: Limits) -> Container:
    header = data[16:29]
    if data[8:16] != b"\0\0\0\rIHDR" or len(header) < 13:
        raise InvalidInput("a PNG picture without header")
    width, height, interlaced = png_header(header, limits)
    chunks = list(png_chunks(data, limits))
    compressed = sum(len(body) for name, body, _ in chunks if name == b"IDAT")
    check_length(compressed, lines(header, width, height, interlaced), height)
    if header[9] == 3 and not any(name == b"PLTE" and 0 < len(body) <= 768 for name, body, _ in chunks):
        raise InvalidInput("a PNG picture without palette")
    said = png_said([(name, body) for name, body, _ in chunks], limits)
    kept = b"".join(whole for name, _, whole in chunks if name in PIXELS)
    return Container("PNG", width, height, HEAD + kept, said)


def png_chunks(data: bytes, limits: Limits) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Name, body and the whole of each chunk, to the last; checksums hold."""
    at, name = 8, b""
    for number in range(1, limits.image_chunks + 2):
        count(number, limits)
        name, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        if len(name) < 4 or end > len(data):
            raise early("PNG")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise InvalidInput("a PNG picture with a wrong checksum")
        if name not in PIXELS and not name[0] & 0x20:
            raise InvalidInput("a PNG picture with an unknown critical chunk")
        yield name, data[at + 8 : end - 4], data[at:end]
        at = end
        if name == b"IEND":
            return


def png_header(header: bytes, limits: Limits) -> tuple[int, int, bool]:
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    depth, colour, compression, filtering, interlaced = header[8:]
    if depth not in DEPTHS.get(colour, ()) or compression or filtering or interlaced > 1:
        raise InvalidInput("not a valid PNG header")
    check_size(width, height, limits)
    return width, height, bool(interlaced)


def lines(header: bytes, width: int, height: int, interlaced: bool) -> int:
    """Bytes of all lines before compression, each with its filter."""
    bits = header[8] * CHANNELS[header[9]]
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    sizes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes)
    return sum(rows * ((columns * bits + 7) // 8 + 1) for columns, rows in sizes if columns > 0 and rows > 0)


def png_said(chunks: list[tuple[bytes, bytes]], limits: Limits) -> int:
    """The orientation, from eXIf, from what ImageMagick writes, or from XMP; inflates no more than it may."""
    left, poses = limits.image_text, [0, 0, 0]
    for name, body in chunks:
        key, _, text = body.partition(b"\0")
        if name in INFLATED and (name != b"iTXt" or text[:1] == b"\1"):
            packed = text.split(b"\0", 2)[-1] if name == b"iTXt" else text[1:]
            text, cost = inflated(packed, left + 1)
            left -= cost
            if left < 0:
                raise OverLimit("text or profiles that inflate beyond measure", limit=limits.image_text)
        if name == b"eXIf":
            poses[0] = pose.of_exif(body) or 0
        elif key == b"Raw profile type exif" and name in (b"zTXt", b"tEXt"):
            poses[1] = pose.of_exif(pose.unhexed(text)) or 0
        elif key == b"XML:com.adobe.xmp" and name == b"iTXt":
            poses[2] = pose.of_xmp(text) or 0
    return next((found for found in poses if found), 1)


def inflated(packed: bytes, most: int) -> tuple[bytes, int]:
    """As much as there is, up to `most`, and how many bytes that may have been to inflate."""
    try:
        text = zlib.decompressobj().decompress(packed, most)
        return text, len(text)
    except zlib.error:
        return b"", min(len(packed) * RATIO, most)


# -- JPEG (ITU-T T.81) ------------------------------------------------------------------------------------------------


def jpeg(data: bytes, limits: Limits) -> Container:
    kept, size, said, at = [data[:2]], (0, 0), [0, 0], 2
    for number in range(1, limits.image_chunks + 2):
        count(number, limits)
        at = FILL.match(data, at).end() - 1  # type: ignore[union-attr]  # matches nothing, too
        marker, end = (
            int.from_bytes(data[at + 1 : at + 2], "big"),
            at + 2 + int.from_bytes(data[at + 2 : at + 4], "big"),
        )
        if at < 2 or data[at] != 0xFF or end < at + 4 or end > len(data) or marker < 0xC0 or 0xD0 <= marker < 0xDA:
            raise InvalidInput("not a readable JPEG picture")
        if marker == 0xDA:
            break
        if marker in FRAMES:
            if size != (0, 0):
                raise InvalidInput("a JPEG picture with several headers")
            size = int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
            check_size(*size, limits)
        if marker in TABLES:
            kept.append(data[at:end])
        elif marker == 0xE1 and data.startswith(pose.EXIF, at + 4):
            said[0] = said[0] or pose.of_exif(data[at + 4 : end]) or 0
        elif marker == 0xE1 and data.startswith(pose.XMP, at + 4):
            said[1] = said[1] or pose.of_xmp(data[at + 4 : end]) or 0
        at = end
    if size == (0, 0):
        raise InvalidInput("a JPEG picture without header")
    # 10,000 scans in 265 kB burn 10 s; inside a scan 0xFF is always escaped, so counting cannot be fooled downwards
    scans, ended = 0, False
    for found in SCANS.finditer(data, at):
        ended = ended or found[0] == b"\xff\xd9"
        scans += found[0] == b"\xff\xda"
        if scans > limits.image_scans:
            raise OverLimit("too many scans", limit=limits.image_scans)
    if not ended:
        raise early("JPEG")
    return Container("JPEG", *size, b"".join((*kept, data[at:])), said[0] or said[1] or 1)


# -- GIF (89a) --------------------------------------------------------------------------------------------------------


def gif(data: bytes, limits: Limits) -> Container:
    """Header, the first frame with the control block before it, trailer."""
    at = 13 + table(data[10:11])
    kept, control, blocks = [data[:at]], b"", 0
    width, height = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    for number in range(1, limits.image_chunks + 2):
        count(number, limits)
        start, kind = at, data[at : at + 1]
        if kind == b";":
            break
        if kind == b",":
            at += 11 + table(data[at + 9 : at + 10])
        elif kind == b"!":
            at += 2
        else:
            raise early("GIF")
        at, passed = past(data, at, BLOCKS - blocks)
        blocks += passed
        if kind == b"!" and data[start + 1] == 0xF9:
            control = data[start:at]
        elif kind == b"," and len(kept) == 1:
            left, top, wide, high = (int.from_bytes(data[start + i : start + i + 2], "little") for i in (1, 3, 5, 7))
            width, height = max(width, left + wide), max(height, top + high)
            kept += [control, data[start:at], b";"]
    if len(kept) == 1:
        raise InvalidInput("a GIF picture without a frame")
    check_size(width, height, limits)
    return Container("GIF", width, height, b"".join(kept))


def table(flags: bytes) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def past(data: bytes, at: int, most: int) -> tuple[int, int]:
    """Where the sub-blocks that begin at `at` end, and how many they are."""
    for number in range(most):
        if at >= len(data):
            raise early("GIF")
        size = data[at]
        at += 1 + size
        if size == 0:
            return at, number
    raise OverLimit("too many blocks", limit=BLOCKS)
