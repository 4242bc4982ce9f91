"""Samples to what a sound encoder takes: log-mel frames or the samples themselves. librosa defines, numpy computes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from service.errors import BundleError, InvalidInput
from service.types import FLOAT, Array, Spec

BLOCK = 64  # frames transformed at once: the temporaries stay in the cache


class LogMel(Spec):
    """librosa.feature.melspectrogram with the stored bank, then the logarithm, then normalisation and x scale + offset.

    `bank` is librosa.filters.mel(...) as .npy, (mels, n_fft / 2 + 1), made once when the bundle is written.
    """

    kind: Literal["log_mel"] = "log_mel"
    bank: str = "mel.npy"
    n_fft: int = Field(gt=0)
    win: int | None = Field(None, gt=0, description="window length; n_fft unless given")
    hop: int = Field(gt=0)
    center: bool = Field(True, description="frame t is centred on sample t x hop; the ends are padded")
    pad: Literal["constant", "reflect"] = "constant"
    power: Literal[1, 2] = 2
    log: Literal["ln", "log10", "db"] = "ln"
    floor: float = Field(1e-10, gt=0, description="smallest value that the logarithm sees")
    normalize: Literal["none", "clip"] = Field("none", description="clip: zero mean, unit variance over the recording")
    scale: float = 1.0
    offset: float = 0.0
    layout: Literal["mel_time", "time_mel"] = "mel_time"
    channel: bool = Field(False, description="one more axis in front, of size 1")

    def files(self) -> list[str]:
        return [self.bank]

    def frames(self, array: Array) -> int:
        return int(array.shape[-1 if self.layout == "mel_time" else -2])

    def load(self, folder: Path) -> Callable[[Array], Array]:
        """(N,) samples -> (mels, frames), transposed and extended as the layout says."""
        try:
            bank = np.load(folder / self.bank, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise BundleError(f"{self.bank}: not a .npy array") from error
        if bank.ndim != 2 or bank.shape[1] != self.n_fft // 2 + 1:
            raise BundleError(
                f"{self.bank}: shape {bank.shape}, but n_fft {self.n_fft} needs (mels, {self.n_fft // 2 + 1})"
            )
        size = self.win or self.n_fft
        window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(FLOAT)  # periodic Hann
        return partial(log_mel, self, np.ascontiguousarray(bank.T, FLOAT), window)


class Waveform(Spec):
    """The samples as they are."""

    kind: Literal["waveform"] = "waveform"

    def files(self) -> list[str]:
        return []

    def frames(self, array: Array) -> int:
        return len(array)

    def load(self, folder: Path) -> Callable[[Array], Array]:
        return np.asarray


Features = Annotated[LogMel | Waveform, Field(discriminator="kind")]


def log_mel(spec: LogMel, bank: Array, window: Array, samples: Array) -> Array:
    mel = logarithm(spec, mel_spectrogram(spec, bank, window, samples))  # (frames, mels)
    if spec.normalize == "clip":
        mel -= mel.mean()
        mel /= max(float(mel.std()), 1e-5)
    if spec.scale != 1:
        mel *= FLOAT(spec.scale)
    if spec.offset:
        mel += FLOAT(spec.offset)
    mel = mel if spec.layout == "time_mel" else np.ascontiguousarray(mel.T)
    return mel[None] if spec.channel else mel


def mel_spectrogram(spec: LogMel, bank: Array, window: Array, samples: Array) -> Array:
    """(frames, mels), within 1e-5 of librosa's. A window shorter than n_fft stands in its middle, as there.

    Raises InvalidInput where there is not one frame.
    """
    if spec.center:
        samples = padded(samples, spec.n_fft // 2, spec.pad)
    if len(samples) < spec.n_fft:
        raise InvalidInput(f"too short: {len(samples)} samples, one frame is {spec.n_fft}")
    frames = framed(samples, spec.n_fft, spec.hop)[:, (spec.n_fft - len(window)) // 2 :][:, : len(window)]
    mel = np.empty((len(frames), bank.shape[1]), FLOAT)
    for start in range(0, len(frames), BLOCK):
        spectrum = np.fft.rfft(frames[start : start + BLOCK] * window, spec.n_fft)
        magnitude = np.abs(spectrum)  # vectorised, unlike real**2 + imag**2
        np.matmul(magnitude**2 if spec.power == 2 else magnitude, bank, out=mel[start : start + BLOCK])
    return mel


def framed(samples: Array, size: int, hop: int) -> Array:
    """(frames, size): a view, 30 times cheaper to make than by sliding_window_view. `samples` is contiguous."""
    count = 1 + (len(samples) - size) // hop
    step = samples.itemsize
    return np.ndarray((count, size), samples.dtype, samples.data, 0, (hop * step, step))


def padded(samples: Array, width: int, mode: Literal["constant", "reflect"]) -> Array:
    if mode == "reflect" and len(samples) > 1:
        return np.pad(samples, width, mode="reflect")
    out = np.zeros(len(samples) + 2 * width, FLOAT)
    out[width : width + len(samples)] = samples
    return out


def logarithm(spec: LogMel, mel: Array) -> Array:
    """In place. log10 is ln times a constant: numpy's float32 ln is vectorised, its log10 is not."""
    np.maximum(mel, FLOAT(spec.floor), out=mel)
    np.log(mel, out=mel)
    factor = {"ln": 1.0, "log10": 1 / np.log(10), "db": 10 / np.log(10)}[spec.log]
    if factor != 1:
        mel *= FLOAT(factor)
    return mel
