"""Boxes as arrays: their forms, the grid of YOLOX, and which of those that overlap stay."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from service.types import Array

Form = Literal["xyxy", "cxcywh", "xywh", "yxyx"]


def corners(form: Form, boxes: Array) -> Array:
    """(n, 4) in any form -> (n, 4) float64 left, top, right, bottom."""
    a, b, c, d = boxes.astype(np.float64).T
    if form == "cxcywh":
        return np.stack([a - c / 2, b - d / 2, a + c / 2, b + d / 2], 1)
    if form == "xywh":
        return np.stack([a, b, a + c, b + d], 1)
    return np.stack([b, a, d, c] if form == "yxyx" else [a, b, c, d], 1)


def cells(width: int, height: int, strides: Sequence[int]) -> Array:
    """(n, 3): column, row and stride of each cell, the finest grid first, row by row."""
    grids = []
    for stride in strides:
        y, x = np.indices((height // stride, width // stride)).reshape(2, -1)
        grids.append(np.stack([x, y, np.full(len(x), stride)], 1))
    return np.concatenate(grids)


def from_cells(boxes: Array, cells: Array) -> Array:
    """YOLOX's head (n, 4) -> centre (xy + cell) stride and size exp(wh) stride, in pixels (Ge et al., 2021)."""
    boxes, stride = boxes.astype(np.float64), cells[:, 2:]
    return np.concatenate([(boxes[:, :2] + cells[:, :2]) * stride, np.exp(boxes[:, 2:]) * stride], 1)


def suppressed(boxes: Array, classes: Array, overlap: float, most: int) -> list[int]:
    """Indices of the first `most` boxes, best first as given, that no better one of their class overlaps by more."""
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    alive = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == most:
            break
        sizes = np.minimum(boxes[i, 2:], boxes[:, 2:]) - np.maximum(boxes[i, :2], boxes[:, :2])
        shared = np.prod(sizes.clip(0), axis=1)
        union = np.maximum(areas[i] + areas - shared, np.finfo(np.float64).tiny)
        alive &= (classes != classes[i]) | (shared / union <= overlap)
    return kept
