"""Recordings that are bombs, lies, ruins and chimeras, and whole ones to make them from."""

import io
import itertools
import struct
from collections.abc import Iterator

import numpy as np
import soundfile

from tests.hostile.cases import Case, upload

MIB = 2**20
FORMATS = {"WAV": "PCM_16", "FLAC": "PCM_16", "OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}


def tone(rate: int = 8000, seconds: float = 0.5, channels: int = 1, kind: str = "WAV", subtype: str = "") -> bytes:
    t = np.arange(round(rate * seconds)) / rate
    samples = np.stack([0.5 * np.sin(2 * np.pi * (300 + 100 * c) * t) for c in range(channels)], 1)
    return written(samples.astype(np.float32), rate, kind, subtype)


def written(
    samples: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", rate: int, kind: str, subtype: str = ""
) -> bytes:
    """(frames, channels); block by block, for libsndfile's encoders overflow on long ones."""
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", rate, samples.shape[1], subtype or FORMATS[kind], format=kind) as file:
        for start in range(0, len(samples), 65_536):
            file.write(samples[start : start + 65_536])
    return out.getvalue()


def silence(rate: int, seconds: int, channels: int, kind: str, subtype: str = "") -> bytes:
    return written(np.zeros((rate * seconds, channels), np.float32), rate, kind, subtype)


def wav(
    body: bytes,
    *,
    rate: int = 8000,
    channels: int = 1,
    bits: int = 16,
    tag: int = 1,
    claimed: int | None = None,
    block: int | None = None,
) -> bytes:
    align = channels * bits // 8 if block is None else block
    head = struct.pack("<HHIIHH", tag, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    size = len(body) if claimed is None else claimed
    return chunked(("fmt ", head), ("data", body), sizes={"data": size})


def chunked(*chunks: tuple[str, bytes], sizes: dict[str, int] | None = None) -> bytes:
    made = b"".join(
        name.encode() + struct.pack("<I", (sizes or {}).get(name, len(data))) + data + b"\0" * (len(data) & 1)
        for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(made) + 4) + b"WAVE" + made


def endless(flac: bytes, frames: int = 0) -> bytes:
    """A FLAC that does not tell its length, or lies about it."""
    return flac[:18] + ((int.from_bytes(flac[18:26], "big") >> 36) << 36 | frames).to_bytes(8, "big") + flac[26:]


def absurd() -> Iterator[Case]:
    body = bytes(400_000)
    for rate in (0, 1, 100, 3999, 192_001, 2**31, 2**32 - 1):
        yield upload(f"wav of {rate} Hz", "audio", wav(body, rate=rate))
        yield upload(f"24-bit wav of {rate} Hz", "audio", wav(bytes(300_000), rate=rate, bits=24))
    for channels in (0, 9, 255, 1024, 65_535):
        yield upload(f"wav of {channels} channels", "audio", wav(body, channels=channels, block=2 * channels & 0xFFFF))
        yield upload(
            f"24-bit wav of {channels} channels",
            "audio",
            wav(body, channels=channels, bits=24, block=3 * channels & 0xFFFF),
        )
    for bits, block in ((0, 2), (65_535, 2), (16, 0), (16, 1), (64, 8), (24, 2)):
        yield upload(
            f"wav of {bits} bits in frames of {block} bytes", "audio", wav(body, bits=bits, block=block), 415, 422
        )
    for tag in (0, 2, 0x11, 0x31, 0x50, 0x55, 0x1234, 0xFFFE, 0xFFFF):
        yield upload(f"wav of encoding {tag:#x}", "audio", wav(body, tag=tag), 415, 422)
    yield upload("wav without samples", "audio", wav(b""))
    yield upload("24-bit wav without samples", "audio", wav(b"", bits=24))
    yield upload("wav whose data claim no bytes", "audio", wav(body, claimed=0))
    yield upload("wav of one byte", "audio", wav(b"\1", claimed=1))
    yield upload("wav that claims more than it has", "audio", wav(body, claimed=10**9))
    yield upload("wav without fmt", "audio", chunked(("data", body)))
    yield upload("wav without data", "audio", chunked(("fmt ", wav(b"")[20:36])))
    yield upload(
        "wav of 700000 chunks", "audio", chunked(*[("junk", b"")] * 700_000, ("fmt ", wav(b"")[20:36]), ("data", body))
    )
    yield upload("wav whose junk claims everything", "audio", chunked(("junk", body), sizes={"junk": 2**32 - 1}))
    for value in (np.nan, np.inf, -np.inf, 1e30, 65.0):
        samples = np.array([0, value, 0] * 1000, np.float32)
        yield upload(f"float wav with {value}", "audio", wav(samples.tobytes(), tag=3, bits=32))
    yield upload("double wav with NaN", "audio", wav(np.array([0, np.nan] * 999).tobytes(), tag=3, bits=64))


def hours() -> Iterator[Case]:
    yield upload("wav of 10 minutes", "audio", wav(bytes(8000 * 600 * 2)))
    yield upload("8-bit wav of 20 minutes", "audio", wav(bytes(8000 * 1200), bits=8))
    yield upload("flac of 3 hours", "audio", silence(8000, 10_800, 1, "FLAC"))
    eight = silence(48_000, 125, 8, "FLAC")
    yield upload("flac of 125 seconds and 8 channels", "audio", eight)
    yield upload("the same, and its header does not tell", "audio", endless(eight))
    yield upload(
        "flac of 3 minutes at 192 kHz that says 1 second",
        "audio",
        endless(silence(192_000, 180, 1, "FLAC"), 192_000),
        200,
        422,
    )
    yield upload("ogg of 10 minutes", "audio", silence(8000, 600, 1, "OGG"))
    yield upload("opus of 10 minutes", "audio", silence(8000, 600, 1, "OGG", "OPUS"))
    yield upload("mp3 of 10 minutes", "audio", silence(8000, 600, 1, "MP3"))


def lies() -> Iterator[Case]:
    flac = tone(kind="FLAC")
    yield upload("flac that claims 2^36 - 1 frames", "audio", endless(flac, 2**36 - 1))
    yield upload("flac that claims twice its length", "audio", endless(flac, 8000))
    for at, value, what in ((18, 0, "a rate of 0"), (10, 0xFF, "huge blocks")):
        broken = bytearray(flac)
        broken[at : at + 2] = bytes([value]) * 2
        yield upload(f"flac with {what}", "audio", bytes(broken), 200, 422)
    yield upload("flac with 10 MB of padding", "audio", flac[:4] + b"\x01\x90\0\0" + bytes(0x900000) + flac[42:])
    ogg = tone(kind="OGG")
    for channels in (0, 255):
        at = ogg.index(b"\x01vorbis") + 11
        yield upload(f"ogg of {channels} channels", "audio", ogg[:at] + bytes([channels]) + ogg[at + 1 :])
    yield upload("ogg whose last page says 2^62 samples", "audio", pages(ogg, 2**62), 422)
    yield upload("ogg of captures without pages", "audio", ogg[:4000] + b"OggS\0" * 2 * 10**6)
    for name, claimed in (("all there is", 0x0FFFFFFF), ("1 byte too much", 101)):
        size = bytes(claimed >> shift & 0x7F for shift in (21, 14, 7, 0))
        yield upload(f"id3 that claims {name}", "audio", b"ID3\4\0\0" + size + bytes(100))
    yield upload("mp3 of noise", "audio", b"\xff\xfb\x90\x00" + np.random.default_rng(0).bytes(9 * MIB))
    yield upload("mp3 of headers alone", "audio", b"\xff\xfb\x90\x00" * 2 * MIB)
    yield upload("id3 after id3", "audio", b"ID3\4\0\0\0\0\0\0" * MIB)


def pages(ogg: bytes, granule: int) -> bytes:
    """Its last page claims another position; checksums of pages are not mended."""
    at = ogg.rindex(b"OggS") + 6
    return ogg[:at] + struct.pack("<q", granule) + ogg[at + 8 :]


def ruins() -> Iterator[Case]:
    for kind in FORMATS:
        data = tone(44_100, 1.0, 2, kind)
        for share in (1, 3, 12, 40, len(data) // 2):
            statuses = (200, 422) if kind == "MP3" and share == len(data) // 2 else (415, 422)  # an MP3 is a stream
            yield upload(f"{kind} of its first {share} of {len(data)} bytes", "audio", data[:share], *statuses)
    for kind in ("WAV", "FLAC", "OGG"):
        yield upload(f"{kind} without its last byte", "audio", tone(44_100, 1.0, 2, kind)[:-1])


def chimeras() -> Iterator[Case]:
    samples = np.zeros((800, 1), np.float32)
    for kind in (
        "AIFF",
        "AU",
        "CAF",
        "W64",
        "RF64",
        "VOC",
        "IRCAM",
        "NIST",
        "PVF",
        "SVX",
        "MAT4",
        "MAT5",
        "AVR",
        "HTK",
    ):
        yield upload(f"a {kind}", "audio", written(samples, 8000, kind, "PCM_16"), 415)
    yield upload("a big-endian wav", "audio", b"RIFX" + wav(bytes(100))[4:], 415)
    yield upload(
        "an AIFF behind an ID3 tag", "audio", b"ID3\4\0\0\0\0\0\0" + written(samples, 8000, "AIFF", "PCM_16"), 415, 422
    )
    yield upload("an ADPCM wav", "audio", written(samples, 8000, "WAV", "IMA_ADPCM"), 415)
    yield upload("a GSM wav", "audio", written(samples, 8000, "WAV", "GSM610"), 415)
    yield upload("an ADTS stream", "audio", b"\xff\xf1\x50\x80" + bytes(1000), 415)
    yield upload("an MP4", "audio", b"\0\0\0\x20ftypM4A " + bytes(1000), 415)
    yield upload("a MIDI", "audio", b"MThd\0\0\0\6\0\1" + bytes(100), 415)
    yield upload("a Matroska", "audio", b"\x1a\x45\xdf\xa3" + bytes(100), 415)
    yield upload("an SDS", "audio", b"\xf0\x7e\0\1" + bytes(1000), 415)
    ogg = tone(kind="OGG")
    for codec in (b"\x80theora", b"Speex  ", b"\x7fFLAC\1\0"):
        yield upload(f"an Ogg of {codec[1:6]!r}", "audio", ogg.replace(b"\x01vorbis", codec), 415)
    yield upload("a picture", "audio", b"\x89PNG\r\n\x1a\n" + bytes(100), 415)
    yield upload("a playlist", "audio", b"#EXTM3U\nfile:///etc/passwd\n", 415)


def hostile() -> Iterator[Case]:
    return itertools.chain(absurd(), hours(), lies(), ruins(), chimeras())
