"""Outputs that are boxes to a detection, by the shapes that known detectors leave: YOLO's tables, SSD's pairs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from models.importers.draft import Draft, Origin
from models.importers.guess.given import Given
from models.importers.guess.outcome import Output, activation, probabilities
from models.importers.guess.roles import words
from service.errors import BundleError
from service.outputs.boxes import cells

TENSORFLOW = {"boxes": "detection_boxes", "scores": "detection_scores", "classes": "detection_classes"}
STRIDES = [8, 16, 32]
SHARES = 2.0  # boxes whose numbers stay below are shares, not pixels
MANY = 500  # boxes that no NMS has thinned out
Keys = dict[str, tuple[Any, Origin, str]]


class Found(NamedTuple):
    """Keys of a detection, and how many classes there are, if that is known."""

    keys: Keys
    classes: int | None
    scores: Output | None = None  # a number a class, whose activation is to be found out
    thinned: bool = False  # by an NMS in the graph, or because there are few


def find(outputs: Sequence[Output], sides: tuple[int, int], *, sure: bool) -> Found | None:
    """`sure`: they are those of a detector, so that a table of six columns is one of boxes."""
    named = {output.name: output for output in outputs}
    if set(TENSORFLOW.values()) <= named.keys():
        why = "TensorFlow's object detection"
        keys: Keys = {key: (name, Origin.GRAPH, "") for key, name in TENSORFLOW.items()}
        return Found(keys | {"first": (1, Origin.GUESS, why), "format": ("yxyx", Origin.GUESS, why),
                             "unit": ("input", Origin.GUESS, why)}, None, thinned=True)  # fmt: skip
    return pair(outputs) or next((made for each in outputs if (made := table(each, sides, sure=sure))), None)


def pair(outputs: Sequence[Output]) -> Found | None:
    """Boxes in one output, scores in another, and classes in a third if there is one number a box."""
    placed = next((each for each in outputs if each.shape[-1:] == (4,) and len(each.shape) in (2, 3)), None)
    if placed is None:
        return None
    rest = [each for each in outputs if each is not placed and each.shape[:1] == placed.shape[:1]]
    keys: Keys = {"boxes": (placed.name, Origin.GRAPH, "")}
    if several := next((each for each in rest if len(each.shape) == 2), None):
        keys["scores"] = (several.name, Origin.GRAPH, "")
        thinned = (placed.shape[0] or MANY) < MANY
        return Found(keys | formed(placed), several.shape[1], several, thinned)
    single = [each for each in rest if len(each.shape) == 1]
    scores = next((each for each in single if words(each.name) & {"score", "scores", "conf", "confidence"}), None)
    classes = next((each for each in single if words(each.name) & {"label", "labels", "class", "classes"}), None)
    if scores is None or classes is None:
        return None
    keys |= {"scores": (scores.name, Origin.GRAPH, ""), "classes": (classes.name, Origin.GRAPH, "")}
    why = "number of the first label; 1 if 0 is the background, as in torchvision"
    return Found(keys | {"first": (1, Origin.GUESS, why)} | formed(placed), None, thinned=True)


def formed(placed: Output) -> Keys:
    """Format and unit, as far as numbers on random pictures tell."""
    found = [row.reshape(-1, 4).astype(np.float64) for row in placed.rows if row.size]
    if not found:
        form = "xyxy", Origin.GUESS, "of xyxy, cxcywh, xywh, yxyx"
        return {"format": form, "unit": ("pixels", Origin.GUESS, "or input: shares of it")}
    boxes = np.concatenate(found)
    ordered = float((boxes[:, 2:] >= boxes[:, :2]).all(1).mean())
    why = f"of {ordered:.0%} of the boxes the last two numbers are the larger ones"
    form = ("xyxy" if ordered > 0.95 else "cxcywh"), Origin.MEASURED, why
    most = np.abs(boxes).max()
    return {"format": form, "unit": ("input" if most < SHARES else "pixels", Origin.MEASURED, f"up to {most:.3g}")}


def table(output: Output, sides: tuple[int, int], *, sure: bool) -> Found | None:
    """One output that holds all: boxes, scores, classes in columns."""
    if len(output.shape) != 2 or None in output.shape[1:]:
        return None
    count, columns = output.shape
    grid = len(cells(sides[1], sides[0], STRIDES))
    keys: Keys = {"boxes": (output.name, Origin.GRAPH, "")}
    if columns in (grid, 3 * grid) and (count or 0) > 4:
        made = {"columns": ({"scores": 4}, Origin.GUESS, "as YOLOv8"), "transposed": (True, Origin.GRAPH, "")}
        return Found(keys | made | CENTRED, (count or 0) - 4)
    if count in (grid, 3 * grid) and (columns or 0) > 5:
        why = "as YOLOX" if count == grid else "as YOLOv5"
        keys["columns"] = ({"objectness": 4, "scores": 5}, Origin.GUESS, why)
        rows = [row[:, 2:4] for row in output.rows]
        if count == grid and any((row < 0).any() for row in rows):
            keys["grid"] = (STRIDES, Origin.MEASURED, "sizes below 0 are logarithms")
        return Found(keys | CENTRED, (columns or 0) - 5)
    inside = {6: {"score": 4, "label": 5}, 7: {"boxes": 1, "label": 5, "score": 6}}.get(columns or 0)
    if inside and sure:
        keys["columns"] = (inside, Origin.GUESS, "as YOLO with NMS in the graph")
        made = {"format": ("xyxy", Origin.GUESS, ""), "unit": ("pixels", Origin.GUESS, "")}
        return Found(keys | made, None, thinned=True)
    return None


CENTRED: Keys = {"format": ("cxcywh", Origin.GUESS, ""), "unit": ("pixels", Origin.GUESS, "")}


def put(draft: Draft, pixels: str, found: Found, labels: list[str], given: Given) -> None:
    """Adds the detection. Raises BundleError where the labels are not as many as the classes."""
    place = "outputs.detection"
    draft.put(f"{place}.kind", "detection", Origin.GUESS, "there are boxes")
    draft.put(f"{place}.pixels", pixels, Origin.GRAPH)
    for key, value in found.keys.items():
        draft.put(f"{place}.{key}", *value)
    if found.scores:
        nothing(draft, place, found.scores, found.classes, labels)
        activation(draft, f"{place}.activation", found.scores, given, "softmax")
    if labels:
        spare = f"{place}.background" in draft
        if found.classes not in (None, len(labels) + spare):
            raise BundleError(f"--labels: {len(labels)} of them, but the graph has {found.classes} classes")
        draft.put(f"{place}.labels", labels, Origin.FILE)
    else:
        many = f"{found.classes} names, or one less and `background`" if found.classes else "names"
        draft.ask(f"{place}.labels", f"a list of {many} in the order of the classes; --labels FILE")
    if not found.thinned:
        draft.put(f"{place}.nms", 0.45, Origin.GUESS, "overlap over which the weaker box goes; without it none does")
    draft.put(f"{place}.threshold", 0.5, Origin.GUESS, "least score, unless a request says otherwise")


def nothing(draft: Draft, place: str, scores: Output, classes: int | None, labels: list[str]) -> None:
    """One class more than labels means that nothing is there."""
    if labels and classes == len(labels) + 1:
        if probabilities(scores) == "no":
            background, like = -1, "the last, as in DETR"
        else:
            background, like = 0, "the first, as in SSD"
        draft.put(f"{place}.background", background, Origin.GUESS, f"one class more than labels: {like}")
