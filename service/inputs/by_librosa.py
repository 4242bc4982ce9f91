"""Features that only librosa computes: chroma, constant-Q, tonnetz, ...; slower than ours, and as librosa defines them.

Loading one of these imports librosa, which takes seconds and 200 MB (numba); a bundle without them never does.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from service.errors import BundleError, InvalidInput
from service.inputs.frames import Frames
from service.types import FLOAT, Array

Function = Literal[
    "chroma_stft", "chroma_cqt", "chroma_cens", "chroma_vqt", "melspectrogram", "mfcc", "rms", "spectral_centroid",
    "spectral_bandwidth", "spectral_contrast", "spectral_flatness", "spectral_rolloff", "poly_features", "tonnetz",
    "zero_crossing_rate", "tempogram", "tempogram_ratio", "cqt", "vqt", "pseudo_cqt", "hybrid_cqt", "iirt",
]  # fmt: skip
HOP, SIZE = 512, 2048  # librosa's defaults
RATELESS = {"rms", "spectral_flatness", "zero_crossing_rate"}
GIVEN = {"y", "S", "sr"}  # by us


class Librosa(Frames):
    """librosa.feature.FUNCTION, or librosa.FUNCTION of the last five; magnitudes where it is complex."""

    kind: Literal["librosa"] = "librosa"
    function: Function
    options: dict[str, bool | int | float | str | list[float] | None] = Field({}, description="its keyword arguments")
    log: Literal["none", "power", "amplitude"] = Field("none", description="librosa's power_to_db or amplitude_to_db")

    @field_validator("options")
    @classmethod
    def not_ours(cls, options: dict[str, Any]) -> dict[str, Any]:
        if taken := GIVEN & options.keys():
            raise ValueError(f"{', '.join(sorted(taken))}: Braid gives the samples and their rate itself")
        return options

    def files(self) -> list[str]:
        return []

    def heard(self, samples: int) -> int:
        """Frames of that many samples before `frames` cuts or fills them."""
        hop = int(str(self.options.get("hop_length") or HOP))
        if self.options.get("center", True):
            return 1 + samples // hop
        size = self.options.get("frame_length") or self.options.get("n_fft") or SIZE
        return 1 + max(0, samples - int(str(size))) // hop

    def bands(self, folder: Path, rate: int) -> int:
        """Known when it has run."""
        array = self.load(folder, rate)(noise(rate))
        return int(array.shape[-2 if self.layout == "mel_time" else -1])

    def load(self, folder: Path, rate: int) -> Callable[[Array], Array]:
        """(N,) samples -> what librosa makes of them, in its final layout. Raises BundleError."""
        try:
            import librosa
        except ImportError as error:
            raise BundleError("features: librosa is not installed; try: pip install librosa") from error
        warnings.filterwarnings("ignore", module="librosa")  # they hold lengths of uploads
        function = getattr(librosa.feature, self.function, None) or getattr(librosa, self.function)
        given = {} if self.function in RATELESS else {"sr": rate}
        decibels = {"power": librosa.power_to_db, "amplitude": librosa.amplitude_to_db}.get(self.log)

        def features(samples: Array) -> Array:
            try:
                array = function(y=samples, **given, **self.options)
            except librosa.ParameterError as error:
                raise InvalidInput("too short for this model's features") from error
            array = np.abs(array) if np.iscomplexobj(array) else array
            return self.finished((decibels(array) if decibels else array).T)

        self.tried(features, rate)
        return features

    def tried(self, features: Callable[[Array], Array], rate: int) -> None:
        """Raises BundleError. numba compiles here, so that no request waits for it."""
        samples = noise(rate)
        try:
            array = features(samples)
        except Exception as error:  # an option that it does not know, or a value that it cannot take
            raise BundleError(f"features: librosa's {self.function} with these options: {error}") from error
        if self.frames is None and self.length(array) != self.heard(len(samples)):
            counts = f"{self.length(array)} frames of {len(samples)} samples, not {self.heard(len(samples))}"
            raise BundleError(f"features: librosa's {self.function} makes {counts}, as hop_length and center would")


def noise(rate: int) -> Array:
    """Two seconds of samples that every feature can be computed of."""
    return np.random.default_rng(0).normal(0, 0.1, 2 * rate).astype(FLOAT)
