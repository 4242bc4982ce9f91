"""Boxes of a detector to what is where in the upright original picture, in its pixels."""

from collections.abc import Collection
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from service.errors import BundleError
from service.outputs.scores import Activation, Shapes, activated, scored
from service.types import NOTHING, Array, Asked, Row, Spec

FRAME = "{}:frame"  # row entry beside the pixels: left, top, scale x, scale y; width, height of the upright original


class Detection(Spec):
    """`boxes` (n, 4), `scores` (n, classes), or (n,) of the class in `classes` (n,)."""

    kind: Literal["detection"] = "detection"
    pixels: str = Field(description="the graph's input that holds the picture")
    boxes: str
    scores: str
    classes: str | None = Field(None, description="tensor of class numbers, where `scores` has one number a box")
    labels: list[str] = Field(min_length=1)
    format: Literal["xyxy", "cxcywh", "xywh", "yxyx"] = "xyxy"
    unit: Literal["pixels", "input", "picture"] = Field(
        "pixels", description="of the boxes: pixels of the input, or shares of the input or of the picture in it"
    )
    activation: Activation = Field("none", description="what makes the scores probabilities")
    background: int | None = Field(None, description="number of the class that means nothing is there; -1: the last")
    threshold: float = Field(0.5, description="of the score, unless the request says otherwise")
    nms: float | None = Field(None, gt=0, le=1, description="overlap (IoU) over which the weaker box of a label goes")
    most: int = Field(100, gt=0, description="boxes of one answer")
    each: Literal["box", "pair"] = Field(
        "box", description="box: has its best class; pair: of box and class counts for itself, as RT-DETR"
    )
    clip: bool = Field(True, description="to the picture; transformers leaves boxes as they are")
    controls: ClassVar[frozenset[str]] = frozenset({"threshold"})
    explains: ClassVar[str | None] = None

    def tensors(self) -> list[str]:
        return [self.boxes, self.scores] + ([self.classes] if self.classes else [])

    def check(self, shapes: Shapes) -> None:
        """Raises BundleError where labels and classes do not fit, as far as that is known."""
        last = shapes[self.scores][-1] if shapes[self.scores] and not self.classes else None
        if last is not None and last != len(self.labels) + (self.background is not None):
            raise BundleError(f"output {self.scores!r} has {last} classes, the manifest {len(self.labels)} labels")

    def answer_schema(self) -> dict[str, Any]:
        """JSON Schema of what `decode` returns."""
        entry = scored(self.labels)
        corners = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
        entry = {**entry, "required": ["label", "score", "box"], "properties": {**entry["properties"], "box": corners}}
        detections = {"type": "array", "items": entry}
        return {"type": "object", "required": ["detections"], "properties": {"detections": detections}}

    def scalars(self, row: Row, asked: Asked = NOTHING) -> dict[str, float]:
        """Nothing that is one number."""
        return {}

    def decode(self, row: Row, used: Collection[str] = (), asked: Asked = NOTHING) -> dict[str, Any]:
        if FRAME.format(self.pixels) not in row:  # the picture is the part that was not sent
            return {"detections": []}
        scores, classes = self._best(row)
        keep = np.flatnonzero(scores >= (self.threshold if asked.threshold is None else asked.threshold))
        keep = keep[np.argsort(-scores[keep], kind="stable")]
        which = keep // len(self.labels) if self.each == "pair" else keep
        boxes = self._placed(row, corners(self.format, row[self.boxes].reshape(-1, 4)[which]))
        scores, classes = scores[keep], classes[keep]
        if self.nms is not None:
            kept = suppressed(boxes, classes, self.nms)
            boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
        found = zip(classes.tolist(), scores.tolist(), boxes.tolist(), strict=True)
        detections = [{"label": self.labels[i], "score": score, "box": box} for i, score, box in found]
        return {"detections": detections[: self.most]}

    def _best(self, row: Row) -> tuple[Array, Array]:
        """(n,) scores and (n,) class numbers; of pairs (n x labels,)."""
        scores = row[self.scores]
        if self.classes:
            return scores.reshape(-1), row[self.classes].reshape(-1).astype(np.int64)
        scores = activated(self.activation, scores)
        if self.background is not None:
            scores = np.delete(scores, self.background, -1)
        if self.each == "pair":
            return scores.reshape(-1), np.tile(np.arange(len(self.labels)), len(scores))
        return scores.max(-1), scores.argmax(-1)

    def _placed(self, row: Row, boxes: Array) -> Array:
        """(n, 4) corners -> in pixels of the upright original."""
        left, top, scale_x, scale_y, width, height = row[FRAME.format(self.pixels)].tolist()
        if self.unit == "picture":
            boxes = boxes * np.array([width, height] * 2)
        else:
            if self.unit == "input":
                boxes = boxes * np.array(sides(row[self.pixels]) * 2)
            boxes = (boxes - np.array([left, top] * 2)) / np.array([scale_x, scale_y] * 2)
        return np.asarray(np.clip(boxes, 0, np.array([width, height] * 2)) if self.clip else boxes)


def sides(pixels: Array) -> list[int]:
    """Width and height of (C, H, W) or (H, W, C)."""
    height, width = pixels.shape[1:] if pixels.shape[0] in (1, 3) else pixels.shape[:2]
    return [width, height]


def corners(form: str, boxes: Array) -> Array:
    """(n, 4) in any form -> (n, 4) float64 left, top, right, bottom."""
    a, b, c, d = boxes.astype(np.float64).T
    if form == "cxcywh":
        return np.stack([a - c / 2, b - d / 2, a + c / 2, b + d / 2], 1)
    if form == "xywh":
        return np.stack([a, b, a + c, b + d], 1)
    return np.stack([b, a, d, c] if form == "yxyx" else [a, b, c, d], 1)


def suppressed(boxes: Array, classes: Array, most: float) -> list[int]:
    """Indices of the boxes, best first as given, that no better one of their class overlaps by more than `most`."""
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    alive = np.ones(len(boxes), bool)
    for i in range(len(boxes)):
        if alive[i]:
            kept.append(i)
            sizes = np.minimum(boxes[i, 2:], boxes[:, 2:]) - np.maximum(boxes[i, :2], boxes[:, :2])
            shared = np.prod(sizes.clip(0), axis=1)
            union = np.maximum(areas[i] + areas - shared, np.finfo(np.float64).tiny)
            alive &= (classes != classes[i]) | (shared / union <= most)
    return kept
