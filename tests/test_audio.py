"""Recordings: the steps that a manifest names, between decoding and features."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.inputs.audio import Audio, Trim, trimmed
from service.types import Row
from tests import senses
from tests.oracle import librosa


def encode(data: bytes, **options: Any) -> Row:
    tensors = {"features": "samples", "mask": "mask"}
    spec = Audio.model_validate({"sample_rate": 8000, "features": {"kind": "waveform"}, "tensors": tensors, **options})
    return spec.load(Path())(data)


def padded(before: float, loud: float, after: float, level: float = 0.5) -> NDArray[np.float32]:
    """Seconds of faint noise, of a tone, of faint noise."""
    start, length, rest = (round(8000 * seconds) for seconds in (before, loud, after))
    noise = np.random.default_rng(0).normal(0, 1e-4, start + length + rest)
    noise[start : start + length] += level * np.sin(np.arange(length) * 0.7)
    return noise.astype(np.float32)


@given(
    st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5),
    st.sampled_from([(512, 128), (2048, 512), (400, 160)]), st.sampled_from([20.0, 30.0, 60.0]),
)  # fmt: skip
def test_trimming_is_librosas(before: float, loud: float, after: float, sizes: tuple[int, int], top_db: float) -> None:
    samples = padded(before, loud, after)
    if len(samples):
        expected, _ = librosa.effects.trim(samples, top_db=top_db, frame_length=sizes[0], hop_length=sizes[1])
        np.testing.assert_array_equal(trimmed(Trim(top_db=top_db, frame=sizes[0], hop=sizes[1]), samples), expected)


def test_silence_in_front_does_not_use_up_the_head() -> None:
    silence = bytes(2 * 8000 * 3)
    late = senses.wav(0.5, 0.5)
    late = late[:40] + (len(silence) + len(late) - 44).to_bytes(4, "little") + silence + late[44:]
    samples = encode(late, trim={}, max_seconds=1.0)["samples"]
    assert np.abs(samples).max() == pytest.approx(0.5)


def test_a_long_recording_keeps_its_head() -> None:
    assert len(encode(senses.wav(seconds=2.0), max_seconds=0.5)["samples"]) == 4000


def test_a_short_one_is_followed_by_silence() -> None:
    row = encode(senses.wav(0.5, 0.1), min_seconds=0.2)
    assert np.abs(row["samples"]).tolist() == [0.5] * 800 + [0] * 800
    assert row["mask"].tolist() == [1] * 1600


def test_only_a_level_of_peak_makes_it_loud() -> None:
    assert np.abs(encode(senses.wav(0.125))["samples"]).max() == 0.125
    assert np.abs(encode(senses.wav(0.125), level="peak")["samples"]).max() == pytest.approx(1)


@pytest.mark.parametrize("level", ["as_is", "peak"])
def test_digital_silence_stays_silence(level: str) -> None:
    row = encode(senses.wav(0.0), level=level, trim={}, min_seconds=0.1)
    assert len(row["samples"]) >= 800
    assert not row["samples"].any()


def test_silence_that_is_trimmed_away_still_makes_a_row() -> None:
    row = encode(senses.wav(0.0), trim={})
    assert row["samples"].dtype == np.float32
    assert len(row["samples"]) == len(row["mask"])


def test_without_a_mask_tensor_there_is_none() -> None:
    assert encode(senses.wav(), tensors={"features": "samples"}).keys() == {"samples"}
