"""Recordings: bytes to mono samples at one rate; librosa.load(sr=...) is the reference."""

import io
import math
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import InvalidInput, OverLimit, RequestError, UnsupportedType
from service.inputs import wave
from service.limits import DEFAULTS, Limits
from tests import senses
from tests.oracle import librosa

RATE = 8000
ENCODINGS = [
    ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
    ("WAV", "ULAW"), ("WAV", "ALAW"), ("WAVEX", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"),
    ("MP3", "MPEG_LAYER_III"),
]  # fmt: skip


def recording(
    rate: int = 16000, seconds: float = 0.4, channels: int = 1, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    t = np.arange(round(rate * seconds)) / rate
    samples = np.stack([0.6 * np.sin(2 * np.pi * (300 + 170 * c) * t**1.5) for c in range(channels)], 1)
    out = io.BytesIO()
    soundfile.write(out, samples.astype(np.float32), rate, subtype, format=kind)
    return out.getvalue()


def read(data: bytes, seconds: float | None = None, limits: Limits = DEFAULTS) -> NDArray[np.float32]:
    return wave.read(data, RATE, seconds, limits)


def reference(data: bytes) -> NDArray[Any]:
    return np.asarray(librosa.load(io.BytesIO(data), sr=RATE)[0])


def pcm(frames: int, claimed: int | None = None, *, rate: int = RATE, channels: int = 1, bits: int = 16) -> bytes:
    """A WAV of zeros whose header may lie about its length."""
    body = bytes(frames * channels * bits // 8)
    block = channels * bits // 8
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * block, block, bits)
    size = len(body) if claimed is None else claimed
    data = b"WAVE" + head + b"data" + struct.pack("<I", size) + body
    return b"RIFF" + struct.pack("<I", len(data)) + data


# -- the reference ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "subtype"), ENCODINGS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_encoding_is_read_as_librosa_reads_it(kind: str, subtype: str, channels: int) -> None:
    data = recording(channels=channels, kind=kind, subtype=subtype)
    np.testing.assert_allclose(read(data), reference(data), atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
def test_every_rate_is_resampled_as_librosa_does(rate: int, kind: str) -> None:
    data = recording(rate, channels=2, kind=kind)
    np.testing.assert_allclose(read(data), reference(data), atol=1e-5)


@pytest.mark.parametrize("kind", ["WAV", "FLAC"])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_head_of_a_long_recording_is_that_of_the_whole(kind: str, rate: int) -> None:
    data = recording(rate, 3.0, kind=kind)
    head = read(data, seconds=1.0)
    assert len(head) == RATE
    np.testing.assert_allclose(head, reference(data)[:RATE], atol=1e-5)


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_a_long_recording_is_resampled_as_in_one_piece(rate: int) -> None:
    data = recording(rate, 10 * wave.BLOCK / rate / 3, channels=2, kind="FLAC")
    np.testing.assert_allclose(read(data), reference(data), atol=1e-5)


def test_opus_at_its_own_rate_is_read() -> None:
    data = recording(48000, kind="OGG", subtype="OPUS")
    np.testing.assert_allclose(read(data), reference(data), atol=1e-5)


@given(st.integers(4000, 192_000), st.integers(1, 3000))
def test_the_length_is_what_librosa_says(rate: int, frames: int) -> None:
    assert len(read(pcm(frames, rate=rate))) == math.ceil(frames * (RATE / rate))  # in floats, as there


def test_chunks_before_the_samples_are_skipped() -> None:
    plain = senses.wav(0.5)
    listed = plain[:12] + b"LIST" + struct.pack("<I", 5) + b"hello\0" + plain[12:]
    np.testing.assert_array_equal(read(listed), read(plain))


def test_a_truncated_wav_is_refused_wherever_it_is_cut_but_a_header_that_counts_itself_is_a_slip() -> None:
    for bits in (16, 24):
        plain = pcm(1000, bits=bits)
        for missing in (1, 2, 44, 64, 1000):
            with pytest.raises(InvalidInput):
                read(plain[:-missing])
        assert len(read(pcm(1000, claimed=1000 * bits // 8 + 44, bits=bits))) == 1000


@pytest.mark.parametrize("claimed", [0xFFFFFFFF, 0x7FFFFFFF, 2044])
def test_a_stream_that_could_not_know_its_length_is_read_to_its_end(claimed: int) -> None:
    assert len(read(pcm(1000, claimed), limits=Limits(audio_seconds=10_000_000))) == 1000


def streamed(flac: bytes) -> bytes:
    """A FLAC that was written to a pipe: its header does not tell its length (RFC 9639, 8.2)."""
    return flac[:18] + ((int.from_bytes(flac[18:26], "big") >> 36) << 36).to_bytes(8, "big") + flac[26:]


def test_a_flac_of_unknown_length_is_read_to_its_end() -> None:
    plain = recording(RATE, 1.0, kind="FLAC")
    np.testing.assert_array_equal(read(streamed(plain)), read(plain))
    with pytest.raises(OverLimit):
        read(streamed(plain), limits=Limits(audio_seconds=0.9))


def claiming(flac: bytes, frames: int) -> bytes:
    plain = streamed(flac)
    return plain[:18] + (int.from_bytes(plain[18:26], "big") | frames).to_bytes(8, "big") + plain[26:]


@pytest.mark.parametrize(
    "data",
    [
        pcm(1000, 10_000),
        pcm(1000, 10_000, bits=24),
        claiming(recording(RATE, 1.0, kind="FLAC"), 10_000),
        recording(RATE, 1.0, kind="FLAC")[:-1],
        recording(44100, 2.0, kind="MP3", subtype="MPEG_LAYER_III")[:8000],
        recording(44100, 2.0, kind="OGG", subtype="VORBIS")[:-1],
        recording(48000, 2.0, kind="OGG", subtype="OPUS")[:8000],
    ],
)
def test_a_recording_that_ends_too_early_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(data)


@pytest.mark.parametrize(("at", "value"), [(22, 0), (32, 0), (32, 1), (34, 0), (34, 999)])
def test_a_wav_header_that_contradicts_itself_is_refused(at: int, value: int) -> None:
    for plain in (pcm(100), pcm(100, bits=24)):
        with pytest.raises(InvalidInput):
            read(plain[:at] + struct.pack("<H", value) + plain[at + 2 :])


def test_aac_theora_and_speex_are_other_formats() -> None:
    ogg = recording(48000, kind="OGG", subtype="OPUS")
    for data in (
        b"\xff\xf1" + bytes(100),
        ogg.replace(b"OpusHead", b"\x80theora"),
        ogg.replace(b"OpusHead", b"Speex   "),
    ):
        with pytest.raises(UnsupportedType):
            read(data)


@pytest.mark.parametrize("bits", [16, 24])
def test_bytes_after_the_announced_samples_are_not_sound(bits: int) -> None:
    assert len(read(pcm(1000, 200 * bits // 8, bits=bits))) == 200


# -- limits -----------------------------------------------------------------------------------------------------------


def faulty(value: float) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.array([0, value, 0], np.float32), RATE, "FLOAT", format="WAV")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "limit"),
    [
        (pcm(121 * RATE), 120),
        (recording(RATE, 121, kind="FLAC"), 120),
        (recording(RATE, 121, kind="OGG", subtype="VORBIS"), 120),
        (recording(RATE, 121, kind="MP3", subtype="MPEG_LAYER_III"), 120),
        (pcm(100, channels=9), 8),
        (pcm(100, channels=9, bits=24), 8),
        (pcm(100, rate=1), 4000),
        (pcm(100, rate=3999, bits=24), 4000),
        (pcm(100, rate=192_001), 192_000),
        (pcm(100, rate=0), 4000),
        (faulty(float("nan")), 64),
        (faulty(float("inf")), 64),
        (faulty(-65.0), 64),
        (senses.wav()[:12] + b"junk\0\0\0\0" * 2000 + senses.wav()[12:], 2000),
    ],
)
@pytest.mark.parametrize("seconds", [None, 1.0])
def test_limits_are_held(data: bytes, limit: float, seconds: float | None) -> None:
    with pytest.raises(OverLimit) as refusal:
        read(data, seconds)
    assert refusal.value.limit == limit


@pytest.mark.parametrize("data", [pcm(120 * RATE), pcm(100, rate=4000), pcm(100, channels=8), faulty(64.0)])
def test_up_to_the_limits_recordings_are_taken(data: bytes) -> None:
    assert len(read(data)) > 0


@pytest.mark.parametrize("data", [pcm(0), pcm(0, bits=24), pcm(0, channels=2), pcm(1, claimed=0)])
def test_a_recording_without_samples_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(data)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"caff" + bytes(100), b"FORM" + bytes(100), b".snd" + bytes(100)])
def test_other_formats_are_not_opened(data: bytes) -> None:
    with pytest.raises(UnsupportedType):
        read(data)


def test_an_unusual_encoding_is_named_as_unsupported() -> None:
    with pytest.raises(UnsupportedType):
        read(recording(kind="WAV", subtype="IMA_ADPCM"))


@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")]
)
@given(data=st.data())
def test_damage_is_a_refusal_or_sound_and_never_anything_else(kind: str, subtype: str, data: st.DataObject) -> None:
    good = bytearray(recording(RATE, 0.05, kind=kind, subtype=subtype))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, min(len(good) - 1, 200)))] = data.draw(st.integers(0, 255))
    damaged = bytes(good[: data.draw(st.integers(0, len(good)))])
    with suppress(RequestError):  # nothing else
        samples = read(damaged, 1.0)
        assert np.isfinite(samples).all()
        assert 0 < len(samples) <= RATE
