"""Pictures that are bombs, lies, ruins and chimeras, and whole ones to make them from."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tests.hostile.cases import Case, upload

HEAD = b"\x89PNG\r\n\x1a\n"
KINDS = ("PNG", "JPEG", "GIF", "WEBP")
MIB = 2**20


def photo(width: int = 37, height: int = 23, mode: str = "RGB", seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def saved(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, idat: bytes, depth: int = 8, colour: int = 0, *more: bytes, interlaced: int = 0
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return HEAD + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8l(width: int, height: int) -> bytes:
    """34 bytes of lossless WebP that are, or would be, as many pixels of one colour."""
    bits = (width - 1) | (height - 1) << 14
    return riff((b"VP8L", b"\x2f" + struct.pack("<I", bits) + b"\x88\x88\x08\x00\x00\x00\x00\x00\x00"))


def vp8x(width: int, height: int, flags: int = 0) -> bytes:
    return struct.pack("<I", flags) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def inserted(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """After its first marker."""
    made = b"".join(bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in segments)
    return jpeg[:2] + made + jpeg[2:]


def framed(jpeg: bytes, width: int, height: int) -> bytes:
    """With another size in its header."""
    at = next(at for marker in (b"\xff\xc0", b"\xff\xc2") if (at := jpeg.find(marker)) > 0)
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def scans(jpeg: bytes, count: int) -> bytes:
    """A progressive JPEG with its last scan again and again."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * (count - jpeg.count(b"\xff\xda")) + jpeg[-2:]


def screen(gif: bytes, width: int, height: int) -> bytes:
    return gif[:6] + struct.pack("<HH", width, height) + gif[10:]


def moving(kind: str, count: int, size: int = 4) -> bytes:
    pictures = [Image.new("L", (size, size), i % 2 * 255) for i in range(count)]
    return saved(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=20)


def whole() -> dict[str, bytes]:
    return {kind: saved(photo(), kind) for kind in KINDS}


def bombs() -> Iterator[Case]:
    small = whole()
    for width, height in ((30_000, 30_000), (13_000, 13_000), (5001, 5000), (65_535, 1), (1, 65_535), (12_001, 400)):
        empty = zlib.compress(bytes(min(width * height, 4 * MIB)), 9)
        yield upload(f"png of {width} x {height}", "image", png(width, height, empty))
        yield upload(f"jpeg of {width} x {height}", "image", framed(small["JPEG"], width, height))
        yield upload(f"gif of {width} x {height}", "image", screen(small["GIF"], width, height))
        if max(width, height) <= 16_384:
            yield upload(f"webp of {width} x {height}", "image", vp8l(width, height))
        extended = riff((b"VP8X", vp8x(width, height, 2)), (b"ANIM", bytes(6)))
        yield upload(f"moving webp of {width} x {height}", "image", extended)
    yield upload("png of 2^31 - 1 x 2^31 - 1", "image", png(2**31 - 1, 2**31 - 1, b""))
    yield upload("png of 2^32 - 1 x 1", "image", png(2**32 - 1, 1, b""))
    for colour, depth in ((6, 16), (2, 16), (0, 1), (3, 8)):
        palette = chunk(b"PLTE", bytes(3)) if colour == 3 else b""
        yield upload(
            f"png of 20000 x 20000, colour {colour}", "image", png(20_000, 20_000, b"", depth, colour, palette)
        )
    gif = saved(Image.new("L", (2, 2)), "GIF")
    frame = gif[gif.index(b",") : -1]
    yield upload("gif of 3000 frames", "image", gif[:-1] + frame * 3000 + b";")
    huge = frame[:5] + struct.pack("<HH", 60_000, 60_000) + frame[9:]
    yield upload("gif whose frame is larger than its screen", "image", gif[: gif.index(b",")] + huge + b";")
    yield upload("gif of empty blocks", "image", gif[: gif.index(b",")] + b"!\xfe\0" * 2 * MIB + frame + b";")
    yield upload(
        "gif of one-byte blocks", "image", gif[: gif.index(b",")] + b"!\xfe" + b"\1a" * 3 * MIB + b"\0" + frame + b";"
    )
    yield upload("webp of 3000 frames", "image", riff((b"VP8X", vp8x(4, 4, 2)), *[(b"ANMF", bytes(16))] * 3000))
    yield upload("webp of empty chunks", "image", riff(*[(b"JUNK", b"")] * MIB))


def scanned() -> Iterator[Case]:
    progressive = saved(photo(640, 480), "JPEG", progressive=True)
    for count in (65, 1000, 10_000):
        yield upload(f"jpeg of {count} scans", "image", scans(saved(photo(), "JPEG", progressive=True), count))
    flat = framed(saved(Image.new("RGB", (16, 16)), "JPEG", progressive=True), 3000, 3000)
    yield upload("jpeg of 9 Mpx and 10000 scans", "image", scans(flat, 10_000))
    plain = saved(photo(), "JPEG")
    yield upload("jpeg of empty segments", "image", inserted(plain, *[(0xFE, b"")] * MIB))
    yield upload("jpeg of fill bytes and no more", "image", plain[:2] + b"\xff" * 9 * MIB)
    yield upload(
        "jpeg of several headers", "image", inserted(plain, (0xC0, plain[plain.index(b"\xff\xc0") + 4 :][:15]))
    )
    yield upload("jpeg without an end", "image", progressive[:-2])
    yield upload("jpeg without a scan", "image", plain[: plain.index(b"\xff\xda")] + b"\xff\xd9")
    yield upload("lossless jpeg", "image", plain.replace(b"\xff\xc0", b"\xff\xc3", 1))
    twelve = bytearray(plain)
    twelve[plain.index(b"\xff\xc0") + 4] = 12
    yield upload("jpeg of 12 bits", "image", bytes(twelve))
    yield upload("jpeg of 0 x 0", "image", framed(plain, 0, 0))
    yield upload("jpeg without quantisation", "image", plain.replace(b"\xff\xdb", b"\xff\xfe"))
    yield upload(
        "jpeg without Huffman tables", "image", plain.replace(b"\xff\xc4", b"\xff\xfe"), 200, 422
    )  # has a default


def texts() -> Iterator[Case]:
    data = saved(photo())

    def with_chunks(*chunks: bytes) -> bytes:
        return data[:33] + b"".join(chunks) + data[33:]

    zeros = zlib.compress(bytes(50 * MIB), 9)
    for name, front in ((b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"k\0\0")):
        yield upload(f"png with 50 MiB of {name.decode()}", "image", with_chunks(chunk(name, front + zeros)))
    some = zlib.compress(bytes(900_000), 9)
    many = [chunk(b"zTXt", b"k%d\0\0" % i + some) for i in range(500)]
    yield upload("png with 500 texts", "image", with_chunks(*many))
    yield upload("png of 3000 chunks", "image", with_chunks(*[chunk(b"tEXt", b"a\0b")] * 3000))
    yield upload("png of 800000 empty chunks", "image", with_chunks(*[chunk(b"prIV", b"")] * 800_000))
    yield upload("png with an unknown critical chunk", "image", with_chunks(chunk(b"HOLE", b"")))
    yield upload("png of 3000 empty IDAT", "image", with_chunks(*[chunk(b"IDAT", b"")] * 3000))


def ruins() -> Iterator[Case]:
    for kind, data in whole().items():
        for share in (1, 4, 16, len(data) // 4, len(data) // 2, len(data) - 1):
            statuses = (415, 422) if share < 16 else (422,)
            yield upload(f"{kind} of its first {share} of {len(data)} bytes", "image", data[:share], *statuses)
    data = saved(photo())
    for name in (b"IHDR", b"IDAT", b"IEND"):
        at = data.index(name) + 4
        broken = bytearray(data)
        broken[at + int.from_bytes(data[at - 8 : at - 4], "big")] ^= 0x55
        yield upload(f"png with a wrong checksum of {name.decode()}", "image", bytes(broken))
    lines = zlib.compress(b"\0" + bytes(10) * 3)
    for what, picture in (
        ("with too few lines", png(10, 10, lines)),
        ("with an unknown filter", png(10, 10, zlib.compress((b"\x09" + bytes(10)) * 10))),
        ("that is not compressed", png(10, 10, bytes(110))),
        ("with far too many lines", png(10, 10, zlib.compress(bytes(20 * MIB)))),
        ("without palette", png(10, 10, zlib.compress(bytes(110)), 8, 3)),
        ("of depth 3", png(10, 10, zlib.compress(bytes(110)), 3, 0)),
        ("of colour 5", png(10, 10, zlib.compress(bytes(110)), 8, 5)),
        ("of no width", png(0, 10, b"")),
        ("without header", HEAD + chunk(b"IDAT", zlib.compress(bytes(110))) + chunk(b"IEND", b"")),
        ("without pixels", HEAD + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 0, 0, 0, 0)) + chunk(b"IEND", b"")),
        ("of 4900 x 5000 in 80 bytes", png(4900, 5000, zlib.compress(bytes(100)))),
        ("of 4900 x 5000 whose stream breaks off", png(4900, 5000, zlib.compress(bytes(MIB)) + bytes(30_000))),
    ):
        yield upload(f"png {what}", "image", picture)
    webp = saved(photo(), "WEBP")
    yield upload("webp whose length lies", "image", webp[:4] + struct.pack("<I", 2**31) + webp[8:])
    yield upload("webp without pixels", "image", riff((b"VP8X", vp8x(9, 9))))
    yield upload("webp of an empty bitmap", "image", riff((b"VP8 ", b"")))
    yield upload("webp of 15 empty frames", "image", riff((b"VP8X", vp8x(9, 9, 2)), *[(b"ANMF", bytes(16))] * 15))


def chimeras() -> Iterator[Case]:
    pieces = {
        "pdf": b"%PDF-1.7\n",
        "zip": b"PK\3\4" + bytes(26),
        "html": b"<html><script>",
        "svg": b"<svg xmlns='x'/>",
        "elf": b"\x7fELF",
    }
    for kind, piece in pieces.items():
        yield upload(f"{kind} in front of a png", "image", piece + saved(photo()), 415)
    for kind in ("TIFF", "BMP", "ICO", "PPM", "TGA", "JPEG2000", "DDS", "PCX", "SGI", "EPS", "PDF", "XBM"):
        picture = photo(32, 32, "1") if kind == "XBM" else photo(32, 32)
        yield upload(f"a {kind}", "image", saved(picture, kind), 415)
    yield upload("avif", "image", struct.pack(">I", 28) + b"ftypavif" + bytes(100), 415)
    yield upload("jxl", "image", b"\xff\x0a" + bytes(100), 415)
    yield upload("psd", "image", b"8BPS\0\1" + bytes(100), 415)
    yield upload("postscript that runs", "image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run", 415)
    yield upload("a sound", "image", b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), 415)
    yield upload("nothing but zeros", "image", bytes(1000), 415)


def hostile() -> Iterator[Case]:
    return itertools.chain(bombs(), scanned(), texts(), ruins(), chimeras())
