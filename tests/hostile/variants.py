"""Files that look strange and are sound: each with the plain file that it must be taken for."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import soundfile
from PIL import Image

from tests.hostile.pictures import HEAD, chunk, inserted, photo, png, saved
from tests.hostile.sounds import chunked, endless, tone, wav

PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> the transposition that the camera did


class Pair(NamedTuple):
    name: str
    part: str
    strange: bytes
    plain: bytes
    within: float = 0.0  # libmpg123 differs from itself in the last bit


def exif(orientation: int, order: str = ">") -> bytes:
    head = b"MM\0\x2a" if order == ">" else b"II\x2a\0"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def lossless(picture: Image.Image) -> dict[str, bytes]:
    return {"PNG": saved(picture), "WEBP": saved(picture, "WEBP", lossless=True, exact=True)}


def turned() -> Iterator[Pair]:
    """However EXIF says that a picture is to be held."""
    upright = photo(40, 24)
    for orientation in range(1, 9):
        held = upright.transpose(Image.Transpose(TURNS[orientation])) if orientation > 1 else upright
        for order in "<>":
            said = exif(orientation, order)
            name = f"orientation {orientation}{order}"
            yield Pair(f"png, {name}", "image", saved(held, exif=said), saved(upright))
            behind = saved(held)[:-12] + chunk(b"eXIf", said) + saved(held)[-12:]
            yield Pair(f"png, {name}, after the pixels", "image", behind, saved(upright))
            yield Pair(f"webp, {name}", "image", saved(held, "WEBP", lossless=True, exif=said), saved(upright))
            jpeg = saved(held, "JPEG", quality=95)
            with Image.open(io.BytesIO(jpeg)) as opened:
                back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
                expected = opened.transpose(Image.Transpose(back)) if back is not None else opened.copy()
            yield Pair(f"jpeg, {name}", "image", inserted(jpeg, (0xE1, b"Exif\0\0" + said)), saved(expected))
    for nonsense in (0, 9, 65_535):
        yield Pair(f"png, orientation {nonsense}", "image", saved(upright, exif=exif(nonsense)), saved(upright))
    yield Pair(
        "jpeg with EXIF of no sense",
        "image",
        inserted(saved(upright, "JPEG"), (0xE1, b"Exif\0\0garbage")),
        saved_again(upright),
    )


def saved_again(picture: Image.Image) -> bytes:
    """What its JPEG shows, as a PNG."""
    with Image.open(io.BytesIO(saved(picture, "JPEG"))) as opened:
        return saved(opened)


def coloured() -> Iterator[Pair]:
    """However pixels are stored."""
    grey = photo(40, 24, "L")
    for kind, data in lossless(photo(40, 24)).items():
        yield Pair(f"rgb {kind}", "image", data, saved(photo(40, 24)))
    with_palette = photo(40, 24).quantize(64)
    yield Pair("palette png", "image", saved(with_palette), saved(with_palette.convert("RGB")))
    yield Pair("palette gif", "image", saved(with_palette, "GIF"), saved(with_palette.convert("RGB")))
    for colours, bits in ((2, 1), (4, 2), (16, 4)):
        few = photo(40, 24).quantize(colours)
        yield Pair(f"palette png of {bits} bits", "image", saved(few, bits=bits), saved(few.convert("RGB")))
    two = photo(40, 24, "1")
    yield Pair("png of 1 bit", "image", saved(two), saved(two.convert("L")))
    for depth in (1, 2, 4):
        levels = np.random.default_rng(depth).integers(0, 2**depth, (9, 16), np.uint8)
        lines = b"".join(b"\0" + packed(line, depth) for line in levels)
        scaled = Image.fromarray(levels * (255 // (2**depth - 1)))
        yield Pair(f"grey png of {depth} bits", "image", png(16, 9, zlib.compress(lines), depth, 0), saved(scaled))
    deep = np.random.default_rng(16).integers(0, 65_536, (24, 40), np.uint16)
    shallow = Image.fromarray(((deep.astype(np.int64) + 128) // 257).astype(np.uint8))
    yield Pair("grey png of 16 bits", "image", saved(Image.fromarray(deep)), saved(shallow))
    colour = np.random.default_rng(17).integers(0, 65_536, (24, 40, 3), np.uint16)
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in colour)
    yield Pair(
        "rgb png of 16 bits",
        "image",
        png(40, 24, zlib.compress(lines), 16, 2),
        saved(Image.fromarray((colour >> 8).astype(np.uint8))),
    )
    yield Pair("interlaced png", "image", adam7(np.asarray(grey)), saved(grey))
    cmyk = photo(40, 24).convert("CMYK")
    with Image.open(io.BytesIO(saved(cmyk, "JPEG", quality=95))) as opened:
        yield Pair("cmyk jpeg", "image", saved(cmyk, "JPEG", quality=95), saved(opened.convert("RGB")))
        adobe = inserted(saved(cmyk, "JPEG", quality=95), (0xED, b"Photoshop 3.0\0" + bytes(100)))
        yield Pair("cmyk jpeg with what Photoshop adds", "image", adobe, saved(opened.convert("RGB")))
    baseline = saved(photo(40, 24), "JPEG", quality=90)
    with Image.open(io.BytesIO(baseline)) as opened:
        for name, options in (
            ("progressive", {"progressive": True}),
            ("optimised", {"optimize": True}),
            ("restarting", {"restart_marker_rows": 1}),
        ):
            yield Pair(f"{name} jpeg", "image", saved(photo(40, 24), "JPEG", quality=90, **options), saved(opened))
        yield Pair(
            "jpeg with fill bytes", "image", baseline.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1), saved(opened)
        )
        yield Pair("jpeg with a comment", "image", inserted(baseline, (0xFE, b"x" * 60_000)), saved(opened))
        yield Pair(
            "jpeg with a profile",
            "image",
            inserted(baseline, (0xE2, b"ICC_PROFILE\0\1\1" + bytes(3000))),
            saved(opened),
        )
        mpo = saved(photo(40, 24), "MPO", quality=90, save_all=True, append_images=[photo(40, 24, seed=1)])
        yield Pair("mpo", "image", mpo, saved(opened))


def packed(line: "np.ndarray[tuple[int], np.dtype[np.uint8]]", depth: int) -> bytes:
    bits = ((line[:, None] >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
    return np.packbits(bits.ravel()).tobytes()


def adam7(pixels: "np.ndarray[tuple[int, int], np.dtype[np.uint8]]") -> bytes:
    lines = [b"\0" + line.tobytes() for x, y, dx, dy in PASSES for line in pixels[y::dy, x::dx] if line.size]
    return png(pixels.shape[1], pixels.shape[0], zlib.compress(b"".join(lines)), interlaced=1)


def decorated() -> Iterator[Pair]:
    """Transparency, frames, profiles, text, what follows the end."""
    plain = photo(40, 24)
    data = saved(plain)
    clear = Image.new("RGBA", (16, 16), (10, 20, 30, 0))
    white = saved(Image.new("RGB", (16, 16), "white"))
    for kind, strange in lossless(clear).items():
        yield Pair(f"wholly transparent {kind}", "image", strange, white)
    yield Pair("transparent palette png", "image", saved(Image.new("P", (16, 16), 0), transparency=0), white)
    yield Pair("transparent gif", "image", saved(Image.new("P", (16, 16), 3), "GIF", transparency=3), white)
    yield Pair("grey png with a transparent level", "image", saved(Image.new("L", (16, 16), 7), transparency=7), white)
    opaque = plain.copy()
    opaque.putalpha(255)
    for kind, strange in lossless(opaque).items():
        yield Pair(f"opaque {kind} with alpha", "image", strange, data)
    others = [photo(40, 24, seed=i) for i in (1, 2)]
    for kind in ("PNG", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        moving = saved(plain, kind, save_all=True, append_images=others, duration=100, **options)
        yield Pair(f"moving {kind}", "image", moving, data)
    gif = plain.quantize(32)
    strange = saved(gif, "GIF", save_all=True, append_images=[other.quantize(32) for other in others])
    yield Pair("moving gif", "image", strange, saved(gif.convert("RGB")))
    yield Pair("png with a profile", "image", saved(plain, icc_profile=bytes(3000)), data)
    large = chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(3 * 2**20)))
    yield Pair("png with a profile of 3 MiB", "image", data[:33] + large + data[33:], data)
    yield Pair("png with text", "image", data[:33] + chunk(b"tEXt", b"Comment\0hello") * 100 + data[33:], data)
    for kind, whole in {**lossless(plain), "GIF": saved(gif, "GIF"), "JPEG": saved(plain, "JPEG")}.items():
        yield Pair(f"{kind} with a zip behind it", "image", whole + b"PK\3\4" + bytes(500), whole)
    header, body = data[:33], zlib.compress(zlib.decompress(data[41:-16]))
    pieces = b"".join(chunk(b"IDAT", body[i : i + 100]) for i in range(0, len(body), 100))
    yield Pair("png in small pieces", "image", header + pieces + data[-12:], data)
    yield Pair("png with an empty IDAT", "image", header + chunk(b"IDAT", b"") + data[33:], data)
    stored = zlib.compress(zlib.decompress(data[41:-16]), 0)
    yield Pair("png that is not compressed", "image", HEAD + header[8:] + chunk(b"IDAT", stored) + data[-12:], data)
    yield Pair("webp with junk chunks", "image", junked(saved(plain, "WEBP", lossless=True)), data)


def junked(webp: bytes) -> bytes:
    more = webp[12:] + (b"JUNK" + struct.pack("<I", 3) + b"abc\0") * 5
    return b"RIFF" + struct.pack("<I", len(more) + 4) + b"WEBP" + more


def vast() -> Image.Image:
    """As many pixels as BRAID_IMAGE_PIXELS allows."""
    y, x = np.mgrid[0:4000, 0:6000].astype(np.uint16)
    return Image.fromarray(np.stack([x >> 5, y >> 4, (x + y) >> 6], -1).astype(np.uint8))


def clear(picture: Image.Image) -> Image.Image:
    """Half transparent."""
    picture.putalpha(128)
    return picture


VAST: dict[str, Callable[[Image.Image], bytes]] = {
    "PNG": saved,
    "PNG, transparent": lambda picture: saved(clear(picture)),
    "PNG, palette": lambda picture: saved(picture.quantize(64)),
    "GIF": lambda picture: saved(picture.quantize(64), "GIF"),
    "PNG, 16-bit grey": lambda picture: saved(picture.convert("L").convert("I;16")),
    "JPEG": lambda picture: saved(picture, "JPEG"),
    "JPEG, turned": lambda picture: saved(picture, "JPEG", exif=exif(6)),
    "JPEG, CMYK": lambda picture: saved(picture.convert("CMYK"), "JPEG"),
    "WebP": lambda picture: saved(picture, "WEBP", method=0),
    "WebP, transparent": lambda picture: saved(clear(picture), "WEBP", method=0),
}


def recorded() -> Iterator[Pair]:
    """However samples are stored."""
    plain = tone()
    samples, rate = soundfile.read(io.BytesIO(plain), dtype="int16")
    body = plain[44:]
    fmt = plain[20:36]

    def again(kind: str, subtype: str, channels: int = 1) -> bytes:
        out = io.BytesIO()
        given = samples / 32_768 if subtype in ("FLOAT", "DOUBLE") else samples
        soundfile.write(out, np.repeat(given[:, None], channels, 1), rate, subtype, format=kind)
        return out.getvalue()

    for kind, subtype in (
        ("WAV", "PCM_24"),
        ("WAV", "PCM_32"),
        ("WAV", "FLOAT"),
        ("WAV", "DOUBLE"),
        ("WAVEX", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("WAVEX", "FLOAT"),
    ):
        for channels in (1, 2, 6):
            yield Pair(f"{kind} of {subtype}, {channels} channels", "audio", again(kind, subtype, channels), plain)
    for kind, subtype in (
        ("WAV", "PCM_U8"),
        ("WAV", "ULAW"),
        ("WAV", "ALAW"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ):
        strange = again(kind, subtype)
        yield Pair(f"{kind} of {subtype}", "audio", strange, decoded(strange), 1e-6)
    mp3 = tone(44_100, 1.0, 2, "MP3")
    heard = decoded(mp3)
    for size in (10, 3 * 2**20):
        tag = b"ID3\4\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
        yield Pair(f"mp3 behind a tag of {size} bytes", "audio", tag + mp3, heard, 1e-6)
    yield Pair("mp3 with an old tag", "audio", mp3 + b"TAG" + bytes(125), heard, 1e-6)
    without = headless(mp3)
    yield Pair("mp3 without Xing", "audio", without, decoded(without), 1e-6)
    yield Pair("streamed flac", "audio", endless(again("FLAC", "PCM_16")), plain)
    yield Pair(
        "wav with chunks in front",
        "audio",
        chunked(("JUNK", bytes(28)), ("LIST", b"INFOabc"), ("fmt ", fmt), ("fact", bytes(4)), ("data", body)),
        plain,
    )
    yield Pair(
        "wav with chunks behind",
        "audio",
        chunked(("fmt ", fmt), ("data", body), ("LIST", b"INFO" + bytes(99)), ("id3 ", bytes(11))),
        plain,
    )
    yield Pair("wav with a longer fmt", "audio", chunked(("fmt ", fmt + b"\0\0"), ("data", body)), plain)
    yield Pair("wav with an odd chunk", "audio", chunked(("odd ", b"abc"), ("fmt ", fmt), ("data", body)), plain)
    for claimed in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFDB):
        yield Pair(f"wav from a pipe that claims {claimed:#x}", "audio", wav(body, claimed=claimed), plain)
        yield Pair(
            f"24-bit wav from a pipe that claims {claimed:#x}",
            "audio",
            wav(again("WAV", "PCM_24")[44:], bits=24, claimed=claimed),
            plain,
        )
    yield Pair("wav whose header counts itself", "audio", wav(body, claimed=len(body) + 44), plain)
    yield Pair("wav whose RIFF says nothing", "audio", plain[:4] + bytes(4) + plain[8:], plain)
    yield Pair("wav with a zip behind it", "audio", plain + b"PK\3\4" + bytes(500), plain)


def decoded(strange: bytes) -> bytes:
    """What libsndfile hears in it, as float samples."""
    samples, rate = soundfile.read(io.BytesIO(strange), dtype="float32")
    out = io.BytesIO()
    soundfile.write(out, samples, rate, "FLOAT", format="WAV")
    return out.getvalue()


def headless(mp3: bytes) -> bytes:
    """Without its first frame, which holds no sound but what LAME says of the rest (Xing)."""
    assert b"Xing" in mp3[:200] or b"Info" in mp3[:200]
    return mp3[mp3.index(mp3[:2], 4) :]
