"""Recording bytes to features and their frame mask, step by step as the manifest names them."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from service.inputs import wave
from service.inputs.by_librosa import Librosa
from service.inputs.features import LogMel, Mfcc, Waveform
from service.inputs.part import Part
from service.limits import DEFAULTS, Limits
from service.types import FLOAT, Anew, Array, Encode, Made, Row, Shape, Spec

DENSE = 100  # bytes of samples that a byte of a compressed recording may hold

Features = Annotated[LogMel | Mfcc | Waveform | Librosa, Field(discriminator="kind")]


class Trim(Spec):
    """Silence at both ends, as librosa.effects.trim(top_db, frame_length, hop_length) removes it."""

    top_db: float = Field(30.0, gt=0, description="decibels under the loudest frame that count as silence")
    frame: int = Field(512, gt=0)
    hop: int = Field(128, gt=0)


class Tensors(Spec):
    """The graph's names for what a recording becomes; `mask` (frames,) lets recordings of any length share a batch."""

    features: str
    mask: str | None = Field(None, description="1 on the recording, 0 on what `frames` or `samples` has filled")
    length: str | None = Field(None, description="how many frames or samples are the recording, one number, as NeMo's")
    longer: str | None = Field(None, description="CLAP's is_longer (1,): whether copies are to be fused")


class Audio(Part):
    """decode, mono, resample, level, trim, head, fill to the least length, features; in this order."""

    kind: Literal["audio"] = "audio"
    sample_rate: int = Field(gt=0)
    max_seconds: float | None = Field(None, gt=0, description="longer recordings keep their head")
    min_seconds: float = Field(0.0, ge=0, description="shorter recordings are filled to this")
    fill: Literal["silence", "repeat", "repeat_pad"] = Field(
        "silence", description="after the recording; repeat: itself, cut; repeat_pad: whole repeats, then silence"
    )
    level: Literal["as_is", "peak"] = Field("as_is", description="peak: divided by the largest absolute sample")
    trim: Trim | None = None
    features: Features
    alike: bool = Field(False, description="only recordings of one size share a run, though there is a mask")
    tensors: Tensors
    fixed: ClassVar[str] = (
        "frames or samples of its features fix its length, and so do equal min_seconds and max_seconds"
    )

    @model_validator(mode="after")
    def possible(self) -> "Audio":
        if self.max_seconds is not None and self.min_seconds > self.max_seconds:
            raise ValueError(f"min_seconds: {self.min_seconds} is more than max_seconds, {self.max_seconds}")
        if self.fill != "silence" and not self.min_seconds:
            raise ValueError(f"fill: {self.fill} needs min_seconds")
        return self

    def files(self) -> list[str]:
        return self.features.files()

    def count(self, seconds: float) -> int:
        """Samples; a whole number of them stays one, however its seconds are rounded."""
        return math.ceil(round(seconds * self.sample_rate, 6))

    def masks(self) -> Mapping[str, str]:
        mask = self.tensors.mask or self.tensors.length
        if mask is None or self.alike:
            return {}
        return {name: mask for name in (self.tensors.features, self.tensors.mask) if name}

    def makes(self, folder: Path) -> dict[str, Made]:
        """Tensor -> its type and shape, None where it varies. Raises BundleError."""
        least = self.count(self.min_seconds)
        always = least if self.max_seconds and least == self.count(self.max_seconds) else None
        return self._made(folder, self.features.fixed(always))

    def zeros(self, folder: Path) -> dict[str, Shape]:
        """Of samples a second: one is too little for convolutions."""
        made = self.makes(folder)
        if self.features.kind == "waveform" and None in made[self.tensors.features].shape:
            made = self._made(folder, max(self.features.least, self.count(self.min_seconds or 1.0)))
        return {tensor: each.shape for tensor, each in made.items()}

    def _made(self, folder: Path, length: int | None) -> dict[str, Made]:
        made = {self.tensors.features: Made(FLOAT, self.features.shape(folder, self.sample_rate, length))}
        if self.tensors.mask:
            made[self.tensors.mask] = Made(np.bool_, (length,))
        if self.tensors.length:
            made[self.tensors.length] = Made(np.int64, ())
        if self.tensors.longer:
            made[self.tensors.longer] = Made(np.bool_, (1,))
        return made

    def limit(self, limits: Limits) -> int:
        return limits.audio_bytes

    def bulk(self, data: bytes) -> int:
        """Bytes of a WAV; of another format as many as it might decode to."""
        return len(data) if data[:4] == b"RIFF" else DENSE * len(data)

    def load(self, folder: Path, limits: Limits = DEFAULTS) -> Encode:
        return partial(encode, self, limits, self.features.load(folder, self.sample_rate))

    def anew(self, folder: Path, limits: Limits) -> Anew:
        """The function from what `bare` gives, changed or not, to tensors."""
        return partial(tensors, self, self.features.load(folder, self.sample_rate))

    def bare(self, data: bytes, limits: Limits) -> Array:
        """The samples before all else, (N,) float32. Raises what decoding raises."""
        # silence in front must not use up the head
        return wave.read(data, self.sample_rate, None if self.trim else self.max_seconds, limits)


def encode(spec: Audio, limits: Limits, features: Callable[[Array], Array], data: bytes) -> Row:
    """features as their kind says, mask (frames,) float32, longer (1,) bool.

    Raises UnsupportedType, OverLimit, InvalidInput.
    """
    return tensors(spec, features, spec.bare(data, limits))


def tensors(spec: Audio, features: Callable[[Array], Array], samples: Array) -> Row:
    if spec.level == "peak":
        samples = samples / max(float(np.abs(samples).max()), 1e-9)
    if spec.trim:
        samples = trimmed(spec.trim, samples)
    if spec.max_seconds:
        samples = samples[: spec.count(spec.max_seconds)]
    least = spec.count(spec.min_seconds)
    if len(samples) < least:
        samples = filled(spec.fill, samples, least)
    array = features(samples.astype(FLOAT, copy=False))
    row = {spec.tensors.features: array}
    if spec.tensors.mask:
        mask = row[spec.tensors.mask] = np.ones(spec.features.length(array), FLOAT)
        mask[spec.features.heard(len(samples)) :] = 0
    if spec.tensors.length:
        row[spec.tensors.length] = np.array(min(spec.features.heard(len(samples)), spec.features.length(array)))
    if spec.tensors.longer:
        row[spec.tensors.longer] = np.array([spec.features.copies is not None])
    return row


def filled(how: Literal["silence", "repeat", "repeat_pad"], samples: Array, length: int) -> Array:
    """`length` samples; transformers' names are pad, repeat and repeatpad."""
    if how == "repeat" and len(samples):
        return np.resize(samples, length)
    if how == "repeat_pad" and len(samples):
        samples = np.tile(samples, length // len(samples))
    return np.concatenate((samples, np.zeros(length - len(samples), FLOAT)))


def trimmed(spec: Trim, samples: Array) -> Array:
    """librosa.effects.trim: from the first to the last frame louder than top_db under the loudest."""
    half = spec.frame // 2
    energy = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))  # energy[i]: of the first i
    centres = np.arange(0, len(samples) + 1, spec.hop)
    ends, starts = np.minimum(centres + half, len(samples)), np.maximum(centres - half, 0)
    mean = (energy[ends] - energy[starts]) / spec.frame  # (frames,) mean square, zero beyond the ends
    loud = np.flatnonzero(np.maximum(mean, 1e-10) > max(float(mean.max()), 1e-10) * 10 ** (-spec.top_db / 10))
    if len(loud) == 0:
        return samples[:0]
    return samples[loud[0] * spec.hop : min(len(samples), (loud[-1] + 1) * spec.hop)]
