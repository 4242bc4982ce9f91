"""Boxes that were found and boxes that are there to average precision: how COCO and VOC (2010 on) count."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from service.types import Array


class Boxes(NamedTuple):
    """Of one picture; `scores` of what is truly there are not read."""

    boxes: Array  # (n, 4) left, top, right, bottom
    classes: Array  # (n,)
    scores: Array  # (n,)


def overlaps(a: Array, b: Array) -> Array:
    """(n, 4) and (m, 4) -> (n, m) intersection over union."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = sides.clip(0).prod(-1)
    areas = [(each[:, 2:] - each[:, :2]).clip(0).prod(-1) for each in (a, b)]
    return np.asarray(shared / np.maximum(areas[0][:, None] + areas[1] - shared, np.finfo(float).tiny))


def matched(found: Boxes, there: Boxes, label: int, least: float) -> tuple[Array, Array]:
    """Scores of one picture's boxes of a class, best first, and whether each hits.

    A found box takes the true box that it overlaps most of those that no better one has taken.
    """
    mine = np.flatnonzero(found.classes == label)
    mine = mine[np.argsort(-found.scores[mine], kind="stable")]
    free = overlaps(found.boxes[mine], there.boxes[there.classes == label])
    hits = np.zeros(len(mine), bool)
    for i in range(len(mine) if free.shape[1] else 0):
        best = int(free[i].argmax())
        if free[i, best] >= least:
            hits[i], free[:, best] = True, -1
    return found.scores[mine], hits


def average_precision(found: Sequence[Boxes], there: Sequence[Boxes], label: int, least: float = 0.5) -> float:
    """Area under the precision that is the best at this recall or a higher one; NaN where the class is nowhere."""
    total = sum(int((each.classes == label).sum()) for each in there)
    if total == 0:
        return float("nan")
    pairs = [matched(a, b, label, least) for a, b in zip(found, there, strict=True)]
    scores, hits = (np.concatenate(each) for each in zip(*pairs, strict=True))
    hits = hits[np.argsort(-scores, kind="stable")]
    right = hits.cumsum()
    precision = right / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((best * hits).sum() / total)  # recall grows by 1 / total at each hit


def mean_average_precision(
    found: Sequence[Boxes], there: Sequence[Boxes], labels: Sequence[str], least: float = 0.5
) -> dict[str, float]:
    """Label -> AP at this IoU, and `mean` over the labels that are there."""
    each = {label: average_precision(found, there, i, least) for i, label in enumerate(labels)}
    return each | {"mean": float(np.nanmean(list(each.values())))}
