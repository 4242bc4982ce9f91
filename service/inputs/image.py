"""Picture bytes to one normalised tensor, step by step as the manifest names them."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import PIL.Image
from pydantic import Field, model_validator

from service.errors import InvalidInput
from service.inputs import frames
from service.inputs.geometry import RESAMPLE, Crop, Exact, Fit, Pad, Resize, Size
from service.inputs.ink import Ink, drawn
from service.inputs.part import Part
from service.inputs.picture import Alpha, Depth, Picture, Upright, bulk, levels, read
from service.limits import DEFAULTS, Limits
from service.types import FLOAT, Anew, Array, Encode, Made, Row, Shape, Spec

USUAL = 224  # pixels of a side
UNTOUCHED = (1.0, 0.0, 0.0, 1.0, False)  # scale, offset, mean, std, std_twice


class Tensors(Spec):
    """The graph's names for what a picture becomes; `mask` (H, W) lets pictures of any size share a batch."""

    pixels: str
    mask: str | None = Field(None, description="1 on the picture, 0 on padding: transformers' pixel_mask")
    count: str | None = Field(None, description="1, one number, where there is a picture: AutoMM's image_valid_num")


class Image(Part):
    """decode, upright, mode, ink or resize, crop and pad, x scale, + offset, - mean, / std, layout; in this order."""

    kind: Literal["image"] = "image"
    mode: Literal["L", "RGB"] = "RGB"
    channels: Literal["RGB", "BGR"] = Field("RGB", description="their order in the tensor; mean and std are always RGB")
    depth: Depth = Field("scale", description="16-bit grey: scaled to 8 bit, or clipped as Pillow")
    alpha: Alpha = Field("white", description="transparency: laid on white, or dropped")
    ink: Ink | None = None
    resize: Resize | None = None
    crop: Crop | None = None
    pad: Pad | None = None
    scale: float = 1.0
    offset: float = 0.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    std_twice: bool = Field(False, description="divided by std once more, as EfficientNet's include_top")
    layout: Literal["chw", "hwc"] = "chw"
    slots: int | None = Field(None, gt=0, description="one more axis in front, of that many pictures: this, then zeros")
    dtype: Literal["float32", "float16", "uint8"] = Field("float32", description="uint8: the graph normalises")
    alike: bool = Field(False, description="only pictures of one size share a run, though there is a mask")
    tensors: Tensors
    fixed: ClassVar[str] = "resize to exact, crop and pad fix its size, mode its channels, layout their place"

    @model_validator(mode="after")
    def possible(self) -> "Image":
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if len(numbers) not in (1, self.depths):
                raise ValueError(f"{name}: {len(numbers)} numbers, but mode {self.mode} has {self.depths} channels")
        if self.channels == "BGR" and self.mode == "L":
            raise ValueError("channels: BGR needs mode RGB")
        if self.ink and (self.mode != "L" or self.resize or self.crop or self.pad or self.tensors.mask):
            raise ValueError("ink: needs mode L, and neither resize, crop, pad nor a mask")
        if self.dtype == "uint8" and (self.scale, self.offset, *self.mean, *self.std, self.std_twice) != UNTOUCHED:
            raise ValueError("dtype: uint8 is what the graph normalises itself: no scale, offset, mean and std")
        if self.slots and self.tensors.mask:
            raise ValueError("slots: a mask covers one picture")
        self._room()
        return self

    def _room(self) -> None:
        """Whether all that resize and crop make fits into a padding of fixed size."""
        if self.pad is None or self.pad.multiple_of:
            return
        most: Size | None = self.resize.most() if self.resize else None
        if self.crop:
            most = self.crop.width, self.crop.height
        if most is None or most[0] > (self.pad.width or 0) or most[1] > (self.pad.height or 0):
            made = f"up to {most[0]} x {most[1]}" if most else "of any size"
            raise ValueError(f"pad: {self.pad.width} x {self.pad.height} is too small for pictures {made}")

    @property
    def depths(self) -> int:
        return 1 if self.mode == "L" else 3

    def masks(self) -> Mapping[str, str]:
        """Tensor -> the mask tensor that covers its padding."""
        if self.tensors.mask is None or self.alike:
            return {}
        return {self.tensors.pixels: self.tensors.mask, self.tensors.mask: self.tensors.mask}

    def makes(self, folder: Path) -> dict[str, Made]:
        """Tensor -> its type and shape, None where it varies."""
        return self._made(self.side("height"), self.side("width"))

    def zeros(self, folder: Path) -> dict[str, Shape]:
        """Of a usual picture: one pixel is too little for most graphs that take pictures of any size."""
        width, height = self.resize.size(USUAL, USUAL) if self.resize else (USUAL, USUAL)
        made = self._made(self.side("height") or height, self.side("width") or width)
        return {tensor: each.shape for tensor, each in made.items()}

    def _made(self, height: int | None, width: int | None) -> dict[str, Made]:
        shape: Shape = (self.depths, height, width) if self.layout == "chw" else (height, width, self.depths)
        made = {self.tensors.pixels: Made(np.dtype(self.dtype), (self.slots, *shape) if self.slots else shape)}
        if self.tensors.count:
            made[self.tensors.count] = Made(np.int64, ())
        if self.tensors.mask:
            made[self.tensors.mask] = Made(np.bool_, (height, width))
        return made

    def side(self, name: Literal["height", "width"]) -> int | None:
        """Pixels of the tensor, if they are always as many."""
        if self.ink:
            return self.ink.size
        size = getattr(self.resize, name) if isinstance(self.resize, Exact) else None
        size = getattr(self.crop, name) if self.crop else size
        if self.pad and self.pad.multiple_of:
            return size and -(-size // self.pad.multiple_of) * self.pad.multiple_of
        return getattr(self.pad, name) if self.pad else size

    def limit(self, limits: Limits) -> int:
        return limits.image_bytes

    def bulk(self, data: bytes) -> int:
        return bulk(data)

    def load(self, folder: Path, limits: Limits = DEFAULTS) -> Encode:
        return partial(encode, self, limits, normalizer(self))

    def anew(self, folder: Path, limits: Limits) -> Anew:
        """The function from what `bare` gives, changed or not, to tensors."""
        normalize = normalizer(self)
        return lambda pixels: tensors(self, normalize, Upright(PIL.Image.fromarray(pixels), self.mode))

    def bare(self, data: bytes, limits: Limits) -> Array:
        """The upright picture before all else, (H, W) or (H, W, 3) uint8. Raises what decoding raises."""
        pixels = read(data, self.mode, self.depth, self.alpha, limits).levels()
        return pixels[..., 0] if self.depths == 1 else pixels


def encode(spec: Image, limits: Limits, normalize: Callable[[Array], Array], data: bytes) -> Row:
    """pixels (C, H, W) or (H, W, C); mask (H, W) uint8; pixels:frame (6,), which leads back to the upright picture:
    left, top, scale x, scale y, width, height; x = (x of the tensor - left) / scale x.

    Raises UnsupportedType, OverLimit, InvalidInput.
    """
    return tensors(spec, normalize, read(data, spec.mode, spec.depth, spec.alpha, limits))


def tensors(spec: Image, normalize: Callable[[Array], Array], upright: Upright) -> Row:
    if spec.ink:
        grey = upright.levels()[..., 0]
        del upright  # large as it was stored, and no longer needed
        row = {spec.tensors.pixels: normalize(drawn(spec.ink, grey)[..., None])}
    else:
        row = placed(spec, normalize, upright)
    if spec.slots:
        pixels = row[spec.tensors.pixels]
        row[spec.tensors.pixels] = frames.resized(pixels[None], spec.slots)
    if spec.tensors.count:
        row[spec.tensors.count] = np.array(1)
    return row


def placed(spec: Image, normalize: Callable[[Array], Array], upright: Upright) -> Row:
    width, height = upright.size
    resized = spec.resize.size(width, height) if spec.resize else upright.size
    kept = spec.crop.box(*resized) if spec.crop else (0, 0, *resized)
    left, top = -kept[0], -kept[1]
    if spec.resize and resized != upright.size:
        picture = upright.resized(resized, RESAMPLE[spec.resize.resample], kept)
    else:
        picture = upright.whole() if kept == (0, 0, *resized) else upright.whole().crop(kept)
    inner = (0, 0, *picture.size)
    if spec.pad:
        whole = spec.pad.size(*picture.size)
        if picture.width > whole[0] or picture.height > whole[1]:
            raise InvalidInput(f"{width} x {height} pixels are too narrow for this model")
        x, y = spec.pad.corner(picture.size, whole)
        left, top, inner = left + x, top + y, (x, y, x + picture.width, y + picture.height)
    pixels, size = padded(spec, normalize, picture, inner)
    row = {spec.tensors.pixels: pixels}
    row[f"{spec.tensors.pixels}:frame"] = np.array(
        [left, top, *ratios(spec.resize, upright.size, resized), width, height]
    )
    if spec.tensors.mask:
        mask = row[spec.tensors.mask] = np.zeros((size[1], size[0]), np.uint8)
        mask[inner[1] : inner[3], inner[0] : inner[2]] = 1
    return row


def ratios(spec: Resize | None, upright: Size, resized: Size) -> tuple[float, float]:
    """Of width and height, which lead back; of `fit`, the one before its rounding."""
    if isinstance(spec, Fit):
        return (spec.ratio(*upright),) * 2
    return resized[0] / upright[0], resized[1] / upright[1]


def padded(
    spec: Image, normalize: Callable[[Array], Array], picture: Picture, inner: tuple[int, int, int, int]
) -> tuple[Array, tuple[int, int]]:
    """The tensor, with the picture at `inner` of it, and its width and height."""
    if spec.pad is None:
        return normalize(levels(picture)), picture.size
    size = spec.pad.size(*picture.size)
    if size == picture.size:
        return normalize(levels(picture)), size
    if spec.pad.unit == "pixels":
        value = int(spec.pad.value)
        canvas = PIL.Image.new(picture.mode, size, value if picture.mode == "L" else (value,) * 3)
        canvas.paste(picture, inner)
        return normalize(levels(canvas)), size
    pixels = normalize(levels(picture))
    chw = spec.layout == "chw"
    out = np.full(
        (spec.depths, size[1], size[0]) if chw else (size[1], size[0], spec.depths), spec.pad.value, pixels.dtype
    )
    place = slice(inner[1], inner[3]), slice(inner[0], inner[2])
    out[(slice(None), *place) if chw else place] = pixels
    return out, size


def normalizer(spec: Image) -> Callable[[Array], Array]:
    """(H, W, C) uint8 -> the graph's layout and numbers, one table look-up a channel.

    The tables are made by the same operations in the same precision as in transformers, so that the results are equal.
    """
    order = range(spec.depths) if spec.channels == "RGB" else range(spec.depths)[::-1]
    if spec.dtype == "uint8":
        return lambda pixels: raw(spec, pixels)
    scaled = (np.arange(256) * spec.scale).astype(FLOAT)
    if spec.offset:
        scaled += FLOAT(spec.offset)
    mean, std = (np.broadcast_to(np.asarray(values, FLOAT), (spec.depths,)) for values in (spec.mean, spec.std))
    tables = [(scaled - mean[c]) / std[c] / (std[c] if spec.std_twice else FLOAT(1)) for c in range(spec.depths)]
    tables = [table.astype(spec.dtype) for table in tables]
    chw = spec.layout == "chw"

    def normalize(pixels: Array) -> Array:
        if spec.depths == 1:
            return np.asarray(tables[0].take(pixels.reshape(1, *pixels.shape[:2]) if chw else pixels))
        out = np.empty((3, *pixels.shape[:2]) if chw else pixels.shape, tables[0].dtype)
        for place, c in enumerate(order):
            # a byte is always within its table; "clip" alone writes to `out` without a copy
            np.take(tables[c], pixels[..., c], out=out[place] if chw else out[..., place], mode="clip")
        return out

    return normalize


def raw(spec: Image, pixels: Array) -> Array:
    """The layout alone."""
    pixels = pixels if spec.channels == "RGB" else pixels[..., ::-1]
    return np.ascontiguousarray(pixels if spec.layout == "hwc" else pixels.transpose(2, 0, 1))
