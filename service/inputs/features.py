"""What a sound encoder takes, as the manifest names it: log-mel frames, cepstra, or the samples themselves."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from service.errors import BundleError, InvalidInput
from service.inputs import spectrum
from service.inputs.frames import resized
from service.types import FLOAT, Array, Shape, Spec


class Spectral(spectrum.Framing):
    """Frames, their power by frequency, a bank over it, a logarithm.

    `bank` is a matrix (bands, n_fft / 2 + 1) as .npy, such as librosa.filters.mel(...), made once when the bundle is
    written. librosa defines, and Kaldi (Povey et al., 2011) where the keys say so.
    """

    bank: str | None = Field("mel.npy", description="file of the filter bank; null: the frequencies themselves")
    log: Literal["ln", "log10", "db", "none"] = "ln"
    floor: float = Field(1e-10, gt=0, description="smallest value that the logarithm sees")
    reference: Literal["one", "max"] = Field("one", description="max: the loudest is 0 of the logarithm")
    range: float | None = Field(None, gt=0, description="nothing is lower than the loudest minus this, after the log")
    energy: bool = Field(False, description="Kaldi's log energy in front of the bands, or as the first cepstrum")
    double: bool = Field(False, description="float64 until the logarithm is taken: quiet bands to 0.003 dB, not 0.03")

    @model_validator(mode="after")
    def possible(self) -> "Spectral":
        if self.energy and self.log != "ln":
            raise ValueError("energy: needs log ln")
        return self

    def files(self) -> list[str]:
        return [self.bank] if self.bank else []

    def heard(self, samples: int) -> int:
        """Frames of that many samples before `frames` cuts or fills them."""
        around = 2 * (self.size // 2) if self.center else 0
        return 1 + (samples + around - self.size) // self.hop - self.drop_last

    def bands(self, folder: Path, rate: int) -> int:
        bank = self.matrix(folder)
        return (self.n_fft // 2 + 1 if bank is None else len(bank)) + self.energy

    def matrix(self, folder: Path) -> Array | None:
        """(bands, bins). Raises BundleError."""
        if self.bank is None:
            return None
        try:
            bank: Array = np.load(folder / self.bank, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise BundleError(f"{self.bank}: not a .npy array") from error
        if bank.ndim != 2 or bank.shape[1] != self.n_fft // 2 + 1:
            raise BundleError(
                f"{self.bank}: shape {bank.shape}, but n_fft {self.n_fft} needs (mels, {self.n_fft // 2 + 1})"
            )
        return bank

    def spectra(self, folder: Path) -> Callable[[Array], Array]:
        """(N,) samples -> (frames, bands), logarithms."""
        bank, dtype = self.matrix(folder), np.float64 if self.double else FLOAT
        columns = None if bank is None else np.ascontiguousarray(bank.T, dtype)
        return partial(logarithms, self, columns, spectrum.window(self.window, self.win or self.n_fft).astype(dtype))


class LogMel(Spectral):
    """The bands themselves: log-mel, Kaldi's fbank, linear filter banks."""

    kind: Literal["log_mel"] = "log_mel"

    def load(self, folder: Path, rate: int | None = None) -> Callable[[Array], Array]:
        """(N,) samples -> (bands, frames), transposed and extended as the layout says."""
        spectra = self.spectra(folder)
        return lambda samples: self.finished(spectra(samples))


class Mfcc(Spectral):
    """Mel-frequency cepstra (Davis & Mermelstein, 1980), by default as librosa.feature.mfcc: DCT-II of decibels."""

    kind: Literal["mfcc"] = "mfcc"
    log: Literal["ln", "log10", "db", "none"] = "db"
    range: float | None = Field(80.0, gt=0, description="nothing is lower than the loudest minus this, after the log")
    count: int = Field(20, gt=0, description="cepstra, from the lowest")
    lifter: float = Field(0.0, ge=0, description="emphasis of higher cepstra; 0: none, Kaldi's is 22")
    liftering: Literal["librosa", "kaldi"] = Field("librosa", description="kaldi: one step later, so C0 stays")

    def bands(self, folder: Path, rate: int) -> int:
        return self.count

    def load(self, folder: Path, rate: int | None = None) -> Callable[[Array], Array]:
        """(N,) samples -> (count, frames), transposed and extended as the layout says."""
        bank, spectra = self.matrix(folder), self.spectra(folder)
        bands = self.n_fft // 2 + 1 if bank is None else len(bank)
        if self.count > bands:
            raise BundleError(f"count: {self.count} cepstra of {bands} bands")
        lifter = spectrum.lifter(self.count, self.lifter, first=self.liftering == "librosa")
        matrix = (spectrum.cosines(bands, self.count) * lifter).astype(np.float64 if self.double else FLOAT)

        def cepstra(samples: Array) -> Array:
            bands = spectra(samples)
            out: Array = bands[:, self.energy :] @ matrix
            if self.energy:
                out[:, 0] = bands[:, 0]
            return self.finished(out)

        return cepstra


class Waveform(Spec):
    """The samples as they are, or with zero mean and unit variance, as Wav2Vec2 takes them."""

    kind: Literal["waveform"] = "waveform"
    normalize: Literal["none", "clip"] = Field("none", description="clip: zero mean, unit variance over the recording")
    samples: int | None = Field(None, gt=0, description="cut, or filled with 0 after normalising, to this many")
    least: int = Field(1, gt=0, description="fewer samples are refused: convolutions without padding need some")

    @property
    def copies(self) -> None:
        return None

    def files(self) -> list[str]:
        return []

    def length(self, array: Array) -> int:
        """Samples, of which the last may be filling."""
        return len(array)

    def heard(self, samples: int) -> int:
        return samples

    def fixed(self, samples: int | None) -> int | None:
        """Samples, if they are always as many."""
        return self.samples or samples

    def shape(self, folder: Path, rate: int, samples: int | None) -> Shape:
        return (samples,)

    def load(self, folder: Path, rate: int | None = None) -> Callable[[Array], Array]:
        """(N,) -> (N,)."""
        return partial(waveform, self)


def logarithms(spec: Spectral, bank: Array | None, window: Array, samples: Array) -> Array:
    """(frames, bands), with the energy in front if there is one. Raises InvalidInput where there is not one frame."""
    frames = spectrum.frames(spec, window, samples)
    bands = spectrum.power(spec, bank, window, frames)
    if spec.log != "none":
        spectrum.logarithm(spec.log, spec.floor, bands)
    if spec.reference == "max":
        bands -= bands.max()
    if spec.range is not None:
        np.maximum(bands, bands.max() - bands.dtype.type(spec.range), out=bands)
    if spec.energy:
        bands = np.concatenate((spectrum.energy(spec.remove_dc, spec.floor, frames), bands), 1)
    return bands


def waveform(spec: Waveform, samples: Array) -> Array:
    """The formula of transformers' Wav2Vec2FeatureExtractor. Raises InvalidInput."""
    if len(samples) < spec.least:
        raise InvalidInput(f"too short: {len(samples)} samples, this model needs {spec.least}")
    if spec.normalize == "clip":
        samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    return resized(samples, spec.samples) if spec.samples else samples
