"""Samples to frames, frames to bands of power, and what comes after; plain numpy, within 1e-5 of librosa and Kaldi."""

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from service.errors import InvalidInput
from service.inputs.frames import Frames
from service.types import Array

BLOCK = 64  # frames transformed at once: the temporaries stay in the cache
Window = Literal[
    "hann", "hann_symmetric", "hamming", "hamming_symmetric", "blackman_symmetric", "povey", "rectangular"
]  # fmt: skip


class Framing(Frames):
    """How samples become frames, and frames power."""

    n_fft: int = Field(gt=1)
    win: int | None = Field(None, gt=1, description="window length; n_fft unless given")
    hop: int = Field(gt=0)
    window: Window = "hann"
    frame: Literal["n_fft", "win"] = Field(
        "n_fft", description="n_fft: the window in the middle of it, as librosa; win: followed by zeros, as Kaldi"
    )
    center: bool = Field(True, description="frame t is centred on sample t x hop; the ends are padded")
    pad: Literal["constant", "reflect"] = "constant"
    drop_last: bool = Field(False, description="without the last frame, as Whisper")
    gain: float = Field(1.0, description="of the samples; Kaldi's are 16-bit integers: 32768")
    remove_dc: bool = Field(False, description="of every frame its mean, as Kaldi")
    preemphasis: float = Field(0.0, ge=0, lt=1, description="x[t] - preemphasis x[t-1] in every frame, as Kaldi")
    power: Literal[1, 2] = 2

    @model_validator(mode="after")
    def window_fits(self) -> "Framing":
        if self.win and self.win > self.n_fft:
            raise ValueError(f"win: {self.win} is more than n_fft, {self.n_fft}")
        return self

    @property
    def size(self) -> int:
        """Samples of a frame."""
        return self.n_fft if self.frame == "n_fft" else self.win or self.n_fft


def window(name: Window, size: int) -> Array:
    """(size,) float64. Periodic unless symmetric; Kaldi's povey is a symmetric Hann to the power of 0.85."""
    periods = size - 1 if name.endswith("_symmetric") or name == "povey" else size
    angle = 2 * np.pi * np.arange(size) / periods
    if name == "rectangular":
        return np.ones(size)
    if name.startswith("hamming"):
        return np.asarray(0.54 - 0.46 * np.cos(angle))
    if name.startswith("blackman"):
        return np.asarray(0.42 - 0.5 * np.cos(angle) + 0.08 * np.cos(2 * angle))
    hann = 0.5 - 0.5 * np.cos(angle)
    return np.asarray(hann**0.85 if name == "povey" else hann)


def frames(spec: Framing, window: Array, samples: Array) -> Array:
    """(frames, len(window)): a view. A window shorter than n_fft stands in its middle, or at its start.

    Raises InvalidInput where there is not one frame.
    """
    samples = samples.astype(window.dtype, copy=False)
    if spec.gain != 1:
        samples = samples * window.dtype.type(spec.gain)
    if spec.center:
        samples = padded(samples, spec.size // 2, spec.pad)
    if len(samples) < spec.size + spec.hop * spec.drop_last:
        raise InvalidInput(f"too short: {len(samples)} samples, one frame is {spec.size}")
    count = 1 + (len(samples) - spec.size) // spec.hop - spec.drop_last
    return framed(samples, spec.size, spec.hop)[:count, (spec.size - len(window)) // 2 :][:, : len(window)]


def power(spec: Framing, bank: Array | None, window: Array, frames: Array) -> Array:
    """(frames, bands): the power, or the magnitude, that each band of `bank` (bins, bands) takes of the frequencies."""
    bands = np.empty((len(frames), spec.n_fft // 2 + 1 if bank is None else bank.shape[1]), window.dtype)
    for start in range(0, len(frames), BLOCK):
        block = frames[start : start + BLOCK]
        if spec.remove_dc:
            block = block - block.mean(1, keepdims=True)
        if spec.preemphasis:
            block = emphasised(spec.preemphasis, block)
        magnitude = np.abs(np.fft.rfft(block * window, spec.n_fft))  # vectorised, unlike real**2 + imag**2
        if spec.power == 2:
            magnitude = magnitude**2
        if bank is None:
            bands[start : start + BLOCK] = magnitude
        else:
            np.matmul(magnitude, bank, out=bands[start : start + BLOCK])
    return bands


def emphasised(factor: float, block: Array) -> Array:
    """Kaldi's: the first sample is its own predecessor."""
    before = np.concatenate((block[:, :1], block[:, :-1]), 1)
    return np.asarray(block - block.dtype.type(factor) * before)


def energy(remove_dc: bool, floor: float, frames: Array) -> Array:
    """(frames, 1) Kaldi's raw log energy: before pre-emphasis and window."""
    if remove_dc:
        frames = frames - frames.mean(1, keepdims=True)
    return np.asarray(np.log(np.maximum(np.square(frames).sum(1, keepdims=True), frames.dtype.type(floor))))


def framed(samples: Array, size: int, hop: int) -> Array:
    """(frames, size): a view, 30 times cheaper to make than by sliding_window_view. `samples` is contiguous."""
    count = 1 + (len(samples) - size) // hop
    step = samples.itemsize
    return np.ndarray((count, size), samples.dtype, samples.data, 0, (hop * step, step))


def padded(samples: Array, width: int, mode: Literal["constant", "reflect"]) -> Array:
    if mode == "reflect" and len(samples) > 1:
        return np.pad(samples, width, mode="reflect")
    out = np.zeros(len(samples) + 2 * width, samples.dtype)
    out[width : width + len(samples)] = samples
    return out


def logarithm(kind: Literal["ln", "log10", "db"], floor: float, bands: Array) -> None:
    """In place. log10 is ln times a constant: numpy's float32 ln is vectorised, its log10 is not."""
    number = bands.dtype.type
    np.maximum(bands, number(floor), out=bands)
    np.log(bands, out=bands)
    factor = {"ln": 1.0, "log10": 1 / np.log(10), "db": 10 / np.log(10)}[kind]
    if factor != 1:
        bands *= number(factor)


def cosines(bands: int, count: int) -> Array:
    """(bands, count) of the orthonormal DCT-II, as scipy.fft.dct(norm='ortho')."""
    matrix = np.cos(np.pi / bands * (np.arange(bands)[:, None] + 0.5) * np.arange(count)) * np.sqrt(2 / bands)
    matrix[:, 0] = np.sqrt(1 / bands)
    return np.asarray(matrix)


def lifter(count: int, length: float, *, first: bool) -> Array:
    """(count,) weights 1 + L/2 sin(pi i / L); i from 1 where the `first` cepstrum is lifted too, else from 0."""
    if length == 0:
        return np.ones(count)
    return np.asarray(1 + length / 2 * np.sin(np.pi * (np.arange(count) + first) / length))
