"""Recording bytes to mono float32 samples at one rate, as librosa.load(sr=rate) gives them, under limits."""

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import soundfile
import soxr

from service.errors import InvalidInput, OverLimit, UnsupportedType
from service.limits import Limits
from service.types import FLOAT, Array

BLOCK = 65_536  # frames decoded at once; memory never follows what a header claims
ENDLESS = 2**40  # frames; libsndfile says about 2**63 of a stream whose header says nothing
TAIL = 0.1  # seconds decoded beyond the head, so that the resampler's filter sees what follows
STREAMED = 0x7F000000  # bytes; who writes a WAV to a pipe cannot know its length, and claims this or more
SLIP = 64  # bytes that writers count too much, the header for example, in a file that is whole
SHORT = {"FLAC": 0, "MP3": 2 * 1152}  # frames by which a recording may be shorter than it says
OGG = (b"\x01vorbis", b"OpusHead")  # how the first packet begins
PLAIN = {1, 3, 6, 7, 0xFFFE}  # WAV: PCM, float, A-law, mu-law, extensible
FORMATS = {"WAV", "WAVEX", "FLAC", "OGG", "MP3"}
SUBTYPES = {
    "PCM_U8", "PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS",
    "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """What a WAV's `fmt ` chunk says, and where its samples are."""

    tag: int
    channels: int
    rate: int
    block: int  # bytes of a frame
    bits: int
    start: int
    size: int  # bytes of samples that are there


class Stream(soundfile.SoundFile):  # type: ignore[misc]  # ships no types
    """Read from its beginning to its end: positions that a header claims are never sought."""

    def seekable(self) -> bool:
        return False


def read(data: bytes, rate: int, seconds: float | None, limits: Limits) -> Array:
    """(N,) float32, N <= seconds x rate: the head. Raises UnsupportedType, OverLimit, InvalidInput."""
    sniff(data)
    layout = riff(data, limits) if data[:4] == b"RIFF" else None
    if layout and layout.tag == 1 and layout.bits == 16 and layout.block == 2 * layout.channels:
        samples = resample(pcm16(data, layout, seconds, limits), layout.rate, rate)
    else:
        samples = decode(data, rate, seconds, limits)
    if len(samples) == 0:
        raise InvalidInput("a recording without samples")
    return samples if seconds is None else samples[: math.ceil(seconds * rate)]


def sniff(data: bytes) -> None:
    """The format by its first bytes; what the client calls it does not matter."""
    wav = data[:4] == b"RIFF" and data[8:12] == b"WAVE"
    ogg = data[:4] == b"OggS"
    mpeg = len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0 and data[1] & 6 != 0  # layer 0 is AAC
    if not (wav or ogg or mpeg or data[:4] == b"fLaC" or data[:3] == b"ID3"):
        raise UnsupportedType("not a WAV, FLAC, Ogg or MP3 recording")
    if ogg:
        first = data[27 + data[26] :][:8] if len(data) > 26 else b""
        if first and not first.startswith(OGG):
            raise UnsupportedType("an Ogg file that is neither Vorbis nor Opus")
        last = data.rfind(b"OggS")
        if len(data) < last + 27 or len(data) < last + 27 + data[last + 26] + sum(data[last + 27 :][: data[last + 26]]):
            raise InvalidInput("a recording that ends too early")


def riff(data: bytes, limits: Limits) -> Layout | None:
    """None: libsndfile may find more in it. Raises OverLimit, InvalidInput."""
    at, said = 12, None
    for _ in range(limits.audio_chunks):
        if at + 8 > len(data):
            return None
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt " and size >= 16 and at + 24 <= len(data):
            said = struct.unpack_from("<HHIIHH", data, at + 8)
        elif name == b"data":
            break
        at += 8 + size + (size & 1)
    else:
        raise OverLimit("too many chunks", limit=limits.audio_chunks)
    if said is None:
        return None
    tag, channels, rate, _, block, bits = said
    there, whole = len(data) - at - 8, int.from_bytes(data[4:8], "little") + 8
    if size < STREAMED and size > there + (SLIP if whole <= len(data) else 0):
        raise InvalidInput("a recording that ends too early")
    width = block // max(channels, 1)
    if tag in PLAIN and not (channels and block == width * channels and 0 < bits <= 8 * width <= 64):
        check(rate, channels, 0, limits)
        raise InvalidInput("a WAV header that contradicts itself")
    return Layout(tag, channels, rate, block, bits, at + 8, min(size, there))


def resample(samples: Array, original: int, rate: int) -> Array:
    """As librosa.resample(res_type='soxr_hq'): ceil(N rate / original) samples."""
    if original == rate:
        return samples
    return filled(soxr.resample(samples, original, rate, quality="HQ"), len(samples), original, rate)


def filled(resampled: Array, count: int, original: int, rate: int) -> Array:
    length = math.ceil(count * (rate / original))  # one more than need be where the quotient is rounded up, as there
    return np.pad(resampled[:length], (0, max(0, length - len(resampled))))


def check(rate: int, channels: int, frames: int, limits: Limits) -> None:
    """What a header says, before a sample is decoded."""
    if not limits.audio_rate_low <= rate <= limits.audio_rate_high:
        raise OverLimit(
            f"a sample rate of {rate} Hz is not in {limits.audio_rate_low} to {limits.audio_rate_high}",
            limit=limits.audio_rate_low if rate < limits.audio_rate_low else limits.audio_rate_high,
        )
    if channels > limits.audio_channels:
        raise OverLimit(f"{channels} channels", limit=limits.audio_channels)
    if limits.audio_seconds * rate < frames < ENDLESS:
        raise OverLimit(f"{frames / rate:.0f} seconds", limit=limits.audio_seconds)


def head(rate: int, seconds: float | None, limits: Limits) -> int:
    """How many frames are worth decoding; one more than allowed, so that what a header hides is found."""
    return math.ceil(limits.audio_seconds * rate) + 1 if seconds is None else math.ceil((seconds + TAIL) * rate)


def pcm16(data: bytes, layout: Layout, seconds: float | None, limits: Limits) -> Array:
    """The common case, 16-bit PCM in plain RIFF, 20 times faster than libsndfile."""
    frames = layout.size // layout.block
    check(layout.rate, layout.channels, frames, limits)
    count = min(frames, head(layout.rate, seconds, limits))
    levels = np.frombuffer(data, "<i2", count * layout.channels, layout.start)
    samples = levels * FLOAT(1 / 32768)
    return samples if layout.channels == 1 else samples.reshape(-1, layout.channels).mean(1)


def decode(data: bytes, rate: int, seconds: float | None, limits: Limits) -> Array:
    """Anything else, by libsndfile: block by block, mixed down and resampled at once."""
    try:
        with Stream(io.BytesIO(data)) as file:
            if file.format not in FORMATS or file.subtype not in SUBTYPES:
                raise UnsupportedType("a recording in an unsupported encoding")
            check(file.samplerate, file.channels, file.frames, limits)
            most = head(file.samplerate, seconds, limits)
            count, samples = resampled(mixed(file, most, limits), file.samplerate, rate)
            check(file.samplerate, 1, count, limits)
            short = SHORT.get(file.format, ENDLESS)
            if count + short < min(file.frames, most) and file.frames < ENDLESS:
                raise InvalidInput("a recording that ends too early")
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise InvalidInput("not a readable recording") from error
    return samples


def mixed(file: Stream, left: int, limits: Limits) -> Iterator[Array]:
    """Blocks of the channels' mean."""
    while left > 0 and len(block := file.read(min(BLOCK, left), "float32", always_2d=True)):
        if not (np.abs(block) <= limits.audio_peak).all():  # false for NaN, too
            raise OverLimit("a sample that is not finite or too large", limit=limits.audio_peak)
        left -= len(block)
        yield block.mean(1)


def resampled(blocks: Iterator[Array], original: int, rate: int) -> tuple[int, Array]:
    """How many samples there were, and what `resample` makes of them; memory follows the lower rate."""
    first, second = next(blocks, np.zeros(0, FLOAT)), next(blocks, None)
    if second is None:
        return len(first), resample(first, original, rate)
    stream = soxr.ResampleStream(original, rate, 1, dtype="float32", quality="HQ") if original != rate else None
    count, made = 0, []
    for block in chain((first, second), blocks):
        count += len(block)
        made.append(stream.resample_chunk(block) if stream else block)
    if stream is None:
        return count, np.concatenate(made)
    made.append(stream.resample_chunk(np.zeros(0, FLOAT), last=True))
    return count, filled(np.concatenate(made), count, original, rate)
