"""Picture bytes to one normalised tensor, step by step as the manifest names them."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import PIL.Image
from pydantic import Field

from service.inputs.picture import Alpha, Depth, Picture, read
from service.limits import DEFAULTS, Limits
from service.types import FLOAT, Array, Encode, Row, Spec

RESAMPLE = {name.lower(): member for name, member in PIL.Image.Resampling.__members__.items()}
DENSE = 100  # pixels that a byte of a compressed picture may hold

Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]


class Exact(Spec):
    """To this size; the aspect is not kept."""

    to: Literal["exact"] = "exact"
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    resample: Resample = "bilinear"

    def size(self, width: int, height: int) -> tuple[int, int]:
        return self.width, self.height


class Shortest(Spec):
    """The shorter edge to `edge`, the other by the same ratio, rounded down."""

    to: Literal["shortest"] = "shortest"
    edge: int = Field(gt=0)
    resample: Resample = "bilinear"

    def size(self, width: int, height: int) -> tuple[int, int]:
        short, long = min(width, height), max(width, height)
        other = self.edge * long // short
        return (self.edge, other) if width <= height else (other, self.edge)


class Crop(Spec):
    """The middle; what reaches beyond the picture is zero."""

    height: int = Field(gt=0)
    width: int = Field(gt=0)


class Ink(Spec):
    """A drawn sign as in MNIST (LeCun et al., 1998): bright ink on black, its longer side `box`, centred by mass.

    Paper is the median of the border; dark ink on bright paper is inverted; contrast is stretched to the darkest ink.
    """

    size: int = Field(28, gt=0)
    box: int = Field(20, gt=0)
    threshold: float = Field(0.2, gt=0, lt=1, description="share of the strongest ink that still counts as ink")
    contrast: int = Field(16, gt=0, lt=256, description="grey levels below which a picture is blank")
    resample: Resample = "bilinear"


class Tensors(Spec):
    pixels: str


class Image(Spec):
    """decode, upright, mode, ink or resize and crop, x scale, - mean, / std, layout; in this order."""

    kind: Literal["image"] = "image"
    mode: Literal["L", "RGB"] = "RGB"
    depth: Depth = Field("scale", description="16-bit grey: scaled to 8 bit, or clipped as Pillow")
    alpha: Alpha = Field("white", description="transparency: laid on white, or dropped")
    ink: Ink | None = None
    resize: Annotated[Exact | Shortest, Field(discriminator="to")] | None = None
    crop: Crop | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    layout: Literal["chw", "hwc"] = "chw"
    dtype: Literal["float32", "uint8"] = Field("float32", description="uint8: the graph normalises")
    tensors: Tensors

    def files(self) -> list[str]:
        return []

    def masks(self) -> Mapping[str, str]:
        return {}

    def limit(self, limits: Limits) -> int:
        return limits.image_bytes

    def bulk(self, data: bytes) -> int:
        """Pixels of a PNG, from its header; of another format as many as its bytes might hold."""
        if data[:4] == b"\x89PNG":
            return int.from_bytes(data[16:20], "big") * int.from_bytes(data[20:24], "big")
        return DENSE * len(data)

    def load(self, folder: Path, limits: Limits = DEFAULTS) -> Encode:
        return partial(encode, self, limits, normalizer(self))


def encode(spec: Image, limits: Limits, normalize: Callable[[Array], Array], data: bytes) -> Row:
    """pixels (C, H, W) or (H, W, C). Raises UnsupportedType, OverLimit, InvalidInput."""
    picture = read(data, spec.mode, spec.depth, spec.alpha, limits)
    if spec.ink:
        return {spec.tensors.pixels: normalize(drawn(spec.ink, levels(picture)[..., 0])[..., None])}
    return {spec.tensors.pixels: normalize(levels(framed(spec, picture)))}


def levels(picture: Picture) -> Array:
    """(H, W, C) uint8."""
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, picture.width, -1)


def framed(spec: Image, picture: Picture) -> Picture:
    """Resized and cropped, by Pillow."""
    if spec.resize and picture.size != (size := spec.resize.size(*picture.size)):
        picture = picture.resize(size, RESAMPLE[spec.resize.resample])
    if spec.crop and picture.size != (spec.crop.width, spec.crop.height):
        left, top = (picture.width - spec.crop.width) // 2, (picture.height - spec.crop.height) // 2
        picture = picture.crop((left, top, left + spec.crop.width, top + spec.crop.height))
    return picture


def drawn(spec: Ink, pixels: Array) -> Array:
    """(H, W) uint8 grey -> (size, size) uint8, bright ink on black."""
    canvas = np.zeros((spec.size, spec.size), np.uint8)
    border = np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))
    paper = int(np.median(border))
    ink = paper - np.minimum(pixels, paper) if paper > 127 else np.maximum(pixels, paper) - paper
    peak = int(ink.max())
    if peak < spec.contrast:
        return canvas
    marks = ink > spec.threshold * peak
    rows, columns = np.flatnonzero(marks.any(1)), np.flatnonzero(marks.any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ink = stretched(ink)
    height, width = (max(1, round(side * spec.box / max(ink.shape))) for side in ink.shape)
    if ink.shape != (height, width):  # a thin pen on a large canvas fades when it is made small
        ink = stretched(np.asarray(PIL.Image.fromarray(ink).resize((width, height), RESAMPLE[spec.resample])))
    top, left = (middle(ink.sum(axis), spec.size) for axis in (1, 0))
    canvas[top : top + height, left : left + width] = ink
    return canvas


def stretched(ink: Array) -> Array:
    """The darkest ink to 255; uint8."""
    return np.asarray(np.rint(ink * FLOAT(255 / max(int(ink.max()), 1))), np.uint8)


def middle(mass: Array, size: int) -> int:
    """Where ink of this mass along an axis must start for its centre of mass to be the middle of `size`."""
    centre = float(mass @ np.arange(len(mass))) / max(float(mass.sum()), 1.0) + 0.5
    return min(max(round(size / 2 - centre), 0), size - len(mass))


def normalizer(spec: Image) -> Callable[[Array], Array]:
    """(H, W, C) uint8 -> the graph's layout and numbers: (x scale - mean) / std, one table look-up a channel."""
    channels = 1 if spec.mode == "L" else 3
    if spec.dtype == "uint8":
        return lambda pixels: pixels if spec.layout == "hwc" else np.ascontiguousarray(pixels.transpose(2, 0, 1))
    scaled = np.arange(256, dtype=FLOAT) * FLOAT(spec.scale)
    mean, std = (np.broadcast_to(np.asarray(values, FLOAT), (channels,)) for values in (spec.mean, spec.std))
    tables = [(scaled - mean[c]) / std[c] for c in range(channels)]
    axis = 0 if spec.layout == "chw" else -1

    def normalize(pixels: Array) -> Array:
        if channels == 1:
            return np.asarray(tables[0].take(np.moveaxis(pixels, -1, axis)))
        return np.stack([tables[c].take(pixels[..., c]) for c in range(channels)], axis)

    return normalize
