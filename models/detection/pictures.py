"""Pictures with boxes to batches: turned, stretched, moved, tinted; the boxes with them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.datasets.boxed import Boxed
from models.detection.targets import Truth
from service.outputs.detection import FRAME
from service.types import FLOAT, Array, Encode, Spec

SEEN = 0.35  # share of a box that must be left for it to count


class Pictures(NamedTuple):
    """All of one size, as the bundle's preprocessor made them."""

    names: list[str]
    pixels: Array  # (N, 3, H, W) uint8
    boxes: list[Array]  # (n, 4) float32 in pixels
    classes: list[Array]  # (n,) int64

    def only(self, chosen: list[int]) -> "Pictures":
        boxes, classes = ([each[i] for i in chosen] for each in (self.boxes, self.classes))
        return Pictures([self.names[i] for i in chosen], self.pixels[chosen], boxes, classes)


class Vary(Spec):
    """How far training pictures are varied; nothing where all is zero."""

    flip: bool = True
    upside: bool = False  # turned by 180 degrees and flipped the other way too, where there is no up
    turn: bool = False  # by 90 degrees
    scale: tuple[float, float] = (0.7, 1.4)
    aspect: float = 0.15
    mosaic: float = 0.0  # share of pictures made of four
    light: float = 0.25  # brightness and contrast
    tint: float = 0.1  # of each channel


def ways(vary: Vary, size: tuple[int, int], rng: np.random.Generator, zoom: float = 1.0) -> Array:
    """(2, 3): input pixel = A (output pixel, 1); axes may swap, so boxes stay boxes."""
    height, width = size
    scale = zoom * np.exp(rng.uniform(*np.log(vary.scale)))
    stretch = np.exp(rng.uniform(-vary.aspect, vary.aspect))
    signs = [rng.choice([-1, 1]) if vary.flip else 1, rng.choice([-1, 1]) if vary.upside else 1]
    linear = np.diag([signs[0] / (scale * stretch), signs[1] * stretch / scale])
    if vary.turn and rng.random() < 0.5:
        linear = linear[::-1]
    middle = np.array([width, height]) / 2
    span = np.abs(np.abs(np.linalg.inv(linear)) @ np.array([width, height]) - [width, height]) / 2
    away = rng.uniform(-span, span)  # of the picture's middle from the frame's, in output pixels
    return np.asarray(np.concatenate([linear, (middle - linear @ (middle + away))[:, None]], 1), FLOAT)


def carried(boxes: Array, way: Array, size: tuple[int, int]) -> tuple[Array, Array]:
    """Boxes of the input (n, 4) -> of the output, cut to it, and which of them are still seen."""
    back = np.linalg.inv(way[:, :2])
    ends = np.stack([(boxes[:, i : i + 2] - way[:, 2]) @ back.T for i in (0, 2)])  # two corners, maybe swapped
    moved = np.concatenate([ends.min(0), ends.max(0)], 1)
    limit = np.array([size[1], size[0]] * 2)
    cut = moved.clip(0, limit)
    areas = [(each[:, 2:] - each[:, :2]).prod(1) for each in (cut, moved)]
    return cut.astype(FLOAT), areas[0] > SEEN * np.maximum(areas[1], 1e-6)


def warped(pixels: Tensor, linears: Array) -> Tensor:
    """(B, 3, H, W) by (B, 2, 3) as `ways` gives them; beyond the picture there is its border."""
    height, width = pixels.shape[2:]
    at = torch.eye(3)  # normalised output -> output pixel -> input pixel -> normalised input
    at[0, 0], at[0, 2], at[1, 1], at[1, 2] = width / 2, width / 2, height / 2, height / 2
    full = torch.cat([torch.from_numpy(linears), torch.tensor([[[0.0, 0.0, 1.0]]]).expand(len(linears), 1, 3)], 1)
    theta = (torch.linalg.inv(at) @ full @ at)[:, :2]
    grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, "bilinear", "border", align_corners=False)


def tinted(pixels: Tensor, vary: Vary, rng: np.random.Generator) -> Tensor:
    """0..255 -> 0..255."""
    n = len(pixels)
    gain = 1 + rng.uniform(-vary.light, vary.light, (n, 1, 1, 1)) + rng.uniform(-vary.tint, vary.tint, (n, 3, 1, 1))
    shift = 255 * rng.uniform(-vary.light, vary.light, (n, 1, 1, 1)) / 2
    mean = pixels.mean((2, 3), keepdim=True)
    made = (pixels - mean) * torch.from_numpy(gain.astype(FLOAT)) + mean + torch.from_numpy(shift.astype(FLOAT))
    return made.clamp(0, 255)


def batch(pictures: Pictures, chosen: Array, vary: Vary, rng: np.random.Generator) -> tuple[Tensor, list[Truth]]:
    """(B, 3, H, W) 0..255 float32 and what is in them."""
    made = [
        mosaic(pictures, i, vary, rng) if rng.random() < vary.mosaic else single(pictures, i, vary, rng) for i in chosen
    ]
    pixels = torch.cat([each for each, _ in made])
    return tinted(pixels, vary, rng), [truth for _, truth in made]


def single(pictures: Pictures, i: int, vary: Vary, rng: np.random.Generator, zoom: float = 1.0) -> tuple[Tensor, Truth]:
    pixels = torch.from_numpy(pictures.pixels[i : i + 1]).float()
    size = (pixels.shape[2], pixels.shape[3])
    way = ways(vary, size, rng, zoom)
    boxes, seen = carried(pictures.boxes[i], way, size)
    truth = Truth(torch.from_numpy(boxes[seen]), torch.from_numpy(pictures.classes[i][seen]))
    return warped(pixels, way[None]), truth


def mosaic(pictures: Pictures, first: int, vary: Vary, rng: np.random.Generator) -> tuple[Tensor, Truth]:
    """Four pictures, each in a quarter (YOLOv4, Bochkovskiy et al., 2020)."""
    others = [first, *rng.integers(0, len(pictures.names), 3)]
    rng.shuffle(others)
    height, width = pictures.pixels.shape[2:]
    canvas = torch.empty(1, 3, height, width)
    truths = []
    for k, i in enumerate(others):
        pixels, truth = single(pictures, int(i), vary, rng, zoom=0.6)
        top, left = (k // 2) * (height // 2), (k % 2) * (width // 2)
        # the middle of the varied picture, as large as the quarter
        y, x = height // 4, width // 4
        canvas[:, :, top : top + height // 2, left : left + width // 2] = pixels[
            :, :, y : y + height // 2, x : x + width // 2
        ]
        corner = torch.tensor([left - x, top - y] * 2)
        limits = torch.tensor([left, top, left + width // 2, top + height // 2])
        shifted = truth.boxes + corner
        cut = torch.cat([torch.maximum(shifted[:, :2], limits[:2]), torch.minimum(shifted[:, 2:], limits[2:])], 1)
        sides = (cut[:, 2:] - cut[:, :2]).clamp(min=0).prod(1)
        kept = sides > SEEN * (shifted[:, 2:] - shifted[:, :2]).prod(1).clamp(min=1e-6)
        truths.append(Truth(cut[kept], truth.classes[kept]))
    return canvas, Truth(torch.cat([t.boxes for t in truths]), torch.cat([t.classes for t in truths]))


def encoded(boxed: Sequence[Boxed], encode: Encode, pixels: str) -> Pictures:
    """By the bundle's own preprocessor, which makes uint8 of one size, stretched or in a letterbox; boxes follow it."""
    rows = [encode(each.data) for each in boxed]
    made = np.stack([row[pixels] for row in rows])
    names, classes = [each.name for each in boxed], [each.classes for each in boxed]
    boxes = [placed(each.boxes, row[FRAME.format(pixels)]) for each, row in zip(boxed, rows, strict=True)]
    return Pictures(names, made, boxes, classes)


def placed(boxes: Array, frame: Array) -> Array:
    """Shares of the upright picture (n, 4) -> pixels of the input; `frame` as the service's preprocessor tells it."""
    left, top, scale_x, scale_y, width, height = frame.tolist()
    sides, corner = np.array([width * scale_x, height * scale_y] * 2), np.array([left, top] * 2)
    return np.asarray(boxes * sides + corner, FLOAT)
