"""Boxes of a detector to what is where in the upright original picture, in its pixels."""

from collections.abc import Collection
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from service.errors import BundleError, Failed
from service.outputs.boxes import Form, cells, corners, from_cells, suppressed
from service.outputs.scores import Activation, Shapes, activated, scored
from service.types import NOTHING, Array, Asked, Row, Spec

FRAME = "{}:frame"  # row entry beside the pixels: left, top, scale x, scale y; width, height of the upright original
CANDIDATES = 10_000  # boxes that are compared with each other; a request's threshold must not make it all of them


class Columns(Spec):
    """Where in the last axis of one tensor what stands, counted from 0; YOLO and its kin."""

    boxes: int = Field(0, ge=0, description="the first of the box's four numbers")
    objectness: int | None = Field(
        None, ge=0, description="a probability that all of the box's scores are multiplied by"
    )
    scores: int | None = Field(None, ge=0, description="the first class; the others follow, to the end")
    score: int | None = Field(None, ge=0, description="the one score of the class in `label`")
    label: int | None = Field(None, ge=0, description="the number of the class")

    @model_validator(mode="after")
    def possible(self) -> "Columns":
        if (self.scores is None) != (self.label is not None) or (self.score is None) != (self.label is None):
            raise ValueError("columns: name `scores`, or `score` and `label`")
        return self


class Detection(Spec):
    """`boxes` (n, 4) with `scores` (n, classes), or `scores` and `classes` (n,); or `boxes` has all, by `columns`."""

    kind: Literal["detection"] = "detection"
    pixels: str = Field(description="the graph's input that holds the picture")
    boxes: str
    scores: str | None = None
    classes: str | None = Field(None, description="tensor of class numbers, where `scores` has one number a box")
    columns: Columns | None = Field(None, description="of `boxes`, where it holds scores and classes as well")
    transposed: bool = Field(False, description="boxes are the last axis of `boxes` and `scores`, as in YOLOv8")
    labels: list[str] = Field(min_length=1)
    first: int = Field(0, description="number of the first label, where classes come as numbers")
    format: Form = "xyxy"
    unit: Literal["pixels", "input", "picture"] = Field(
        "pixels", description="of the boxes: pixels of the input, or shares of the input or of the picture in it"
    )
    grid: list[int] = Field([], description="strides of YOLOX's grids, where the graph has not placed the boxes itself")
    activation: Activation = Field("none", description="what makes the scores probabilities")
    background: int | None = Field(None, description="number of the class that means nothing is there; -1: the last")
    threshold: float = Field(0.5, description="of the score, unless the request says otherwise")
    nms: float | None = Field(None, gt=0, le=1, description="overlap (IoU) over which the weaker box of a label goes")
    across: bool = Field(False, description="the weaker box goes whatever its label")
    most: int = Field(100, gt=0, description="boxes of one answer")
    each: Literal["box", "pair"] = Field(
        "box", description="box: has its best class; pair: of box and class counts for itself, as RT-DETR"
    )
    clip: bool = Field(True, description="to the picture; transformers leaves boxes as they are")
    controls: ClassVar[frozenset[str]] = frozenset({"threshold"})
    explains: ClassVar[str | None] = None

    @model_validator(mode="after")
    def possible(self) -> "Detection":
        if (self.scores is None) == (self.columns is None) or (self.columns and self.classes):
            raise ValueError("name `scores` (and `classes`), or `columns`")
        if self.grid and (self.format != "cxcywh" or self.unit != "pixels"):
            raise ValueError("grid: its boxes are of format cxcywh and unit pixels")
        return self

    def tensors(self) -> list[str]:
        return [self.boxes, *(name for name in (self.scores, self.classes) if name)]

    def check(self, shapes: Shapes) -> None:
        """Raises BundleError where labels and classes do not fit, as far as that is known."""
        if self.classes or (self.columns and self.columns.scores is None):
            return
        name = self.scores or self.boxes
        axis = -2 if self.transposed else -1
        last = shapes[name][axis] if len(shapes[name]) >= -axis else None
        before = self.columns.scores or 0 if self.columns else 0
        if last is not None and last - before != len(self.labels) + (self.background is not None):
            raise BundleError(f"output {name!r} has {last - before} classes, the manifest {len(self.labels)} labels")

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
        boxes, scores, classes = self._found(row)
        keep = self._over(scores, self.threshold if asked.threshold is None else asked.threshold)
        which = keep // len(self.labels) if self.each == "pair" else keep
        boxes, scores, classes = self._placed(row, boxes[which], which), scores[keep], classes[keep]
        if self.nms is not None:
            kept = suppressed(boxes, classes * (not self.across), self.nms, self.most)
            boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
        if self.clip:
            boxes = np.clip(boxes, 0, row[FRAME.format(self.pixels)][[4, 5, 4, 5]])
        found = zip(classes.tolist(), scores.tolist(), boxes.tolist(), strict=True)
        return {"detections": [{"label": self._label(i), "score": score, "box": box} for i, score, box in found]}

    def _label(self, number: int) -> str:
        """Raises Failed where the graph finds what the manifest has no label for."""
        if not 0 <= number < len(self.labels):
            raise Failed("the model found something that its manifest has no label for")
        return self.labels[number]

    def _over(self, scores: Array, threshold: float) -> Array:
        """Indices of scores of at least the threshold, best first; no more of them than can matter."""
        keep = np.flatnonzero(scores >= threshold)
        most = CANDIDATES if self.nms is not None else self.most
        if len(keep) > most:
            keep = np.sort(keep[np.argpartition(-scores[keep], most - 1)[:most]])
        return np.asarray(keep[np.argsort(-scores[keep], kind="stable")])

    def _found(self, row: Row) -> tuple[Array, Array, Array]:
        """(n, 4) boxes as the graph gives them; (n,) scores and (n,) class numbers, or of pairs (n x labels,)."""
        table = row[self.boxes].T if self.transposed else row[self.boxes]
        columns = self.columns
        if columns is None:
            boxes = table.reshape(-1, 4)
            scores = row[self.scores or ""]
            if self.classes:
                return boxes, scores.reshape(-1), row[self.classes].reshape(-1).astype(np.int64) - self.first
            return boxes, *self._classes(activated(self.activation, scores.T if self.transposed else scores))
        boxes = table[:, columns.boxes : columns.boxes + 4]
        if columns.label is not None:
            return boxes, table[:, columns.score or 0], table[:, columns.label].astype(np.int64) - self.first
        scores = activated(self.activation, table[:, columns.scores :])
        if columns.objectness is not None:
            how: Activation = "none" if self.activation == "none" else "sigmoid"
            scores = scores * activated(how, table[:, columns.objectness, None])
        return boxes, *self._classes(scores)

    def _classes(self, scores: Array) -> tuple[Array, Array]:
        """(n, classes) probabilities -> scores and class numbers."""
        if self.background is not None:
            scores = np.delete(scores, self.background, -1)
        if self.each == "pair":
            return scores.reshape(-1), np.tile(np.arange(len(self.labels)), len(scores))
        return scores.max(-1), scores.argmax(-1)

    def _placed(self, row: Row, boxes: Array, which: Array) -> Array:
        """(k, 4), of the boxes with the numbers `which`, -> corners in pixels of the upright original."""
        left, top, scale_x, scale_y, width, height = row[FRAME.format(self.pixels)].tolist()
        if self.grid:
            boxes = from_cells(boxes, cells(*sides(row[self.pixels]), self.grid)[which])
        boxes = corners(self.format, boxes)
        if self.unit == "picture":
            return np.asarray(boxes * np.array([width, height] * 2))
        if self.unit == "input":
            boxes = boxes * np.array(sides(row[self.pixels]) * 2)
        return np.asarray((boxes - np.array([left, top] * 2)) / np.array([scale_x, scale_y] * 2))


def sides(pixels: Array) -> tuple[int, int]:
    """Width and height of (C, H, W) or (H, W, C)."""
    height, width = pixels.shape[1:] if pixels.shape[0] in (1, 3) else pixels.shape[:2]
    return width, height
