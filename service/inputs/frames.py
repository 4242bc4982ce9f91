"""What becomes of frames of features once they are there: normalised, cut or filled, scaled, laid out for the graph."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from service.types import FLOAT, Array, Shape, Spec


class Frames(Spec):
    normalize: Literal["none", "clip"] = Field("none", description="clip: zero mean, unit variance over the recording")
    frames: int | None = Field(None, gt=0, description="cut, or filled with 0 before scale and offset, to this many")
    scale: float = 1.0
    offset: float = 0.0
    layout: Literal["mel_time", "time_mel"] = "mel_time"
    channel: bool = Field(False, description="one more axis in front, of size 1")
    copies: int | None = Field(None, gt=1, description="one more axis in front, of that many equal copies")

    @model_validator(mode="after")
    def one_axis_in_front(self) -> "Frames":
        if self.channel and self.copies:
            raise ValueError("channel: copies add the axis already")
        return self

    def length(self, array: Array) -> int:
        """Frames, of which the last may be filling."""
        return int(array.shape[-1 if self.layout == "mel_time" else -2])

    def heard(self, samples: int) -> int:
        """Frames of that many samples before `frames` cuts or fills them."""
        raise NotImplementedError

    def bands(self, folder: Path, rate: int) -> int:
        """Numbers of a frame. Raises BundleError."""
        raise NotImplementedError

    def fixed(self, samples: int | None) -> int | None:
        """Frames, if they are always as many; of as many samples."""
        return self.frames or (None if samples is None else self.heard(samples))

    def shape(self, folder: Path, rate: int, frames: int | None) -> Shape:
        bands = self.bands(folder, rate)
        plane = (bands, frames) if self.layout == "mel_time" else (frames, bands)
        return (self.copies, *plane) if self.copies else (1, *plane) if self.channel else plane

    def finished(self, bands: Array) -> Array:
        """(frames, bands) -> float32 in its final length, numbers and layout."""
        bands = bands.astype(FLOAT, copy=False)
        if self.normalize == "clip":
            bands -= bands.mean()
            bands /= max(float(bands.std()), 1e-5)
        if self.frames is not None and len(bands) != self.frames:
            bands = resized(bands, self.frames)
        if self.scale != 1:
            bands *= FLOAT(self.scale)
        if self.offset:
            bands += FLOAT(self.offset)
        bands = bands if self.layout == "time_mel" else np.ascontiguousarray(bands.T)
        if self.copies:
            return np.stack([bands] * self.copies)
        return bands[None] if self.channel else bands


def resized(array: Array, length: int) -> Array:
    """The first axis cut, or filled with zeros."""
    out = np.zeros((length, *array.shape[1:]), array.dtype)
    out[: len(array)] = array[:length]
    return out
